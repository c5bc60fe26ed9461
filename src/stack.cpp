// SPDX-License-Identifier: Apache-2.0
#include "error_text.hpp"
#include <errgroup/error.hpp>
#include <errgroup/stack.hpp>

#include <ostream>  // hex, ostream
#include <sstream>  // ostringstream
#include <string>   // string

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

void error::read_stack(detail::frame_sink sink, void* to) const {
  detail::stack_reader const read = detail::read_stack.load(std::memory_order_acquire);
  if (read != nullptr && thrown() != nullptr) {
    read(thrown(), sink, to);
  }
}

std::string error::message(with_stack_t /*unused*/) const {
  return detail::describe(*this, [](std::string& text, error const& e) {
    std::ostringstream calls;
    detail::error_access::read_stack(
        e,
        [](void* to, stack_frame const& call) {
          *static_cast<std::ostream*>(to) << "\n    " << call;
        },
        static_cast<std::ostream*>(&calls));
    text += calls.str();
  });
}

}  // namespace errgroup::inline v1
