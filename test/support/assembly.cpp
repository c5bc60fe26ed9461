// SPDX-License-Identifier: Apache-2.0
#include "support/assembly.hpp"

#include "support/gate.hpp"
#include <errgroup/pipeline.hpp>
#include <errgroup/result.hpp>

#include <gtest/gtest.h>

#include <numeric>          // iota
#include <optional>         // nullopt, optional
#include <source_location>  // source_location
#include <stop_token>       // stop_callback
#include <utility>          // move

namespace support {
namespace {

struct presence {
  explicit presence(std::atomic<int>& n) noexcept : count(n) { ++count; }
  presence(presence const&) = delete;
  presence& operator=(presence const&) = delete;
  ~presence() { --count; }

  std::atomic<int>& count;
};

}  // namespace

char const* assembly::name(at stage) noexcept {
  static constexpr std::array names{"read", "work", "queue", "order", "split", "write"};
  return names[index(stage)];
}

int assembly::all_calls() const {
  int n = 0;
  for (auto const& c : calls_) {
    n += c;
  }
  return n;
}

std::error_code assembly::call(at stage, int number, std::stop_token const& token) {
  ++calls_[index(stage)];
  return hook_ ? hook_(stage, number, token) : std::error_code();
}

errgroup::error assembly::run(errgroup::options const& opts, bool is_timed) {
  namespace stage = errgroup::stage;
  for (auto& c : calls_) {
    c = 0;
  }
  read_ = 0;
  written_ = 0;
  ordered_.clear();
  in_write_.clear();

  std::array<std::atomic<int>, stages.size()> inside{};  // the threads in each stage
  auto const enter = [&](at where) {
    if (where != at::work && where != at::split) {
      EXPECT_EQ(inside[index(where)], 0) << "two threads are in " << name(where);
    }
  };
  auto const here = [&](at where, std::source_location place = std::source_location::current()) {
    lines_[index(where)] = place.line();
    return name(where);
  };
  auto read = [&,
               next = 0](std::stop_token token) mutable -> errgroup::result<std::optional<item>> {
    enter(at::read);
    presence const all(running_);
    presence const in_stage(inside[index(at::read)]);
    if (std::error_code const e = call(at::read, next, token)) {
      return e;
    }
    if (next == items_) {
      return std::nullopt;
    }
    ++read_;
    return std::optional<item>(std::in_place, next++, census_);
  };
  auto const pass = [&](at where) {
    return [&, where](item&& x, std::stop_token const& token) -> errgroup::result<item> {
      enter(where);
      presence const all(running_);
      presence const in_stage(inside[index(where)]);
      EXPECT_FALSE(x.is_moved_from());
      if (where == at::order) {
        ordered_.push_back(x.number());
      }
      if (std::error_code const e = call(where, x.number(), token)) {
        return e;
      }
      return std::move(x);
    };
  };
  auto const split = [&](item&& x, stage::emitter<item> emit,
                         std::stop_token const& token) -> std::error_code {
    presence const all(running_);
    if (std::error_code const e = call(at::split, x.number(), token)) {
      return e;
    }
    emit(std::move(x));
    return {};
  };
  auto const write = [&](item&& x, std::stop_token const& token) -> std::error_code {
    enter(at::write);
    presence const all(running_);
    presence const in_stage(inside[index(at::write)]);
    in_write_.push_back(x.number());
    if (std::error_code const e = call(at::write, x.number(), token)) {
      return e;
    }
    ++written_;
    return {};
  };
  auto first = stage::source(here(at::read), read);
  auto second = stage::parallel(here(at::work), pass(at::work));
  auto third = stage::serial(here(at::queue), pass(at::queue));
  auto fourth = stage::in_order(here(at::order), pass(at::order));
  auto fifth = stage::many(here(at::split), split);
  auto last = stage::in_order(here(at::write), write);
  return is_timed ? errgroup::pipeline(opts, stats_, first, second, third, fourth, fifth, last)
                  : errgroup::pipeline(opts, first, second, third, fourth, fifth, last);
}

std::vector<int> up_to(int n) {
  std::vector<int> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

void wait_for_stop(std::stop_token const& token) {
  gate stopped("the pipeline to be cancelled");
  std::stop_callback const open(token, [&] { stopped.open(); });
  stopped.wait();
}

void expect_end(assembly const& line, errgroup::error const& e, int failed) {
  EXPECT_EQ(line.running(), 0);
  EXPECT_EQ(line.live_items(), 0);
  EXPECT_EQ(counted::live(), 0);
  int const rest = line.items_read() - line.items_written() - failed;
  EXPECT_EQ(e.skipped(), static_cast<std::size_t>(rest)) << e;
  EXPECT_EQ(line.ordered(), up_to(static_cast<int>(line.ordered().size())));
  EXPECT_EQ(line.written(), up_to(static_cast<int>(line.written().size())));
}

}  // namespace support
