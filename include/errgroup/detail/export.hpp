// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_EXPORT_HPP
#define ERRGROUP_DETAIL_EXPORT_HPP

#include <errgroup/detail/compiler.hpp>

// ERRGROUP_API marks what a shared errgroup exports; all else in it is hidden.
//
// The build defines ERRGROUP_SHARED, for the library and for whoever links it, when it is built
// shared. GCC and Clang want the same attribute on both sides, so "building" and "using" need no
// telling apart. In a static library the macro is empty: such an errgroup may be part of somebody
// else's shared library, and what that one exports is its owner's choice.
//
// What crosses the boundary of the library. A program that is compiled with _GLIBCXX_DEBUG may use
// an errgroup that was not, and the other way round. That macro gives std::vector, list, deque,
// map, set and their like another layout. So none of these is an argument, a result or a member of
// anything that has a definition in src/. Functions that give out a container are inline here, and
// are
// [[gnu::always_inline]] if they are no templates: their name in an object file does not tell which
// container they return, so a copy from a file that was compiled in the other way would be taken
// for theirs. std::string, std::string_view, std::span, std::function, std::optional and std::array
// are the same types with the macro, and may cross.
#if defined(ERRGROUP_SHARED)
#define ERRGROUP_API __attribute__((visibility("default")))
#else
#define ERRGROUP_API
#endif

#endif  // ERRGROUP_DETAIL_EXPORT_HPP
