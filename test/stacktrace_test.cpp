// SPDX-License-Identifier: Apache-2.0

// A program that is linked with errgroup::stacktrace: where what a task throws was thrown.

#include "captures.hpp"
#include "stacktrace/thrower.hpp"
#include "support/gate.hpp"
#include "support/ways.hpp"
#include <errgroup/error.hpp>
#include <errgroup/group.hpp>

#include <dlfcn.h>  // dlclose, dlopen, dlsym
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>     // any_of
#include <atomic>        // atomic
#include <cstddef>       // size_t
#include <cstdint>       // uintptr_t
#include <exception>     // current_exception, exception_ptr, make_exception_ptr, rethrow_exception
#include <filesystem>    // copy_file, path, remove
#include <locale>        // locale
#include <stdexcept>     // logic_error, runtime_error
#include <string>        // string
#include <system_error>  // errc, make_error_code
#include <thread>        // thread
#include <utility>       // move
#include <vector>        // vector

// The linker has every call of malloc in this program, errgroup::stacktrace included, come here.
extern "C" {
void* __real_malloc(std::size_t size);  // NOLINT(bugprone-reserved-identifier)
void* __wrap_malloc(std::size_t size);  // NOLINT(bugprone-reserved-identifier)
}

namespace {

constinit thread_local bool malloc_fails = false;
std::atomic<int> failed_mallocs = 0;

}  // namespace

void* __wrap_malloc(std::size_t size) {
  if (malloc_fails) {
    ++failed_mallocs;
    return nullptr;
  }
  return __real_malloc(size);
}

namespace {

using errgroup::error;
using errgroup::stack_frame;
using errgroup::detail::captured_stack;
using errgroup::detail::captured_stacks;
using testing::EndsWith;
using testing::HasSubstr;

using stack = std::vector<stack_frame>;

/// A fixture that asserts after every test that no stack outlives its exception.
class Stacktrace : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(captured_stacks(), 0U) << "left by an earlier test"; }
  void TearDown() override { EXPECT_EQ(captured_stacks(), 0U) << "a stack was not forgotten"; }
};

// --- places that throw -----------------------------------------------------------------------

// Whatever an optimiser would like: each is a function of its own, and calls rather than jumps.

int const line_of_throw_here = __LINE__ + 1;
[[gnu::noinline]] void throw_here() { throw std::runtime_error("thrown here"); }

std::atomic<int> after_calls = 0;

int const line_of_call = __LINE__ + 2;
[[gnu::noinline]] void call_throw_here() {
  throw_here();
  ++after_calls;
}

int const line_of_inlined_throw = __LINE__ + 2;
[[gnu::always_inline]] inline void throw_inlined() {
  throw std::logic_error("thrown in an inlined function");
}

int const line_of_inlined_call = __LINE__ + 1;
[[gnu::noinline]] void call_inlined() { throw_inlined(); }

[[gnu::noinline]] void throw_an_int() { throw 42; }

[[gnu::noinline]] void throw_words() { throw "just words"; }

/// Throws from inside the standard library's own shared library.
[[gnu::noinline]] void ask_for_a_strange_locale() {
  std::locale const strange("there is no such locale");
  ++after_calls;
}

[[gnu::noinline]] void descend(int depth) {
  if (depth > 0) {
    descend(depth - 1);
  } else if (depth == 0) {
    throw_here();
  }
  ++after_calls;
}

// --- helpers ---------------------------------------------------------------------------------

template <class F>
error error_of_task(F f) {
  errgroup::group g;
  g.run(std::move(f));
  return g.wait();
}

error held(std::exception_ptr e) { return e; }

void expect_begins(stack const& s, char const* function, char const* file, int line) {
  ASSERT_FALSE(s.empty());
  EXPECT_THAT(s[0].function, HasSubstr(function));
  EXPECT_THAT(s[0].file, EndsWith(file));
  EXPECT_EQ(s[0].line, line);
  EXPECT_NE(s[0].address, 0U);
}

void expect_thrown_here(stack const& s) {
  expect_begins(s, "throw_here()", "/stacktrace_test.cpp", line_of_throw_here);
}

bool has(stack const& s, char const* function) {
  return std::any_of(s.begin(), s.end(), [&](stack_frame const& f) {
    return f.function.find(function) != std::string::npos;
  });
}

// --- what is in a stack ----------------------------------------------------------------------

TEST_F(Stacktrace, begins_at_the_place_that_threw) {
  expect_thrown_here(error_of_task(throw_here).stack());
}

TEST_F(Stacktrace, goes_on_with_the_callers) {
  stack const s = error_of_task(call_throw_here).stack();
  expect_thrown_here(s);
  ASSERT_GT(s.size(), 2U);
  EXPECT_THAT(s[1].function, HasSubstr("call_throw_here()"));
  EXPECT_THAT(s[1].file, EndsWith("/stacktrace_test.cpp"));
  EXPECT_EQ(s[1].line, line_of_call);
  EXPECT_NE(s[1].address, s[0].address);
}

TEST_F(Stacktrace, has_an_entry_for_a_call_that_was_inlined) {
  stack const s = error_of_task(call_inlined).stack();
  expect_begins(s, "(anonymous namespace)::throw_inlined", "/stacktrace_test.cpp",
                line_of_inlined_throw);
  ASSERT_GT(s.size(), 2U);
  EXPECT_THAT(s[1].function, HasSubstr("call_inlined()"));
  EXPECT_EQ(s[1].line, line_of_inlined_call);
  EXPECT_EQ(s[1].address, s[0].address);
}

TEST_F(Stacktrace, holds_the_innermost_calls_of_a_deep_recursion) {
  stack const s = error_of_task([] { descend(1000); }).stack();
  expect_thrown_here(s);
  EXPECT_EQ(s.size(), errgroup::detail::raw_stack::most);
  EXPECT_THAT(s.back().function, HasSubstr("descend(int)"));
}

TEST_F(Stacktrace, is_in_the_message_if_asked_for) {
  error const e = error_of_task(call_throw_here);
  EXPECT_EQ(e.message().find("throw_here"), std::string::npos);
  std::string const words = e.message(errgroup::with_stack);
  EXPECT_EQ(words.substr(0, words.find('\n')), e.message());
  EXPECT_THAT(words, HasSubstr("call_throw_here() at "));
  EXPECT_THAT(words, HasSubstr("stacktrace_test.cpp:" + std::to_string(line_of_call)));
}

TEST_F(Stacktrace, tells_where_a_task_raised_an_error_that_is_a_code) {
  error const e = error_of_task([] { error(std::make_error_code(std::errc::io_error)).raise(); });
  EXPECT_EQ(e, std::errc::io_error);
  ASSERT_FALSE(e.stack().empty());
  EXPECT_THAT(e.stack()[0].function, HasSubstr("error::raise()"));
}

TEST_F(Stacktrace, is_there_for_each_of_several_errors) {
  errgroup::group g{{.policy = errgroup::on_error::keep_going, .errors = errgroup::keep::all}};
  for (int i = 0; i != 3; ++i) {
    g.run(call_throw_here);
  }
  error const e = g.wait();
  expect_thrown_here(e.stack());
  ASSERT_EQ(e.others().size(), 2U);
  for (error const& other : e.others()) {
    expect_thrown_here(other.stack());
  }
}

TEST_F(Stacktrace, is_the_same_each_time) {
  error const e = error_of_task(call_throw_here);
  stack const s = e.stack();
  stack const again = e.stack();
  ASSERT_EQ(s.size(), again.size());
  for (std::size_t i = 0; i != s.size(); ++i) {
    EXPECT_EQ(s[i].address, again[i].address);
    EXPECT_EQ(s[i].function, again[i].function);
    EXPECT_EQ(s[i].line, again[i].line);
  }
}

// --- what threw it ---------------------------------------------------------------------------

TEST_F(Stacktrace, tells_of_a_shared_library_that_was_linked) {
  error const e = error_of_task(thrower::throw_in_library);
  expect_begins(e.stack(), "thrower::throw_in_library()", "/thrower.cpp",
                thrower::line_of_throw_in_library);
}

TEST_F(Stacktrace, tells_of_a_type_that_only_a_shared_library_knows) {
  error const e = error_of_task(thrower::throw_local_type);
  EXPECT_EQ(e.what(), "of a type that only a library knows");
  stack const s = e.stack();
  ASSERT_FALSE(s.empty());
  EXPECT_THAT(s[0].function, HasSubstr("thrower::throw_local_type()"));
}

TEST_F(Stacktrace, tells_of_a_shared_library_that_was_opened_after_others_were_read) {
  expect_thrown_here(error_of_task(throw_here).stack());
  void* const plugin = dlopen(ERRGROUP_TEST_PLUGIN, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(plugin, nullptr) << dlerror();
  auto* const throw_in_plugin = reinterpret_cast<void (*)()>(dlsym(plugin, "throw_in_plugin"));
  auto* const line = static_cast<int const*>(dlsym(plugin, "line_of_throw_in_plugin"));
  ASSERT_NE(throw_in_plugin, nullptr);
  ASSERT_NE(line, nullptr);
  {
    error const e = error_of_task(throw_in_plugin);
    expect_begins(e.stack(), "throw_in_plugin", "/plugin.cpp", *line);
  }
  EXPECT_EQ(dlclose(plugin), 0);
}

TEST_F(Stacktrace, does_not_read_a_file_that_took_the_place_of_a_loaded_one) {
  std::filesystem::path const mine = ERRGROUP_TEST_PLUGIN ".replaced";
  std::filesystem::remove(mine);  // not written over: another may have it loaded
  std::filesystem::copy_file(ERRGROUP_TEST_PLUGIN, mine);
  void* const plugin = dlopen(mine.c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(plugin, nullptr) << dlerror();
  auto* const throw_in_plugin = reinterpret_cast<void (*)()>(dlsym(plugin, "throw_in_plugin"));
  ASSERT_NE(throw_in_plugin, nullptr);
  {
    error const e = error_of_task(throw_in_plugin);
    std::filesystem::remove(mine);
    std::filesystem::copy_file(ERRGROUP_TEST_TWIN, mine);
    stack const s = e.stack();
    std::filesystem::remove(mine);
    ASSERT_GT(s.size(), 1U);
    EXPECT_NE(s[0].address, 0U);
    EXPECT_EQ(s[0].function, "");
    EXPECT_EQ(s[0].file, "");
    EXPECT_NE(s[1].function, "") << "of this program";
  }
  EXPECT_EQ(dlclose(plugin), 0);
}

TEST_F(Stacktrace, tells_of_the_standard_library) {
  stack const s = error_of_task(ask_for_a_strange_locale).stack();
  ASSERT_FALSE(s.empty());
  EXPECT_THAT(s[0].function, HasSubstr("std::__throw_runtime_error"));
  EXPECT_TRUE(has(s, "ask_for_a_strange_locale()"));
}

TEST_F(Stacktrace, tells_of_what_has_no_destructor) {
  error const number = error_of_task(throw_an_int);
  ASSERT_NE(number.get_if<int>(), nullptr);
  EXPECT_EQ(*number.get_if<int>(), 42);
  EXPECT_TRUE(has(number.stack(), "throw_an_int()"));

  error const words = error_of_task(throw_words);
  EXPECT_TRUE(has(words.stack(), "throw_words()"));
}

TEST_F(Stacktrace, is_there_on_every_way_that_a_task_takes_to_a_thread) {
  support::on_every_way([](errgroup::group& g) {
    g.run(call_throw_here);
    expect_thrown_here(g.wait().stack());
    g.reset();
    expect_thrown_here(g.run_and_wait(call_throw_here).stack());
  });
}

// --- how long it is there --------------------------------------------------------------------

TEST_F(Stacktrace, is_of_the_first_throw_when_the_exception_is_thrown_on) {
  expect_thrown_here(error_of_task([] {
                       try {
                         throw_here();
                       } catch (std::runtime_error const&) {
                         throw;
                       }
                     }).stack());
}

TEST_F(Stacktrace, goes_with_an_exception_pointer_to_another_task) {
  std::exception_ptr found;
  EXPECT_FALSE(error_of_task([&found] {
    try {
      throw_here();
    } catch (...) {
      found = std::current_exception();
    }
  }));
  expect_thrown_here(held(found).stack());
  error const e = error_of_task([&found] { std::rethrow_exception(std::move(found)); });
  expect_thrown_here(e.stack());
}

TEST_F(Stacktrace, is_read_and_forgotten_in_any_thread) {
  error e = error_of_task(throw_here);
  EXPECT_EQ(captured_stacks(), 1U);
  std::thread other([mine = std::move(e)]() mutable {
    expect_thrown_here(mine.stack());
    try {
      mine.raise();
    } catch (std::runtime_error const&) {
      mine = error();
      expect_thrown_here(held(std::current_exception()).stack());
    }
    EXPECT_EQ(captured_stacks(), 0U);
  });
  other.join();
}

TEST_F(Stacktrace, is_of_the_inner_group_when_an_outer_one_hands_its_error_on) {
  expect_thrown_here(error_of_task([] { return error_of_task(throw_here); }).stack());
  expect_thrown_here(error_of_task([] { error_of_task(throw_here).raise(); }).stack());
}

TEST_F(Stacktrace, stays_while_other_exceptions_come_and_go) {
  struct throws_and_catches {
    throws_and_catches() = default;
    throws_and_catches(throws_and_catches const&) = delete;
    throws_and_catches& operator=(throws_and_catches const&) = delete;
    ~throws_and_catches() {
      try {
        throw_words();
      } catch (char const*) {
      }
    }
  };
  expect_thrown_here(error_of_task([] {
                       try {
                         throws_and_catches const while_it_flies;
                         throw_here();
                       } catch (std::runtime_error const&) {
                         throws_and_catches const while_it_is_caught;
                         throw;
                       }
                     }).stack());
}

TEST_F(Stacktrace, leaves_the_exception_its_destructor) {
  static std::atomic<int> made = 0;
  static std::atomic<int> destroyed = 0;
  struct counted {
    counted() noexcept { ++made; }
    counted(counted const&) noexcept { ++made; }
    counted& operator=(counted const&) = delete;
    ~counted() { ++destroyed; }
  };
  made = 0;
  destroyed = 0;
  {
    error const e = error_of_task([] { throw counted(); });
    EXPECT_FALSE(e.stack().empty());
    EXPECT_EQ(made - destroyed, 1);
  }
  EXPECT_GT(made, 0);
  EXPECT_EQ(made, destroyed);
}

TEST_F(Stacktrace, is_each_exceptions_own_where_many_threads_throw_at_once) {
  constexpr int threads = 4;
  constexpr int rounds = 200;
  std::atomic<int> right = 0;
  support::rendezvous all(threads, "all tasks to run");
  errgroup::group g;
  for (int t = 0; t != threads; ++t) {
    g.run([&, t] {
      all.arrive_and_wait();
      std::exception_ptr kept;
      for (int i = 0; i != rounds; ++i) {
        try {
          t % 2 == 0 ? throw_here() : thrower::throw_in_library();
        } catch (...) {
          kept = std::current_exception();
        }
      }
      char const* const function = t % 2 == 0 ? "throw_here()" : "throw_in_library()";
      stack const s = held(std::move(kept)).stack();
      right += !s.empty() && s[0].function.find(function) != std::string::npos;
    });
  }
  support::waiters all_of_them(g, threads);
  for (auto const& e : all_of_them.errors()) {
    EXPECT_FALSE(e) << e;
  }
  EXPECT_EQ(right, threads);
}

TEST_F(Stacktrace, is_each_exceptions_own_however_many_are_kept) {
  struct kept {
    std::exception_ptr exception;
    void const* object;
  };
  constexpr std::size_t many = 2000;
  std::vector<kept> all;
  EXPECT_FALSE(error_of_task([&all] {
    for (std::size_t i = 0; i != many; ++i) {
      try {
        i % 2 == 0 ? throw_here() : thrower::throw_in_library();
      } catch (std::runtime_error const& e) {
        all.push_back({std::current_exception(), &e});
      }
    }
  }));
  EXPECT_EQ(captured_stacks(), many);
  ASSERT_EQ(all.size(), many);
  std::uintptr_t const here = captured_stack(all[0].object).calls[0];
  std::uintptr_t const library = captured_stack(all[1].object).calls[0];
  EXPECT_NE(here, library);
  std::size_t right = 0;
  for (std::size_t i = 0; i != many; ++i) {
    auto const s = captured_stack(all[i].object);
    right += s.size != 0 && s.calls[0] == (i % 2 == 0 ? here : library) ? 1U : 0U;
  }
  EXPECT_EQ(right, many);
  while (all.size() > many / 2) {
    all.pop_back();
  }
  EXPECT_EQ(captured_stacks(), many / 2);
}

// --- where there is none ---------------------------------------------------------------------

TEST_F(Stacktrace, of_what_was_thrown_outside_of_any_task_is_not_captured) {
  // Before this thread has run a task and after.
  for (int round = 0; round != 2; ++round) {
    std::exception_ptr found;
    try {
      throw_here();
    } catch (...) {
      found = std::current_exception();
    }
    EXPECT_EQ(captured_stacks(), 0U);
    EXPECT_TRUE(held(found).stack().empty());
    error const e = error_of_task([&found] { std::rethrow_exception(found); });
    EXPECT_TRUE(e);
    EXPECT_TRUE(e.stack().empty());
    errgroup::group g;
    EXPECT_FALSE(g.run_and_wait([] {}));
  }
}

TEST_F(Stacktrace, of_what_was_not_thrown_is_empty) {
  EXPECT_TRUE(error().stack().empty());
  EXPECT_TRUE(error(errgroup::errc::canceled).stack().empty());
  error const code =
      error_of_task([] { return std::make_error_code(std::errc::no_space_on_device); });
  EXPECT_TRUE(code);
  EXPECT_TRUE(code.stack().empty());
  error const made = error_of_task([]() -> error { return std::make_exception_ptr(1); });
  EXPECT_TRUE(made);
  EXPECT_TRUE(made.stack().empty());
}

TEST_F(Stacktrace, is_empty_without_memory_and_the_exception_flies_all_the_same) {
  failed_mallocs = 0;
  error const e = error_of_task([] {
    malloc_fails = true;
    try {
      throw_an_int();
    } catch (int) {
      malloc_fails = false;
      throw;
    }
  });
  EXPECT_EQ(failed_mallocs, 1) << "the test has failed what it meant to";
  ASSERT_NE(e.get_if<int>(), nullptr);
  EXPECT_TRUE(e.stack().empty());
}

// --- what stays as it is ---------------------------------------------------------------------

// This file's variables are set before those of the libraries that it is linked with.
bool const thrown_before_main = [] {
  try {
    throw_an_int();
  } catch (int n) {
    return n == 42;
  }
  return false;
}();

TEST_F(Stacktrace, does_not_hinder_what_is_thrown_before_main) { EXPECT_TRUE(thrown_before_main); }

TEST_F(Stacktrace, lets_what_nobody_may_catch_terminate_the_program) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto const err = error_of_task([]() noexcept { throw_here(); });
        static_cast<void>(err);
      },
      "thrown here");
}

}  // namespace
