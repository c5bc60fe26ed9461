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
// an errgroup that was not, and the other way round. That macro changes the layout of std::vector,
// list, deque, map, set and similar containers. So no function or class with a definition in src/
// has one of these as an argument, a result or a member. Functions that return a container are
// inline in the headers. If such a function is no template, it is always_inline: its name in an
// object file does not contain the container's type, so the linker could take the copy of a file
// that was compiled in the other way. std::string, std::string_view, std::span, std::function,
// std::optional and std::array are the same types with the macro, and may cross.
#if defined(ERRGROUP_SHARED)
#define ERRGROUP_API __attribute__((visibility("default")))
#else
#define ERRGROUP_API
#endif

#endif  // ERRGROUP_DETAIL_EXPORT_HPP
