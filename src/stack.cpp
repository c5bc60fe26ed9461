// SPDX-License-Identifier: Apache-2.0
#include <errgroup/stack.hpp>

#include <ostream>  // hex, ostream

namespace errgroup::inline v1 {

std::ostream& operator<<(std::ostream& out, stack_frame const& frame) {
  if (frame.function.empty()) {
    auto const flags = out.flags();
    out << "0x" << std::hex << frame.address;
    out.flags(flags);
  } else {
    out << frame.function;
  }
  if (!frame.file.empty()) {
    out << " at " << frame.file << ':' << frame.line;
  }
  return out;
}

namespace detail {

constinit std::atomic<stack_reader> read_stack{nullptr};

}  // namespace detail
}  // namespace errgroup::inline v1
