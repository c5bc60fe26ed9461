// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_ERRGROUP_HPP
#define ERRGROUP_ERRGROUP_HPP

/// Everything at once.

#include <errgroup/error.hpp>
#include <errgroup/exception_group.hpp>
#include <errgroup/fwd.hpp>
#include <errgroup/group.hpp>
#include <errgroup/scope.hpp>
#include <errgroup/stack.hpp>
#include <errgroup/task.hpp>
#include <errgroup/version.hpp>

#endif  // ERRGROUP_ERRGROUP_HPP
