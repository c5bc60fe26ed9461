// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_EXPORT_HPP
#define ERRGROUP_DETAIL_EXPORT_HPP

#include <errgroup/detail/compiler.hpp>

// ERRGROUP_API marks the symbols that a shared errgroup exports; all other symbols are hidden.
//
// If errgroup is built as a shared library, the build defines ERRGROUP_SHARED for the library and
// for all code that links it. GCC and Clang want the same attribute on both sides, so "building"
// and "using" need no distinction. In a static library the macro is empty: a static errgroup may be
// part of another shared library, and the owner of that library decides on its exports.
//
// Types at the boundary of the library. A program that is compiled with _GLIBCXX_DEBUG may use an
// errgroup that was compiled without this macro, and the other way round. The macro changes the
// layout of std::vector, list, deque, map, set and similar containers. So no function or class with
// a definition in src/ has such a container as an argument, a result or a member. Functions that
// return a container are inline in the headers. If such a function is no template, it is
// always_inline: its name in an object file does not contain the container's type, so the linker
// could take the copy of a file that was compiled in the other way. std::string, std::string_view,
// std::span, std::function, std::optional and std::array are the same types with the macro, and may
// cross the boundary.
#if defined(ERRGROUP_SHARED)
#define ERRGROUP_API __attribute__((visibility("default")))
#else
#define ERRGROUP_API
#endif

#endif  // ERRGROUP_DETAIL_EXPORT_HPP
