// SPDX-License-Identifier: Apache-2.0

// Sessions of errgroup::trace, and `dump_on`. What is in the file: trace_test.py.

#include "event_store.hpp"
#include "support/gate.hpp"
#include "support/sanitizers.hpp"
#include "support/ways.hpp"
#include <errgroup/errgroup.hpp>
#include <errgroup/trace.hpp>

#include <fcntl.h>  // O_CLOEXEC
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>      // poll
#include <signal.h>    // raise, SIGUSR1
#include <sys/wait.h>  // waitpid
#include <unistd.h>    // fork, pipe2, read

#include <array>         // array
#include <atomic>        // atomic
#include <cerrno>        // errno
#include <cstdint>       // uint32_t, uint64_t
#include <cstdlib>       // mkdtemp
#include <filesystem>    // path
#include <fstream>       // ifstream
#include <memory>        // make_unique, unique_ptr
#include <optional>      // optional
#include <sstream>       // ostringstream
#include <stdexcept>     // invalid_argument, logic_error
#include <string>        // string
#include <system_error>  // system_error
#include <thread>        // thread
#include <vector>        // vector

namespace {

using testing::HasSubstr;
using testing::Not;

/// A folder that is removed at the end of the test.
class scratch {
 public:
  scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "errgroup-trace-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  scratch(scratch const&) = delete;
  scratch& operator=(scratch const&) = delete;
  ~scratch() { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string operator/(std::string const& name) const { return folder_ / name; }

 private:
  std::filesystem::path folder_;
};

std::string content(std::string const& path) {
  std::ifstream file(path);
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

std::size_t times(std::string const& words, std::string const& text) {
  std::size_t n = 0;
  for (std::size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) {
    ++n;
  }
  return n;
}

std::size_t task_slices(std::string const& path) { return times(R"("cat":"task")", content(path)); }

void run_tasks(std::size_t n, char const* name = "") {
  errgroup::group g{{.limit = 2, .name = name}};
  for (std::size_t i = 0; i != n; ++i) {
    g.run([] {});
  }
  EXPECT_FALSE(g.wait());
}

/// What `f` throws, in words; "nothing" if it does not.
template <class Exception, class F>
std::string thrown_by(F&& f) {
  try {
    f();
  } catch (Exception const& e) {
    return e.what();
  }
  return "nothing";
}

// --- sessions

TEST(Trace, Y1_a_session_records_the_groups_that_are_made_in_it_and_no_others) {
  scratch const folder;
  errgroup::group before{{.name = "before"}};
  {
    errgroup::trace const session(folder / "run.json");
    before.run([] {});
    EXPECT_FALSE(before.wait());
    run_tasks(10, "within");
  }
  run_tasks(10, "after");
  std::string const file = content(folder / "run.json");
  EXPECT_EQ(times(R"("cat":"task")", file), 10U);
  EXPECT_THAT(file, HasSubstr("within"));
  EXPECT_THAT(file, Not(HasSubstr("before")));
  EXPECT_THAT(file, Not(HasSubstr("after")));
}

TEST(Trace, Y1_flush_writes_in_place_of_what_was_there) {
  scratch const folder;
  errgroup::trace session(folder / "run.json");
  run_tasks(3);
  session.flush();
  EXPECT_EQ(task_slices(folder / "run.json"), 3U);
  run_tasks(4);
  session.flush();
  EXPECT_EQ(task_slices(folder / "run.json"), 7U);
  EXPECT_EQ(times("traceEvents", content(folder / "run.json")), 1U);
}

TEST(Trace, Y1_one_session_after_another_has_its_own_events) {
  scratch const folder;
  for (std::size_t const events : {std::size_t{4096}, std::size_t{512}, std::size_t{8192}}) {
    errgroup::trace session(folder / "run.json", {.events = events});
    EXPECT_EQ(session.dropped(), 0U);
    run_tasks(5);
    session.flush();
    EXPECT_EQ(task_slices(folder / "run.json"), 5U);
  }
}

TEST(Trace, Y2_the_observer_of_before_is_set_again) {
  scratch const folder;
  static errgroup::observer first;
  errgroup::observe(&first);
  {
    errgroup::trace const session(folder / "run.json");
  }
  EXPECT_EQ(errgroup::observe(nullptr), &first);
}

TEST(Trace, Y2_an_observer_that_was_set_meanwhile_stays) {
  scratch const folder;
  static errgroup::observer meanwhile;
  {
    errgroup::trace const session(folder / "run.json");
    errgroup::observe(&meanwhile);
  }
  EXPECT_EQ(errgroup::observe(nullptr), &meanwhile);
}

TEST(Trace, Y2_groups_may_outlive_the_session) {
  scratch const folder;
  support::with_workers(2, [&] {
    auto session = std::make_unique<errgroup::trace>(folder / "run.json");
    support::gate has_begun("the task to begin");
    support::gate may_end("the end of the session");
    errgroup::group g{{.limit = 2, .name = "survivor"}};
    g.run("long", [&] {
      has_begun.open();
      may_end.wait();
    });
    has_begun.wait();
    session.reset();
    std::string const file = content(folder / "run.json");
    EXPECT_EQ(times(R"("cat":"task")", file), 1U);
    EXPECT_THAT(file, HasSubstr(R"("unfinished":true)"));

    may_end.open();
    g.run([] {});
    EXPECT_FALSE(g.wait());
    EXPECT_EQ(content(folder / "run.json"), file);

    // They tell the next session, and their threads take part in it.
    errgroup::trace next(folder / "next.json");
    g.run([] {});
    EXPECT_FALSE(g.wait());
    next.flush();
    EXPECT_EQ(task_slices(folder / "next.json"), 1U);
  });
}

TEST(Trace, Y2_a_task_that_began_in_one_session_ends_in_the_next) {
  scratch const folder;
  support::with_workers(1, [&] {
    auto session = std::make_unique<errgroup::trace>(folder / "run.json");
    support::gate has_begun("the task to begin");
    support::gate may_end("the next session");
    errgroup::group g{{.limit = 1}};
    g.run([&] {
      has_begun.open();
      may_end.wait();
    });
    has_begun.wait();
    session.reset();
    errgroup::trace next(folder / "next.json");
    may_end.open();
    EXPECT_FALSE(g.wait());
    next.flush();
    std::string const file = content(folder / "next.json");
    EXPECT_EQ(times(R"("cat":"task")", file), 1U);
    EXPECT_THAT(file, Not(HasSubstr(R"("ts":-)")));
  });
}

TEST(Trace, Y3_events_that_find_no_room_are_counted) {
  scratch const folder;
  errgroup::trace session(folder / "run.json", {.events = 1});  // rounded up to 512
  run_tasks(200);
  EXPECT_EQ(session.dropped(), 0U);
  run_tasks(1000);
  EXPECT_GT(session.dropped(), 1500U);
  session.flush();
  std::size_t const kept = task_slices(folder / "run.json");
  EXPECT_GT(kept, 0U);
  EXPECT_THAT(content(folder / "run.json"),
              HasSubstr(std::string("\"dropped_tasks\":") + std::to_string(1200 - kept) + "}"));
}

TEST(Trace, Y3_threads_that_come_and_go_use_the_same_room) {
  scratch const folder;
  errgroup::trace session(folder / "run.json", {.events = 1});
  for (int i = 0; i != 100; ++i) {
    std::thread([] { run_tasks(2); }).join();
  }
  session.flush();
  EXPECT_GT(task_slices(folder / "run.json"), 50U);
}

/// So many threads with a task each, at the same time.
void run_crowd(int threads) {
  support::rendezvous all_are_in(threads);
  std::vector<std::thread> crowd;
  for (int i = 0; i != threads; ++i) {
    crowd.emplace_back([&] {
      errgroup::group g;
      EXPECT_FALSE(g.run_and_wait([&] { all_are_in.arrive_and_wait(); }));
    });
  }
  for (std::thread& t : crowd) {
    t.join();
  }
}

TEST(Trace, Y3_more_threads_than_chunks_lose_the_newest_events) {
  scratch const folder;
  constexpr int threads = 24;  // the least memory is of 16 chunks
  errgroup::trace session(folder / "run.json", {.events = 1});
  run_crowd(threads);
  EXPECT_GT(session.dropped(), 0U);
  session.flush();
  std::size_t const kept = task_slices(folder / "run.json");
  EXPECT_THAT(content(folder / "run.json"),
              HasSubstr(std::string("\"dropped_tasks\":") + std::to_string(threads - kept) + "}"));
}

TEST(Trace, Y3_after_a_crowd_there_is_room_for_the_next_threads) {
  scratch const folder;
  errgroup::trace const session(folder / "run.json", {.events = 1});
  run_crowd(24);  // 16 chunks
  std::size_t const dropped = session.dropped();
  run_crowd(12);
  EXPECT_EQ(session.dropped(), dropped);
}

TEST(Trace, Y1_a_reader_of_the_ring_sees_whole_records_while_it_is_overwritten) {
  using errgroup::detail::event_store;
  using errgroup::detail::record;
  constexpr std::uint64_t session = 1;
  constexpr std::uint64_t chunks = 20'000;
  static event_store store(event_store::least_chunks);  // threads of a failed test may use it
  std::atomic<bool> is_over{false};
  std::thread writer([&] {
    for (std::uint64_t n = 1; n <= chunks; ++n) {
      event_store::chunk* const c = store.take(session);
      for (std::uint32_t i = 0; i != event_store::chunk_records; ++i) {
        record& r = c->records[i];
        r.set_header({.kind = {}, .name_size = 0, .group_size = 0, .flags = 0, .thread = 0});
        r.set_begin(n);
        r.set_end(n);
        r.set_group(n);
        r.set_index(n);
        c->count.store(i + 1, std::memory_order_release);
      }
      event_store::close(*c);
    }
    is_over = true;
  });
  std::size_t torn = 0;
  std::vector<record> seen;
  do {
    seen.clear();
    store.read(session, seen);
    for (record& r : seen) {
      torn += r.begin() != r.index() || r.end() != r.group() || r.begin() != r.group() ? 1U : 0U;
    }
  } while (!is_over);
  writer.join();
  EXPECT_EQ(torn, 0U);
  seen.clear();
  store.read(session, seen);
  EXPECT_EQ(seen.size(), event_store::least_chunks * event_store::chunk_records);
  EXPECT_EQ(store.dropped(), (chunks - event_store::least_chunks) * event_store::chunk_records);
}

// --- refusals

TEST(Trace, Y4_a_file_that_cannot_be_opened_is_told_at_once) {
  scratch const folder;
  std::string const path = folder / "nowhere/run.json";
  EXPECT_EQ(thrown_by<std::system_error>([&] { errgroup::trace const session(path); }),
            "errgroup::trace: cannot open '" + path + "' for writing: No such file or directory");
  errgroup::trace const session(folder / "run.json");  // the failure has left nothing behind
}

TEST(Trace, Y4_two_sessions_at_once_are_refused) {
  scratch const folder;
  errgroup::trace session(folder / "one.json");
  EXPECT_THAT(
      thrown_by<std::logic_error>([&] { errgroup::trace const second(folder / "two.json"); }),
      HasSubstr("one session at a time"));
  EXPECT_FALSE(std::filesystem::exists(folder / "two.json"));
  run_tasks(3);
  session.flush();
  EXPECT_EQ(task_slices(folder / "one.json"), 3U);
}

TEST(Trace, Y4_room_for_no_event_is_refused) {
  scratch const folder;
  EXPECT_THAT(thrown_by<std::invalid_argument>(
                  [&] { errgroup::trace const session(folder / "run.json", {.events = 0}); }),
              HasSubstr("events is 0"));
}

TEST(Trace, Y4_more_room_than_there_is_is_refused) {
  scratch const folder;
  EXPECT_THROW(errgroup::trace(folder / "run.json", {.events = ~std::size_t{0}}), std::bad_alloc);
  errgroup::trace const session(folder / "run.json");
}

TEST(Trace, Y4_flush_tells_that_the_disk_is_full) {
  testing::internal::CaptureStderr();
  {
    errgroup::trace session("/dev/full");
    run_tasks(3);
    EXPECT_EQ(thrown_by<std::system_error>([&] { session.flush(); }),
              "errgroup::trace: cannot write '/dev/full': No space left on device");
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "errgroup::trace: cannot write '/dev/full': No space left on device\n");
}

TEST(Trace, Y4_a_child_process_writes_nothing) {
  scratch const folder;
  auto session = std::make_unique<errgroup::trace>(folder / "run.json");
  pid_t const child = ::fork();
  if (child == 0) {
    session.reset();
    std::_Exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(content(folder / "run.json"), "");
  session.reset();
  EXPECT_THAT(content(folder / "run.json"), HasSubstr("traceEvents"));
}

// --- dump_on

/// A pipe whose reader waits for words.
class pipe_reader {
 public:
  pipe_reader() { EXPECT_EQ(::pipe2(ends_.data(), O_CLOEXEC), 0); }
  pipe_reader(pipe_reader const&) = delete;
  pipe_reader& operator=(pipe_reader const&) = delete;
  ~pipe_reader() {
    ::close(ends_[0]);
    // The other end stays open: the thread of `dump_on` may write to it.
  }

  [[nodiscard]] int input() const { return ends_[1]; }

  std::string read_until(std::string const& words) {
    while (text_.find(words) == std::string::npos) {
      pollfd ready{ends_[0], POLLIN, 0};
      if (::poll(&ready, 1, static_cast<int>(support::patience.count()) * 1000) != 1) {
        support::give_up(words.c_str());
      }
      std::array<char, 512> piece{};
      ssize_t const n = ::read(ends_[0], piece.data(), piece.size());
      text_.append(piece.data(), static_cast<std::size_t>(n > 0 ? n : 0));
    }
    return text_;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
  std::string text_;
};

TEST(DumpOn, Y5_a_signal_writes_what_groups_do) {
  pipe_reader out;
  errgroup::dump_on(SIGUSR1, out.input());
  errgroup::group g{{.name = "import"}};
  EXPECT_FALSE(g.run_and_wait([&] {
    errgroup::group inner{{.name = "parse"}};
    EXPECT_FALSE(inner.run_and_wait([&] {
      ASSERT_EQ(::raise(SIGUSR1), 0);
      std::string const text = out.read_until("parse");
      EXPECT_THAT(text, HasSubstr("import"));
    }));
  }));
}

TEST(DumpOn, Y5_a_signal_writes_json_if_that_is_asked_for) {
  pipe_reader out;
  errgroup::dump_on(SIGUSR2, out.input(), errgroup::dump_format::json);
  ASSERT_EQ(::raise(SIGUSR2), 0);
  EXPECT_THAT(out.read_until("waiting_threads"), HasSubstr("\"groups\":["));
}

TEST(DumpOn, Y5_the_handler_keeps_errno) {
  pipe_reader out;
  errgroup::dump_on(SIGUSR1, out.input());
  errno = ENOTTY;
  ASSERT_EQ(::raise(SIGUSR1), 0);
  EXPECT_EQ(errno, ENOTTY);
  out.read_until("no observed group");
}

TEST(DumpOn, Y5_a_second_call_changes_the_file) {
  pipe_reader first;
  pipe_reader second;
  errgroup::dump_on(SIGUSR1, first.input());
  errgroup::dump_on(SIGUSR1, second.input());
  ASSERT_EQ(::raise(SIGUSR1), 0);
  second.read_until("no observed group");
}

TEST(DumpOn, Y5_an_observer_of_the_program_stays) {
  pipe_reader out;
  static errgroup::observer own;
  errgroup::observe(&own);
  errgroup::dump_on(SIGUSR1, out.input());
  EXPECT_EQ(errgroup::observe(nullptr), &own);
}

TEST(DumpOn, Y5_a_child_process_writes_nothing) {
  pipe_reader out;
  errgroup::dump_on(SIGUSR1, out.input());
  pid_t const child = ::fork();
  if (child == 0) {
    std::_Exit(::raise(SIGUSR1));
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  // The signal of the parent leads to one dump, which is all that is in the pipe.
  ASSERT_EQ(::raise(SIGUSR1), 0);
  EXPECT_EQ(out.read_until("\n"), "no observed group\n");
}

TEST(DumpOn, Y5_signals_that_cannot_be_caught_are_refused_in_words) {
  for (int const signal : {SIGKILL, SIGSTOP, 0, -1, 1000}) {
    EXPECT_THAT(thrown_by<std::system_error>([&] { errgroup::dump_on(signal); }),
                HasSubstr(std::string("signal ") + std::to_string(signal)));
  }
  EXPECT_EQ(thrown_by<std::system_error>([] { errgroup::dump_on(SIGKILL); }),
            "errgroup::dump_on: signal 9 (Killed) cannot be caught: choose another, such as "
            "SIGUSR1: Invalid argument");
  EXPECT_THAT(thrown_by<std::system_error>([] { errgroup::dump_on(SIGSEGV); }),
              HasSubstr("reports a fault"));
  EXPECT_EQ(thrown_by<std::system_error>([] { errgroup::dump_on(SIGUSR1, 999); }),
            "errgroup::dump_on: the file descriptor 999 is not open: Bad file descriptor");
}

}  // namespace
