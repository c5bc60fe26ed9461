// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_EXPORT_HPP
#define ERRGROUP_DETAIL_EXPORT_HPP

// ERRGROUP_API marks what a shared errgroup exports; all else in it is hidden.
//
// The build defines ERRGROUP_SHARED, for the library and for whoever links it, when it is built
// shared. GCC and Clang want the same attribute on both sides, so "building" and "using" need no
// telling apart. In a static library the macro is empty: such an errgroup may be part of somebody
// else's shared library, and what that one exports is its owner's choice.
#if defined(ERRGROUP_SHARED)
#define ERRGROUP_API __attribute__((visibility("default")))
#else
#define ERRGROUP_API
#endif

#endif  // ERRGROUP_DETAIL_EXPORT_HPP
