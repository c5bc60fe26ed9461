// SPDX-License-Identifier: Apache-2.0
#include "check_options.hpp"

#include <stdexcept>  // invalid_argument
#include <string>     // string, to_string

namespace errgroup::inline v1::detail {

void refuse(options const& opts) {
  if (opts.limit == 0) {
    throw std::invalid_argument(
        "errgroup::options::limit is 0: a group with no slot could never run a task; give it 1 or "
        "more, or errgroup::unlimited");
  }
  if (opts.limit < unlimited) {
    // `"…" + std::to_string(…)` would link a function of std::string that nothing else needs.
    std::string text = "errgroup::options::limit is ";
    text += std::to_string(opts.limit);
    text += ": give it 1 or more, or errgroup::unlimited";
    throw std::invalid_argument(text);
  }
  if (opts.max_errors == 0) {
    throw std::invalid_argument(
        "errgroup::options::max_errors is 0: a group keeps the first error at least; give it 1 or "
        "more");
  }
  if (opts.limiter != nullptr && opts.arena != nullptr) {
    throw std::invalid_argument(
        "errgroup::options has both a limiter and an arena: the tasks run in the arena of the "
        "limiter; give it one of them");
  }
  throw std::invalid_argument(
      "errgroup::options::progress is set, and no function counts in it: for_each, transform, "
      "reduce and pipeline do; elsewhere call progress::add in the tasks");
}

void refuse_weight(std::int64_t weight) {
  std::string text = "errgroup::task_options::weight is ";
  text += std::to_string(weight);
  text +=
      ", and the group has no limiter: a weight is a number of places of a limiter, and a limit "
      "counts each task as one; give the group options::limiter";
  throw std::invalid_argument(text);
}

}  // namespace errgroup::inline v1::detail
