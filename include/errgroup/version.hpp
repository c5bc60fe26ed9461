// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_VERSION_HPP
#define ERRGROUP_VERSION_HPP

#include <errgroup/detail/compiler.hpp>

// The version of these headers. The build refuses to configure when it differs from the project's.

/// The first number of the version: grows when correct programs have to be changed.
#define ERRGROUP_VERSION_MAJOR 1
/// The second number: grows when names or behaviour are added.
#define ERRGROUP_VERSION_MINOR 0
/// The third number: grows with corrections.
#define ERRGROUP_VERSION_PATCH 0

/// What follows the numbers: "-rc.1" in the first candidate of a release, "" in the release.
#define ERRGROUP_VERSION_SUFFIX "-rc.1"

/// One number to compare with: `#if ERRGROUP_VERSION >= 10200` asks for 1.2.0 or later. A candidate
/// has the number of its release.
#define ERRGROUP_VERSION \
  (ERRGROUP_VERSION_MAJOR * 10000 + ERRGROUP_VERSION_MINOR * 100 + ERRGROUP_VERSION_PATCH)

/// The version of the binary interface: the number of the inline namespace `errgroup::v1`, which is
/// in every symbol, and of `liberrgroup.so.1`. Code that was compiled with the headers of another
/// number does not link, and is not loaded, with this library. docs/versions.md says when it grows.
#define ERRGROUP_ABI_VERSION 1

#endif  // ERRGROUP_VERSION_HPP
