// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_RECORDER_HPP
#define ERRGROUP_TEST_SUPPORT_RECORDER_HPP

// An observer that remembers what it is told.

#include <errgroup/error.hpp>
#include <errgroup/observer.hpp>

#include <algorithm>    // count_if, find_if
#include <cstddef>      // size_t
#include <cstdint>      // uint64_t
#include <mutex>        // mutex, scoped_lock
#include <string>       // string
#include <string_view>  // string_view
#include <thread>       // thread
#include <utility>      // move
#include <vector>       // vector

namespace support {

struct event {
  std::string what;  // the name of the observer's function
  std::uint64_t group = 0;
  std::string group_name;
  std::size_t index = errgroup::npos;
  std::string name;
  std::size_t n = 0;
  errgroup::error error;
  errgroup::wait_kind kind = errgroup::wait_kind::end;
  unsigned line = 0;
  std::thread::id thread = std::this_thread::get_id();
};

/// The process's observer while it lives.
class recorder : public errgroup::observer {
 public:
  recorder() : before_(errgroup::observe(this)) {}
  recorder(recorder const&) = delete;
  recorder& operator=(recorder const&) = delete;
  ~recorder() override { stop(); }

  /// Sets the observer before. Groups that were made until then go on telling this one.
  void stop() {
    if (!stopped_) {
      errgroup::observe(before_);
      stopped_ = true;
    }
  }

  [[nodiscard]] std::vector<event> events() {
    std::scoped_lock const held(lock_);
    return events_;
  }
  /// The events of the group of that name, in the order in which they were told.
  [[nodiscard]] std::vector<event> events(std::string_view group) {
    std::vector<event> mine;
    for (event const& e : events()) {
      if (e.group_name == group) {
        mine.push_back(e);
      }
    }
    return mine;
  }
  [[nodiscard]] std::size_t count(std::string_view what) {
    return static_cast<std::size_t>(
        std::ranges::count_if(events(), [what](event const& e) { return e.what == what; }));
  }

  void group_begin(errgroup::group_view g) noexcept override {
    event e = of("group_begin", g);
    e.line = g.where().line();
    add(std::move(e));
  }
  void group_end(errgroup::group_view g) noexcept override { add(of("group_end", g)); }
  void task_submitted(errgroup::group_view g, std::size_t index) noexcept override {
    event e = of("task_submitted", g);
    e.index = index;
    add(std::move(e));
  }
  void task_begin(errgroup::task_view t) noexcept override { add(of("task_begin", t)); }
  void task_end(errgroup::task_view t, errgroup::error const* failure) noexcept override {
    event e = of("task_end", t);
    if (failure != nullptr) {
      e.error = *failure;
    }
    add(std::move(e));
  }
  void tasks_skipped(errgroup::group_view g, std::size_t n,
                     errgroup::error const& cause) noexcept override {
    event e = of("tasks_skipped", g);
    e.n = n;
    e.error = cause;
    add(std::move(e));
  }
  void first_error(errgroup::group_view g, errgroup::error const& failure) noexcept override {
    event e = of("first_error", g);
    e.error = failure;
    add(std::move(e));
  }
  void cancelled(errgroup::group_view g, errgroup::error const& cause) noexcept override {
    event e = of("cancelled", g);
    e.error = cause;
    add(std::move(e));
  }
  void wait_begin(errgroup::group_view g, errgroup::wait_kind kind) noexcept override {
    event e = of("wait_begin", g);
    e.kind = kind;
    add(std::move(e));
  }
  void wait_end(errgroup::group_view g, errgroup::wait_kind kind) noexcept override {
    event e = of("wait_end", g);
    e.kind = kind;
    add(std::move(e));
  }

 private:
  static event of(char const* what, errgroup::group_view g) {
    (void)g.counts();  // any function may ask
    event e;
    e.what = what;
    e.group = g.id();
    e.group_name = g.name();
    return e;
  }
  static event of(char const* what, errgroup::task_view t) {
    event e = of(what, t.group());
    e.index = t.index();
    e.name = t.name();
    e.line = t.where().line();
    return e;
  }
  void add(event e) {
    std::scoped_lock const held(lock_);
    events_.push_back(std::move(e));
  }

  errgroup::observer* before_;
  bool stopped_ = false;
  std::mutex lock_;
  std::vector<event> events_;
};

}  // namespace support

#endif  // ERRGROUP_TEST_SUPPORT_RECORDER_HPP
