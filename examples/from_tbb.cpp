// Every piece of code in docs/from_tbb.md, old and new, as functions that compile and run.
// docs/check.py compares the two.

#include <errgroup/errgroup.hpp>

#include <oneapi/tbb/blocked_range.h>      // blocked_range
#include <oneapi/tbb/parallel_for.h>       // parallel_for
#include <oneapi/tbb/parallel_invoke.h>    // parallel_invoke
#include <oneapi/tbb/parallel_pipeline.h>  // filter_mode, flow_control, make_filter, ...
#include <oneapi/tbb/parallel_reduce.h>    // parallel_reduce
#include <oneapi/tbb/task_arena.h>         // task_arena
#include <oneapi/tbb/task_group.h>         // task_group

#include <atomic>        // atomic
#include <cstddef>       // size_t
#include <cstdio>        // fprintf
#include <functional>    // function, plus
#include <mutex>         // mutex, scoped_lock
#include <numeric>       // accumulate
#include <optional>      // nullopt, optional
#include <stop_token>    // stop_source, stop_token
#include <string>        // string
#include <system_error>  // error_code
#include <tuple>         // get
#include <type_traits>   // invoke_result_t
#include <utility>       // move
#include <vector>        // vector

namespace {

using items = std::vector<std::size_t>;

std::atomic<std::size_t> total = 0;

void work(std::size_t item) { total += item; }

std::atomic<int> reported = 0;

void report(errgroup::error const& /*err*/) { ++reported; }

std::error_code try_work(std::size_t item) {
  if (item == 3) {
    return std::make_error_code(std::errc::io_error);
  }
  work(item);
  return {};
}

namespace pipelines {

struct block {
  std::size_t number;
};

namespace raw {

void copy(std::size_t blocks, std::vector<std::size_t>& out) {
  std::size_t next = 0;
  tbb::parallel_pipeline(
      32, tbb::make_filter<void, block>(tbb::filter_mode::serial_in_order,
                                        [&](tbb::flow_control& control) {
                                          if (next == blocks) {
                                            control.stop();
                                            return block{};  // never used
                                          }
                                          return block{next++};
                                        }) &
              tbb::make_filter<block, std::size_t>(tbb::filter_mode::parallel,
                                                   [](block b) { return 2 * b.number; }) &
              tbb::make_filter<std::size_t, void>(tbb::filter_mode::serial_in_order,
                                                  [&](std::size_t n) { out.push_back(n); }));
}

}  // namespace raw

namespace ours {

errgroup::error copy(std::size_t blocks, std::vector<std::size_t>& out) {
  std::size_t next = 0;
  return errgroup::pipeline({.limit = 8, .queue = 24},
                            errgroup::stage::source([&]() -> std::optional<block> {
                              if (next == blocks) {
                                return std::nullopt;
                              }
                              return block{next++};
                            }),
                            errgroup::stage::parallel([](block b) { return 2 * b.number; }),
                            errgroup::stage::in_order([&](std::size_t n) { out.push_back(n); }));
}

}  // namespace ours

}  // namespace pipelines

namespace errors {

namespace raw {

std::error_code all(items const& in) {
  std::mutex mutex;
  std::error_code first;
  tbb::task_group g;
  for (std::size_t item : in) {
    g.run([&, item] {
      if (std::error_code ec = try_work(item)) {
        std::scoped_lock lock(mutex);
        if (!first) first = ec;
        g.cancel();
      }
    });
  }
  g.wait();
  return first;
}

}  // namespace raw

namespace ours {

errgroup::error all(items const& in) {
  errgroup::group g;
  for (std::size_t item : in) {
    g.run([item] { return try_work(item); });
  }
  return g.wait();
}

}  // namespace ours

}  // namespace errors

namespace throwing {

namespace raw {

void all(items const& in) {
  tbb::task_group g;
  for (std::size_t item : in) {
    g.run([item] { work(item); });
  }
  g.wait();
}

}  // namespace raw

namespace ours {

void all(items const& in) {
  errgroup::group g;
  for (std::size_t item : in) {
    g.run([item] { work(item); });
  }
  g.wait().raise();
}

}  // namespace ours

}  // namespace throwing

namespace limits {

namespace raw {

void all(items const& in) {
  tbb::task_arena arena(2);
  arena.execute([&] {
    tbb::task_group g;
    for (std::size_t item : in) {
      g.run([item] { work(item); });
    }
    g.wait();
  });
}

}  // namespace raw

namespace ours {

errgroup::error all(items const& in) {
  errgroup::group g{{.limit = 2, .queue = 1000}};
  for (std::size_t item : in) {
    g.run([item] { work(item); });
  }
  return g.wait();
}

}  // namespace ours

}  // namespace limits

namespace stopping {

namespace raw {

void all(items const& in) {
  tbb::task_group g;
  g.run([&] {
    for (std::size_t item : in) {
      if (tbb::is_current_task_group_canceling()) return;
      work(item);
    }
  });
  g.cancel();
  g.wait();
}

}  // namespace raw

namespace ours {

errgroup::error all(items const& in) {
  errgroup::group g;
  g.run([&](std::stop_token stop) {
    for (std::size_t item : in) {
      if (stop.stop_requested()) return;
      work(item);
    }
  });
  g.cancel();
  return g.wait();
}

}  // namespace ours

}  // namespace stopping

namespace algorithms {

using range = tbb::blocked_range<std::size_t>;

namespace ours {

errgroup::error add_up(items const& in, std::size_t& sum) {
  errgroup::group g;
  g.run([&] {
    sum = tbb::parallel_reduce(
        range(0, in.size()), std::size_t{0},
        [&](range const& r, std::size_t part) {
          for (std::size_t i = r.begin(); i != r.end(); ++i) part += in[i];
          return part;
        },
        std::plus<>());
    return errgroup::check();  // cancelled: `sum` is not the sum
  });
  return g.wait();
}

errgroup::error side_by_side(items const& in) {
  errgroup::group g;
  g.run([] { work(0); });
  tbb::parallel_for(range(0, in.size()), [&](range const&) { work(0); }, g.context());
  return g.wait();
}

}  // namespace ours

}  // namespace algorithms

namespace values {

using range = tbb::blocked_range<std::size_t>;

std::size_t sum(items const& in) { return std::accumulate(in.begin(), in.end(), std::size_t{0}); }

namespace raw {

std::size_t add_up(items const& in) {
  return tbb::parallel_reduce(
      range(0, in.size()), std::size_t{0},
      [&](range const& r, std::size_t part) {
        for (std::size_t i = r.begin(); i != r.end(); ++i) part += in[i];
        return part;
      },
      std::plus<>());
}

std::size_t add_both(items const& left, items const& right) {
  std::size_t l = 0;
  std::size_t r = 0;
  tbb::parallel_invoke([&] { l = sum(left); }, [&] { r = sum(right); });
  return l + r;
}

}  // namespace raw

namespace ours {

errgroup::error all(items const& in) { return errgroup::for_each(in, try_work); }

errgroup::result<std::size_t> add_up(items const& in) {
  return errgroup::reduce(in, std::size_t{0}, std::plus<>(), std::plus<>());
}

errgroup::result<std::size_t> add_both(items const& left, items const& right) {
  auto both = errgroup::all([&] { return sum(left); }, [&] { return sum(right); });
  return both.transform([](auto const& each) { return std::get<0>(each) + std::get<1>(each); });
}

}  // namespace ours

}  // namespace values

namespace nesting {

namespace ours {

errgroup::error all(items const& in) {
  errgroup::group g{{.limit = 1}};
  for (std::size_t item : in) {
    g.run([item]() -> errgroup::error {
      errgroup::group parts;  // belongs to this task: uses its thread, is cancelled with it
      parts.run([item] { work(item); });
      return parts.wait();
    });
  }
  return g.wait();
}

}  // namespace ours

}  // namespace nesting

namespace contexts {

namespace raw {

void all(items const& in) {
  tbb::task_group_context apart(tbb::task_group_context::isolated);
  tbb::task_group g(apart);
  for (std::size_t item : in) {
    g.run([item] { work(item); });
  }
  g.wait();
}

void either(items const& left, items const& right) {
  tbb::task_group_context both;
  tbb::task_group l(both);
  tbb::task_group r(both);
  l.run([&] { work(left.front()); });
  r.run([&] { work(right.front()); });
  both.cancel_group_execution();
  l.wait();  // takes the cancellation back, for `r` too
  r.wait();
}

}  // namespace raw

namespace ours {

errgroup::error all(items const& in) {
  errgroup::group g{{.detached = true}};
  for (std::size_t item : in) {
    g.run([item] { work(item); });
  }
  return g.wait();
}

errgroup::error either(items const& left, items const& right) {
  std::stop_source both;
  errgroup::group l{{.stop = both.get_token()}};
  errgroup::group r{{.stop = both.get_token()}};
  l.run([&] { work(left.front()); });
  r.run([&] { work(right.front()); });
  both.request_stop();
  auto err = l.wait();
  return err ? err : r.wait();
}

}  // namespace ours

}  // namespace contexts

namespace reuse {

namespace raw {

void twice(items const& in) {
  tbb::task_group g;
  g.run([&] { work(in.front()); });
  g.cancel();
  g.wait();  // takes the cancellation back
  g.run([&] { work(in.back()); });
  g.wait();
}

}  // namespace raw

namespace ours {

errgroup::error twice(items const& in) {
  errgroup::group g;
  g.run([&] { work(in.front()); });
  g.cancel();
  (void)g.wait();  // it is known why
  g.reset();
  g.run([&] { work(in.back()); });
  return g.wait();
}

}  // namespace ours

}  // namespace reuse

namespace wrappers {

namespace raw {

class background {
 public:
  ~background() { group_.wait(); }  // throws what a task has thrown

  template <class F>
  void post(F f) {
    group_.run([f] { return f(); });  // ignores what `f` returns
  }

 private:
  tbb::task_group group_;
};

}  // namespace raw

namespace ours {

class background {
 public:
  ~background() {
    if (auto err = group_.wait()) {
      report(err);
    }
  }

  template <class F>
  void post(F f) {
    if constexpr (errgroup::task_result<std::invoke_result_t<F&>>) {
      group_.run(std::move(f));
    } else {
      group_.run([f = std::move(f)]() mutable { (void)f(); });  // an int says nothing
    }
  }

 private:
  errgroup::group group_{{.policy = errgroup::on_error::keep_going}};
};

}  // namespace ours

}  // namespace wrappers

namespace deferring {

namespace raw {

void all(items const& in) {
  tbb::task_group g;
  std::vector<tbb::task_handle> later;
  for (std::size_t item : in) {
    later.push_back(g.defer([item] { work(item); }));
  }
  for (tbb::task_handle& task : later) {
    g.run(std::move(task));
  }
  g.wait();
}

}  // namespace raw

namespace ours {

errgroup::error all(items const& in) {
  errgroup::group g;
  std::vector<std::function<void()>> later;
  for (std::size_t item : in) {
    later.emplace_back([item] { work(item); });
  }
  for (std::function<void()>& task : later) {
    g.run(std::move(task));
  }
  return g.wait();
}

}  // namespace ours

}  // namespace deferring

int failures = 0;

void check(bool holds, char const* what) {
  if (!holds) {
    std::fprintf(stderr, "from_tbb: %s\n", what);
    ++failures;
  }
}

}  // namespace

int main() {
  items const in{1, 2, 3, 4};
  check(errors::raw::all(in) == std::errc::io_error, "raw: the code");
  check(errors::ours::all(in) == std::errc::io_error, "errgroup: the code");

  total = 0;
  throwing::raw::all(in);
  throwing::ours::all(in);
  limits::raw::all(in);
  check(!limits::ours::all(in), "errgroup: a limit");
  check(!nesting::ours::all(in), "errgroup: a group in a task");
  check(total == 50, "every item, five times");

  stopping::raw::all(in);
  check(stopping::ours::all(in) == errgroup::errc::canceled, "errgroup: cancelled");

  std::size_t sum = 0;
  check(!algorithms::ours::add_up(in, sum) && sum == 10, "errgroup: a reduction");
  check(!algorithms::ours::side_by_side(in), "errgroup: an algorithm beside tasks");

  check(values::raw::add_up(in) == 10, "raw: a sum");
  check(values::ours::add_up(in) == 10U, "errgroup: a sum");
  check(values::raw::add_both(in, in) == 20, "raw: two sums");
  check(values::ours::add_both(in, in) == 20U, "errgroup: two sums");
  check(values::ours::all(in) == std::errc::io_error, "errgroup: a loop");
  check(values::ours::all(in).origin().index == 2, "errgroup: a loop");

  total = 0;
  contexts::raw::all(in);
  check(!contexts::ours::all(in) && total == 20, "a group that belongs to no task");
  contexts::raw::either(in, in);
  check(contexts::ours::either(in, in) == errgroup::errc::canceled, "two groups, one token");
  tbb::task_group outer;
  outer.run_and_wait([&] {
    outer.cancel();
    total = 0;
    contexts::raw::all(in);
    check(!contexts::ours::all(in) && total == 20, "neither is cancelled with the task");
  });

  total = 0;
  reuse::raw::twice(in);
  total = 0;
  check(!reuse::ours::twice(in) && total >= 4 && total <= 5, "after a reset the group runs tasks");

  total = 0;
  {
    wrappers::raw::background r;
    r.post([] { work(1); });
    r.post([] { return try_work(3); });  // its failure is lost
    wrappers::ours::background o;
    o.post([] { work(1); });
    o.post([] { return try_work(3); });
    o.post([] {
      work(1);
      return 1;
    });
  }
  check(total == 3 && reported == 1, "wrappers");

  total = 0;
  deferring::raw::all(in);
  check(!deferring::ours::all(in) && total == 20, "tasks that are kept for later");

  std::vector<std::size_t> by_raw;
  std::vector<std::size_t> by_ours;
  pipelines::raw::copy(100, by_raw);
  check(!pipelines::ours::copy(100, by_ours) && by_ours == by_raw, "errgroup: a pipeline");
  return failures == 0 ? 0 : 1;
}
