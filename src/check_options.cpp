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
  if (opts.max_failures == 0) {
    throw std::invalid_argument(
        "errgroup::options::max_failures is 0: a group cannot be cancelled by a failure before its "
        "first one; give it 1 or more, or errgroup::npos");
  }
  if (opts.max_failures != npos && opts.policy == on_error::cancel) {
    std::string text = "errgroup::options::max_failures is ";
    text += std::to_string(opts.max_failures);
    text +=
        ", but on_error::cancel cancels the group at the first failure: set .policy = "
        "errgroup::on_error::keep_going, or leave max_failures out";
    throw std::invalid_argument(text);
  }
  if (opts.blocking && opts.limit == unlimited) {
    throw std::invalid_argument(
        "errgroup::options::blocking is set without a limit: the group starts a thread for each "
        "task of the limit; give it a limit, the greatest number of tasks that block at once");
  }
  if (opts.blocking && opts.arena != nullptr) {
    throw std::invalid_argument(
        "errgroup::options::blocking and options::arena are set: a blocking group has threads of "
        "its own, and an arena has others; leave one of the two out");
  }
  if (opts.blocking && opts.limit > most_blocking) {
    std::string text = "errgroup::options::blocking is set with a limit of ";
    text += std::to_string(opts.limit);
    text += ": each task of the limit has a thread; give it a limit of ";
    text += std::to_string(most_blocking);
    text += " or less";
    throw std::invalid_argument(text);
  }
  if (opts.blocking && opts.limiter != nullptr) {
    throw std::invalid_argument(
        "errgroup::options has both blocking and a limiter: the tasks of a limiter run on its "
        "threads, and not on threads of the group; leave one of the two out");
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

void check_new_limit(int limit, bool is_blocking) {
  if (limit < 1) {
    std::string text = "errgroup::group::set_limit was given ";
    text += std::to_string(limit);
    text += ": a group with no slot could never run a task; give it 1 or more";
    throw std::invalid_argument(text);
  }
  if (is_blocking && limit > most_blocking) {
    std::string text = "errgroup::group::set_limit was given ";
    text += std::to_string(limit);
    text += " in a group with options::blocking: each task of the limit has a thread; give it ";
    text += std::to_string(most_blocking);
    text += " or less";
    throw std::invalid_argument(text);
  }
}

void refuse_priority(int value) {
  std::string text = "errgroup::task_options::priority is ";
  text += std::to_string(value);
  text += ": give it errgroup::priority::high, normal or low";
  throw std::invalid_argument(text);
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
