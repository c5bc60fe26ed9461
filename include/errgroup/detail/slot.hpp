// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_SLOT_HPP
#define ERRGROUP_DETAIL_SLOT_HPP

#include <errgroup/clock.hpp>

#include <cstddef>  // size_t
#include <cstdint>  // uint64_t

namespace errgroup::inline v1::detail {

/// A place for one item of a pipeline, on its way through the stages. One lane at a time owns the
/// slot. A lane hands it on in a gate, under the gate's lock.
struct slot {
  slot* next = nullptr;      // in the list of a gate or of the free slots
  std::uint64_t number = 0;  // of the item: 0, 1, 2, … in the order of the source
  std::size_t stage = 0;     // the stage to which the item comes next
  /// True if there is an item in `item`. False for a free slot, and for a *hole*: the slot of an
  /// item that was dropped. A hole goes on to the stages in order, which count it.
  bool is_full = false;
  clock::time_point since;  // with statistics: when the item left the stage before
  void* item = nullptr;     // its memory, for an item of every stage
};

/// What has become of an item in a stage. Of a source: `dropped` is the end of the input.
enum class step {
  passed,
  dropped,
  failed,
  ended,  // the stage has returned `errgroup::no_more`
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_SLOT_HPP
