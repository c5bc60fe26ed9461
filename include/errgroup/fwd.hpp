// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_FWD_HPP
#define ERRGROUP_FWD_HPP

/// Names without definitions, for headers that only mention them.

#include <errgroup/detail/compiler.hpp>

namespace errgroup::inline v1 {

enum class admission;
enum class errc;
enum class keep;
enum class on_error;
enum class on_exception;
enum class verdict;
class error;
class exception_group;
class group;
class limiter;
class progress;
struct group_counts;
struct observer;
struct options;
struct progress_options;
struct progress_view;
struct stack_frame;
struct task_options;
struct task_origin;
template <class P>
class named_by;
template <class T>
class result;
template <class R>
struct result_traits;

namespace extend {

struct access;

}  // namespace extend

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_FWD_HPP
