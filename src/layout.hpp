// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_LAYOUT_HPP
#define ERRGROUP_SRC_LAYOUT_HPP

#include <errgroup/detail/export.hpp>

#include <array>    // array
#include <cstddef>  // size_t
#include <cstdint>  // uint32_t, uint64_t

// What a debugger has to know to find threads, tasks and groups in a program without debug
// information. The reader is gdb/errgroup-gdb.py.

namespace errgroup::inline v1::detail {

/// A number, such as the offset of a member, under the name by which the reader asks for it.
struct layout_entry {
  char name[24];  // NOLINT(modernize-avoid-c-arrays): a literal initializes it
  std::uint64_t value;
};

/// Where the lists of the process begin, and where the members of the library's classes are.
///
/// The reader gets all numbers from here. A new entry needs no new version: an older reader passes
/// over it. The version, and with it the name of the symbol, has to change if the head of this
/// struct changes, or if an entry that the reader uses is removed or gets another meaning.
struct layout_v1 {
  static constexpr std::size_t most = 80;

  char magic[8];          // NOLINT(modernize-avoid-c-arrays): "errgroup"
  std::uint32_t version;  // 1
  std::uint32_t used;     // the number of entries
  void const* stacks;     // the address of the pointer to the first `frame_stack`
  void const* observed;   // the address of the pointer to the first `observed_group`
  std::array<layout_entry, most> all;
};

}  // namespace errgroup::inline v1::detail

/// For debuggers. It is in a section of its own, `errgroup_layout`, which a debugger also finds in
/// a program without a symbol table.
extern "C" ERRGROUP_API errgroup::detail::layout_v1 const errgroup_layout_v1;

#endif  // ERRGROUP_SRC_LAYOUT_HPP
