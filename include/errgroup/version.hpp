// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_VERSION_HPP
#define ERRGROUP_VERSION_HPP

#include <errgroup/detail/compiler.hpp>

// The version of these headers. The build refuses to configure when it differs from the project's.
#define ERRGROUP_VERSION_MAJOR 0
#define ERRGROUP_VERSION_MINOR 1
#define ERRGROUP_VERSION_PATCH 0

/// One number to compare with: `#if ERRGROUP_VERSION >= 200` asks for 0.2.0 or later.
#define ERRGROUP_VERSION \
  (ERRGROUP_VERSION_MAJOR * 10000 + ERRGROUP_VERSION_MINOR * 100 + ERRGROUP_VERSION_PATCH)

#endif  // ERRGROUP_VERSION_HPP
