#ifndef ERRGROUP_FWD_HPP
#define ERRGROUP_FWD_HPP

/// Names without definitions, for headers that only mention them.

namespace errgroup {

enum class errc;
enum class on_error;
class error;
class group;
struct options;
template <class R>
struct result_traits;

}  // namespace errgroup

#endif  // ERRGROUP_FWD_HPP
