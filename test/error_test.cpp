// SPDX-License-Identifier: Apache-2.0
#include <errgroup/error.hpp>
#include <errgroup/exception_group.hpp>
#include <errgroup/group.hpp>
#include <errgroup/result.hpp>
#include <errgroup/retry.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>        // nanoseconds
#include <cstddef>       // size_t
#include <exception>     // current_exception, exception_ptr, make_exception_ptr
#include <future>        // future_errc, future_error
#include <memory>        // make_unique, unique_ptr
#include <sstream>       // ostringstream
#include <stdexcept>     // runtime_error
#include <string>        // string, to_string
#include <string_view>   // string_view
#include <system_error>  // errc, error_code, system_error
#include <thread>        // thread
#include <type_traits>   // is_base_of_v, is_convertible_v, is_nothrow_...
#include <utility>       // move, swap
#include <vector>        // vector

namespace {

using errgroup::errc;
using errgroup::error;

struct not_an_exception {
  int n;
};

error make(std::exception_ptr e) { return e; }

std::error_code not_found() { return std::make_error_code(std::errc::no_such_file_or_directory); }

error failed_in(char const* group_name, char const* task_name) {
  errgroup::group g{{.name = group_name}};
  g.run(task_name, [] { return not_found(); });
  return g.wait();
}

// --- what it is ------------------------------------------------------------------------------

TEST(Error, made_of_nothing_is_success) {
  error const e;
  EXPECT_FALSE(e);
  EXPECT_EQ(e.code().value(), 0);
  EXPECT_EQ(e.exception(), nullptr);
  EXPECT_EQ(e.message(), "");
  EXPECT_EQ(e.skipped(), 0U);
  EXPECT_TRUE(e.all().empty());
  EXPECT_NO_THROW(e.raise());
  EXPECT_EQ(e.get_if<std::error_code>(), nullptr);
  EXPECT_EQ(e.get_if<std::runtime_error>(), nullptr);
}

TEST(Error, a_zero_code_is_success_in_any_category) {
  EXPECT_FALSE(error(std::error_code()));
  EXPECT_FALSE(error(std::error_code(0, std::generic_category())));
  EXPECT_FALSE(error(std::error_code(0, errgroup::error_category())));
}

TEST(Error, a_null_exception_pointer_is_success) {
  error const e = make(nullptr);
  EXPECT_FALSE(e);
  EXPECT_EQ(e, error());
}

TEST(Error, a_code_is_kept_as_it_is) {
  error const e = not_found();
  EXPECT_TRUE(e);
  EXPECT_EQ(e.code(), not_found());
  EXPECT_EQ(e.message(), not_found().message());
}

TEST(Error, is_made_implicitly_of_an_error_code_enum_errc_and_foreign_ones) {
  error const ours = errc::canceled;
  EXPECT_TRUE(ours);
  EXPECT_EQ(ours.code(), errgroup::make_error_code(errc::canceled));
  error const foreign = std::future_errc::broken_promise;
  EXPECT_EQ(foreign.code(), std::make_error_code(std::future_errc::broken_promise));
  static_assert(std::is_convertible_v<std::error_code, error>);
  static_assert(std::is_convertible_v<std::exception_ptr, error>);
  static_assert(!std::is_convertible_v<std::errc, error>, "a condition is no code");
  static_assert(!std::is_convertible_v<int, error>);
  static_assert(!std::is_convertible_v<error, bool>, "only explicitly");
}

// --- errc ------------------------------------------------------------------------------------

TEST(Errc, has_a_category_named_errgroup) {
  EXPECT_STREQ(errgroup::error_category().name(), "errgroup");
  std::error_code const code = errc::failed;
  EXPECT_EQ(&code.category(), &errgroup::error_category());
  EXPECT_EQ(static_cast<int>(errc::canceled), 1);
}

TEST(Errc, is_the_conditions_it_stands_for_and_no_other) {
  EXPECT_EQ(make_error_code(errc::canceled), std::errc::operation_canceled);
  EXPECT_EQ(make_error_code(errc::deadline_exceeded), std::errc::timed_out);
  EXPECT_EQ(make_error_code(errc::would_deadlock), std::errc::resource_deadlock_would_occur);
  EXPECT_NE(make_error_code(errc::canceled), std::errc::timed_out);
  for (errc const own : {errc::exception, errc::failed}) {
    std::error_condition const c = make_error_code(own).default_error_condition();
    EXPECT_EQ(&c.category(), &errgroup::error_category());
    EXPECT_EQ(c.value(), static_cast<int>(own));
  }
}

TEST(Errc, says_something_different_for_each_value_and_something_for_an_unknown_one) {
  std::vector<std::string> said;
  for (int i = 1; i <= 6; ++i) {
    std::string const words = errgroup::error_category().message(i);
    EXPECT_FALSE(words.empty());
    for (auto const& other : said) {
      EXPECT_NE(words, other);
    }
    said.push_back(words);
  }
}

// --- exceptions ------------------------------------------------------------------------------

TEST(Error, of_an_exception_has_errc_exception_and_its_what) {
  auto const p = std::make_exception_ptr(std::runtime_error("the disk is full"));
  error const e = p;
  EXPECT_TRUE(e);
  EXPECT_EQ(e.code(), errc::exception);
  EXPECT_EQ(e.exception(), p);
  EXPECT_EQ(e.message(), "the disk is full");
}

TEST(Error, of_a_system_error_has_its_code) {
  error const e = std::make_exception_ptr(std::system_error(not_found(), "opening"));
  EXPECT_EQ(e.code(), not_found());
  EXPECT_NE(e.message().find("opening"), std::string::npos);
  EXPECT_EQ(e, std::errc::no_such_file_or_directory);
}

TEST(Error, E2_of_a_system_error_with_a_zero_code_is_a_failure) {
  error const e = std::make_exception_ptr(std::system_error(std::error_code()));
  EXPECT_TRUE(e);
  EXPECT_EQ(e.code(), errc::exception);
}

TEST(Error, of_something_that_is_no_std_exception_says_so) {
  error const e = std::make_exception_ptr(not_an_exception{7});
  EXPECT_TRUE(e);
  EXPECT_EQ(e.code(), errc::exception);
  EXPECT_FALSE(e.message().empty());
  ASSERT_NE(e.get_if<not_an_exception>(), nullptr);
  EXPECT_EQ(e.get_if<not_an_exception>()->n, 7);
}

TEST(Error, of_a_code_has_a_system_error_as_its_exception) {
  error const e = not_found();
  try {
    std::rethrow_exception(e.exception());
    ADD_FAILURE() << "nothing was thrown";
  } catch (std::system_error const& thrown) {
    EXPECT_EQ(thrown.code(), not_found());
  }
}

TEST(Error, of_a_thrown_code_has_that_code_and_its_words) {
  error const e = std::make_exception_ptr(not_found());
  EXPECT_EQ(e, not_found());
  EXPECT_EQ(e.what(), not_found().message());
  error const nothing = std::make_exception_ptr(std::error_code());
  EXPECT_EQ(nothing, errc::exception) << "E2: it was thrown all the same";
}

TEST(Error, raise_throws_the_very_exception) {
  auto const p = std::make_exception_ptr(std::runtime_error("x"));
  try {
    make(p).raise();
    ADD_FAILURE() << "nothing was thrown";
  } catch (std::runtime_error const&) {
    EXPECT_EQ(std::current_exception(), p);
  }
}

TEST(Error, raise_throws_a_code_as_a_system_error) {
  try {
    error(errc::canceled).raise();
    ADD_FAILURE() << "nothing was thrown";
  } catch (std::system_error const& thrown) {
    EXPECT_EQ(thrown.code(), errc::canceled);
  }
}

// --- get_if ----------------------------------------------------------------------------------

TEST(Error, get_if_gives_what_was_thrown_as_its_type_or_a_base_and_null_for_another) {
  error const e = std::make_exception_ptr(std::runtime_error("x"));
  ASSERT_NE(e.get_if<std::runtime_error>(), nullptr);
  EXPECT_STREQ(e.get_if<std::runtime_error>()->what(), "x");
  EXPECT_NE(e.get_if<std::exception>(), nullptr);
  EXPECT_EQ(e.get_if<std::logic_error>(), nullptr);
  EXPECT_EQ(e.get_if<std::error_code>(), nullptr);
  EXPECT_EQ(e.get_if<int>(), nullptr);
}

TEST(Error, get_if_gives_a_returned_code) {
  error const e = not_found();
  ASSERT_NE(e.get_if<std::error_code>(), nullptr);
  EXPECT_EQ(*e.get_if<std::error_code>(), not_found());
  EXPECT_EQ(e.get_if<std::system_error>(), nullptr) << "a code was returned, nothing was thrown";
}

TEST(Error, get_if_gives_a_thrown_code_too) {
  error const e = std::make_exception_ptr(not_found());
  ASSERT_NE(e.get_if<std::error_code>(), nullptr);
  EXPECT_EQ(*e.get_if<std::error_code>(), not_found());
}

TEST(Error, get_if_gives_the_value_of_a_bad_result) {
  error const e = std::make_exception_ptr(errgroup::bad_result<std::string>("kept whole"));
  ASSERT_NE(e.get_if<std::string>(), nullptr);
  EXPECT_EQ(*e.get_if<std::string>(), "kept whole");
  EXPECT_NE(e.get_if<errgroup::bad_result<std::string>>(), nullptr);
}

TEST(Error, get_if_points_to_what_lives_as_long_as_a_copy_does) {
  error copy;
  std::string const* kept = nullptr;
  {
    error const e = std::make_exception_ptr(errgroup::bad_result<std::string>("still here"));
    kept = e.get_if<std::string>();
    copy = e;
  }
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(*kept, "still here");
}

TEST(Error, find_if_and_all_look_at_a_single_error_too) {
  error const e = not_found();
  ASSERT_EQ(e.all().size(), 1U);
  EXPECT_EQ(e.all().data(), &e);
  EXPECT_EQ(e.find_if([](error const& one) { return one == not_found(); }), &e);
  EXPECT_EQ(e.find_if([](error const& one) { return one == errc::canceled; }), nullptr);
}

// --- errors of a type of its own -------------------------------------------------------------

struct says_what {
  std::string words;
  [[nodiscard]] char const* what() const noexcept { return words.c_str(); }
};
struct has_a_message {
  std::string words;
  [[nodiscard]] std::string const& message() const noexcept { return words; }
};
struct is_a_string_with_a_message {
  operator std::string_view() const noexcept { return "as a string"; }
  [[nodiscard]] std::string message() const { return "as a message"; }
};
struct says_both {
  [[nodiscard]] std::string what() const { return "as what"; }
  [[nodiscard]] std::string message() const { return "as a message"; }
};
struct has_a_message_for_each_number {
  [[nodiscard]] std::string message(int number) const { return std::to_string(number); }
};
struct has_a_number_of_messages {
  [[nodiscard]] int message() const noexcept { return 3; }
};

struct abstract {
  abstract() = default;
  abstract(abstract const&) = default;
  abstract& operator=(abstract const&) = delete;
  virtual ~abstract() = default;
  [[nodiscard]] virtual int number() const = 0;
};
struct concrete final : abstract {
  [[nodiscard]] int number() const override { return 7; }
};

TEST(Error, get_if_gives_what_was_thrown_as_an_abstract_base) {
  error const e = std::make_exception_ptr(concrete());
  ASSERT_NE(e.get_if<abstract>(), nullptr);
  EXPECT_EQ(e.get_if<abstract>()->number(), 7);
}

struct says_nothing : std::exception {
  [[nodiscard]] char const* what() const noexcept override { return nullptr; }
};

TEST(Error, of_an_exception_without_words_has_none) {
  EXPECT_EQ(make(std::make_exception_ptr(says_nothing())).what(), "");
  error const kept = errgroup::make_error(says_nothing());
  EXPECT_EQ(kept.what(), "a task returned an error of a type of its own");
  EXPECT_NE(kept.get_if<says_nothing>(), nullptr);
}

TEST(BadResult, keeps_its_value_and_says_what_it_is) {
  errgroup::bad_result<int> const bad(42);
  EXPECT_EQ(bad.value(), 42);
  EXPECT_STRNE(bad.what(), "");
  EXPECT_EQ(bad.code(), errc::failed);
  EXPECT_EQ(errgroup::bad_result<int>(42, not_found()).code(), not_found());
}

TEST(BadResult, is_a_system_error_that_is_copied_without_throwing_whatever_it_keeps) {
  using owner = std::unique_ptr<int>;
  using bad_owner = errgroup::bad_result<owner>;
  static_assert(std::is_base_of_v<std::system_error, bad_owner>);
  static_assert(std::is_nothrow_copy_constructible_v<bad_owner>);
  static_assert(std::is_nothrow_copy_assignable_v<bad_owner>);
  bad_owner const bad(std::make_unique<int>(7));
  bad_owner const copy = bad;  // NOLINT(performance-unnecessary-copy-initialization)
  EXPECT_EQ(&copy.value(), &bad.value());
}

TEST(MakeError, keeps_the_value_and_the_code) {
  error const e = errgroup::make_error(std::string("no such key"), not_found());
  EXPECT_EQ(e, not_found());
  EXPECT_EQ(e, std::errc::no_such_file_or_directory);
  ASSERT_NE(e.get_if<std::string>(), nullptr);
  EXPECT_EQ(*e.get_if<std::string>(), "no such key");
  EXPECT_EQ(e.get_if<std::error_code>(), nullptr) << "none was returned";
  EXPECT_EQ(e.what(), "no such key");
  EXPECT_EQ(e.message(), "no such key");
  try {
    e.raise();
    ADD_FAILURE() << "nothing was thrown";
  } catch (std::system_error const& thrown) {
    EXPECT_EQ(thrown.code(), not_found());
    EXPECT_STREQ(thrown.what(), "no such key");
  }
  // The exception alone knows the code, too.
  EXPECT_EQ(make(e.exception()), not_found());
}

TEST(MakeError, of_a_text_says_the_text_in_a_task_as_anywhere) {
  errgroup::group g;
  g.run([] { return errgroup::make_error("disk is full"); });
  error const e = g.wait();
  EXPECT_EQ(e, errc::failed);
  EXPECT_EQ(e.what(), "disk is full");
  ASSERT_NE(e.get_if<std::string>(), nullptr);
  EXPECT_EQ(*e.get_if<std::string>(), "disk is full");

  error const coded = errgroup::make_error("disk is full", not_found());
  EXPECT_EQ(coded, not_found());
  EXPECT_EQ(coded.what(), "disk is full");
}

TEST(MakeError, of_a_null_pointer_says_what_its_code_says) {
  EXPECT_EQ(errgroup::make_error(nullptr, not_found()).what(), not_found().message());
  char const* const no_text = nullptr;
  EXPECT_EQ(errgroup::make_error(no_text, not_found()).what(), not_found().message());
}

TEST(MakeError, of_a_text_keeps_a_copy_that_outlives_the_text) {
  std::string text = "disk 1 is full";
  std::string const before = text;
  error const of_a_view = errgroup::make_error(std::string_view(text));
  error const of_a_pointer = errgroup::make_error(text.c_str());
  error const of_a_buffer = errgroup::make_error(text.data());
  text.assign(text.size(), 'x');
  for (error const& e : {of_a_view, of_a_pointer, of_a_buffer}) {
    EXPECT_EQ(e.what(), before);
    ASSERT_NE(e.get_if<std::string>(), nullptr);
    EXPECT_EQ(*e.get_if<std::string>(), before);
  }
}

TEST(MakeError, E2_without_a_code_it_is_errc_failed) {
  EXPECT_EQ(errgroup::make_error(7), errc::failed);
  EXPECT_EQ(make(errgroup::make_error(7).exception()), errc::failed);
  error const e = errgroup::make_error(7, std::error_code());
  EXPECT_TRUE(e);
  EXPECT_EQ(e, errc::failed);
  EXPECT_EQ(make(e.exception()), errc::failed);
}

TEST(MakeError, keeps_what_can_only_be_moved) {
  error const e = errgroup::make_error(std::make_unique<int>(7));
  ASSERT_NE(e.get_if<std::unique_ptr<int>>(), nullptr);
  EXPECT_EQ(**e.get_if<std::unique_ptr<int>>(), 7);
}

TEST(MakeError, has_the_words_of_the_value) {
  auto const words = [](auto value) { return errgroup::make_error(std::move(value)).what(); };
  EXPECT_EQ(words(std::string("a string")), "a string");
  EXPECT_EQ(words(std::string_view("a view")), "a view");
  EXPECT_EQ(words(std::runtime_error("an exception")), "an exception");
  EXPECT_EQ(words(says_what{"what it says"}), "what it says");
  EXPECT_EQ(words(has_a_message{"a message"}), "a message");
  EXPECT_EQ(words(is_a_string_with_a_message()), "as a string");
  EXPECT_EQ(words(says_both()), "as what");
}

TEST(MakeError, of_a_value_without_words_says_something) {
  std::string const something = errgroup::make_error(7).what();
  EXPECT_FALSE(something.empty());
  EXPECT_EQ(errgroup::make_error(has_a_message_for_each_number()).what(), something);
  EXPECT_EQ(errgroup::make_error(has_a_number_of_messages()).what(), something);
  // A pointer may point to nothing, or to what is gone when somebody asks.
  EXPECT_EQ(errgroup::make_error(static_cast<char const*>(nullptr)).what(), something);
}

struct throws_instead_of_words {
  [[nodiscard]] std::string message() const { throw std::runtime_error("no words"); }
};

TEST(MakeError, throws_what_asking_for_the_words_throws) {
  EXPECT_THROW((void)errgroup::make_error(throws_instead_of_words()), std::runtime_error);
}

// --- comparisons -----------------------------------------------------------------------------

TEST(Error, is_equal_to_codes_conditions_and_their_enums) {
  error const e = errc::canceled;
  EXPECT_TRUE(e == errc::canceled);
  EXPECT_TRUE(errc::canceled == e);
  EXPECT_TRUE(e == make_error_code(errc::canceled));
  EXPECT_TRUE(e == std::errc::operation_canceled);
  EXPECT_TRUE(e == std::make_error_condition(std::errc::operation_canceled));
  EXPECT_TRUE(e != errc::failed);
  EXPECT_TRUE(e != std::errc::timed_out);
  EXPECT_TRUE(e != error());
  EXPECT_TRUE(error() == std::error_code());
}

TEST(Error, of_two_exceptions_is_equal_only_if_they_are_the_same_object) {
  auto const p = std::make_exception_ptr(std::runtime_error("x"));
  EXPECT_EQ(make(p), make(p));
  EXPECT_NE(make(p), make(std::make_exception_ptr(std::runtime_error("x"))));
}

TEST(Error, a_code_and_its_exception_are_two_errors_with_one_code) {
  error const code = not_found();
  error const thrown = std::make_exception_ptr(std::system_error(not_found()));
  EXPECT_NE(code, thrown);
  EXPECT_EQ(code.code(), thrown.code());
}

// --- copies and moves ------------------------------------------------------------------------

TEST(Error, is_copied_moved_and_swapped_without_throwing) {
  static_assert(std::is_nothrow_default_constructible_v<error>);
  static_assert(std::is_nothrow_copy_constructible_v<error>);
  static_assert(std::is_nothrow_move_constructible_v<error>);
  static_assert(std::is_nothrow_copy_assignable_v<error>);
  static_assert(std::is_nothrow_move_assignable_v<error>);
  static_assert(std::is_nothrow_swappable_v<error>);
  static_assert(std::is_nothrow_destructible_v<error>);
}

TEST(Error, a_copy_is_the_same_error_with_the_same_words) {
  error const e = failed_in("job", "decode");
  error const copy = e;
  error assigned;
  assigned = copy;
  EXPECT_EQ(copy, e);
  EXPECT_EQ(assigned, e);
  EXPECT_EQ(copy.message(), e.message());
  EXPECT_EQ(assigned.message(), e.message());
  EXPECT_EQ(copy.skipped(), e.skipped());
}

TEST(Error, moved_from_is_success) {
  error e = failed_in("job", "decode");
  error const taken = std::move(e);
  EXPECT_TRUE(taken);
  // What a moved-from error is, is part of its contract.
  EXPECT_FALSE(e);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(e.message(), "");
  EXPECT_EQ(e.skipped(), 0U);
  e = taken;
  EXPECT_EQ(e, taken);

  error thrown = std::make_exception_ptr(std::runtime_error("x"));
  error other;
  other = std::move(thrown);
  EXPECT_TRUE(other);
  EXPECT_FALSE(thrown);  // NOLINT(bugprone-use-after-move)
}

TEST(Error, assigned_to_itself_stays_what_it_is) {
  error e = failed_in("job", "decode");
  std::string const words = e.message();
  error& same = e;
  e = same;
  EXPECT_TRUE(e);
  EXPECT_EQ(e.message(), words);
}

TEST(Error, swaps_everything) {
  error a = failed_in("job", "decode");
  error const was = a;
  error b = errc::canceled;
  using std::swap;
  swap(a, b);
  EXPECT_EQ(a, errc::canceled);
  EXPECT_EQ(b, was);
  EXPECT_EQ(b.message(), was.message());
  EXPECT_EQ(a.message(), make_error_code(errc::canceled).message());
}

TEST(Error, copies_are_used_from_many_threads_at_once) {
  error const e = failed_in("job", "decode");
  std::string const words = e.message();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([mine = e, &words] {
      for (int n = 0; n < 200; ++n) {
        error const copy = mine;
        EXPECT_EQ(copy.message(), words);
      }
    });
  }
  for (auto& t : threads) {
    t.join();
  }
}

// --- words -----------------------------------------------------------------------------------

TEST(Error, is_written_to_a_stream_as_its_message_or_success) {
  std::ostringstream out;
  out << error() << '|' << error(not_found()) << '|'
      << make(std::make_exception_ptr(std::runtime_error("x")));
  EXPECT_EQ(out.str(), "success|" + not_found().message() + "|x");
}

TEST(Error, says_the_group_and_the_task_before_what_happened) {
  auto const begin = [](error const& e) { return e.message().substr(0, e.message().find(" (")); };
  EXPECT_EQ(begin(failed_in("job", "decode")), "job/decode: " + not_found().message());
  EXPECT_EQ(begin(failed_in("job", "")), "job: " + not_found().message());
  EXPECT_EQ(begin(failed_in("", "decode")), "decode: " + not_found().message());
  EXPECT_EQ(begin(failed_in("", "")), not_found().message());
}

TEST(Error, the_name_before_it_does_not_change_the_code_or_the_comparison) {
  error const e = failed_in("job", "decode");
  EXPECT_EQ(e.code(), not_found());
  EXPECT_EQ(e, error(not_found()));
}

// --- check -----------------------------------------------------------------------------------

// --- contexts --------------------------------------------------------------------------------

TEST(Context, stands_before_what_the_error_says_and_the_latest_stands_first) {
  error const plain = not_found();
  error const once = plain.with_context("publish x");
  EXPECT_EQ(once.what(), "publish x: " + plain.what());
  EXPECT_EQ(once.message(), "publish x: " + plain.message());
  error const twice = once.with_context("release " + std::to_string(7));
  EXPECT_EQ(twice.what(), "release 7: publish x: " + plain.what());
  EXPECT_EQ(twice.message(), "release 7: publish x: " + plain.message());
  std::ostringstream out;
  out << twice;
  EXPECT_EQ(out.str(), twice.message());
  EXPECT_EQ(plain.what(), not_found().message()) << "the error itself is as before";
  EXPECT_EQ(once.what(), "publish x: " + plain.what());
}

TEST(Context, leaves_all_else_as_it_is) {
  errgroup::group g{{.name = "job"}};
  g.run("step", [] { throw std::runtime_error("bad header"); });
  error const plain = g.wait();
  error const e = plain.with_context("publish x");
  EXPECT_EQ(e, plain);
  EXPECT_EQ(e.code(), errc::exception);
  EXPECT_EQ(e.exception(), plain.exception());
  EXPECT_EQ(e.get_if<std::runtime_error>(), plain.get_if<std::runtime_error>());
  EXPECT_EQ(e.origin().path, "job/step");
  EXPECT_EQ(e.origin().name, "step");
  EXPECT_EQ(e.origin().index, 0U);
  EXPECT_EQ(e.origin().where.line(), plain.origin().where.line());
  EXPECT_EQ(e.message(), "publish x: " + plain.message());
  EXPECT_THAT(e.message(errgroup::with_stack), testing::StartsWith("publish x: job/step: bad"));
  try {
    e.raise();
    ADD_FAILURE() << "nothing was thrown";
  } catch (std::runtime_error const& thrown) {
    EXPECT_STREQ(thrown.what(), "bad header") << "what the task threw";
  }

  error const coded = error(not_found()).with_context("publish x");
  EXPECT_EQ(coded, not_found());
  ASSERT_NE(coded.get_if<std::error_code>(), nullptr);
  EXPECT_EQ(*coded.get_if<std::error_code>(), not_found());
  EXPECT_THROW(coded.raise(), std::system_error);

  error const text = errgroup::make_error("disk is full").with_context("publish x");
  EXPECT_EQ(text.what(), "publish x: disk is full");
  EXPECT_EQ(*text.get_if<std::string>(), "disk is full");
}

TEST(Context, of_success_is_success_and_makes_no_text) {
  EXPECT_FALSE(error().with_context("publish x"));
  EXPECT_EQ(error().with_context("publish x").message(), "");
  EXPECT_FALSE(error().with_context([]() -> std::string {
    ADD_FAILURE() << "nothing has failed";
    return "";
  }));
}

TEST(Context, may_be_made_when_something_has_failed_and_may_fail_then) {
  error const plain = not_found();
  EXPECT_EQ(plain.with_context([] { return std::string("publish x"); }).what(),
            "publish x: " + plain.what());
  error const same =
      plain.with_context([]() -> std::string { throw std::runtime_error("no words"); });
  EXPECT_EQ(same, plain);
  EXPECT_EQ(same.what(), plain.what());
}

TEST(Context, that_is_empty_changes_nothing) {
  error const plain = not_found();
  EXPECT_EQ(plain.with_context("").what(), plain.what());
  EXPECT_EQ(plain.with_context("").message(), plain.message());
}

TEST(Context, stands_where_it_was_added_on_the_way_up) {
  errgroup::group outer{{.name = "outer"}};
  outer.run("task", [] {
    errgroup::group inner{{.name = "inner"}};
    inner.run("step", [] { return error(not_found()).with_context("read"); });
    return inner.wait().with_context("publish x");
  });
  error const e = outer.wait();
  EXPECT_THAT(e.message(), testing::StartsWith("publish x: outer/inner/step: read: "));
  EXPECT_THAT(e.message(), testing::HasSubstr("run at error_test.cpp"));
  EXPECT_EQ(e.what(), "publish x: read: " + not_found().message());

  // The place and a longer path are learned of an error that has the path of its group already.
  errgroup::group above{{.name = "above"}};
  above.run([] {
    errgroup::group stopped{{.name = "stopped"}};
    stopped.cancel(error(not_found()).with_context("stop"));
    return stopped.wait().with_context("publish x");
  });
  EXPECT_THAT(above.wait().message(),
              testing::StartsWith("above/stopped: publish x: stop: " + not_found().message()));

  // A path that is learned later stands before all contexts.
  errgroup::group g{{.name = "job"}};
  g.run([] { return error(not_found()).with_context("read").with_context("publish x"); });
  EXPECT_THAT(g.wait().message(), testing::StartsWith("job: publish x: read: "));
}

TEST(Context, is_that_of_each_of_several_failures) {
  errgroup::group g{
      {.policy = errgroup::on_error::keep_going, .errors = errgroup::keep::all, .max_errors = 2}};
  for (int i = 0; i != 3; ++i) {
    g.run([] { return not_found(); });
  }
  error const plain = g.wait();
  error const e = plain.with_context("publish x");
  EXPECT_EQ(e.dropped(), 1U);
  EXPECT_EQ(e.skipped(), plain.skipped());
  EXPECT_EQ(e.echoes(), plain.echoes());
  ASSERT_EQ(e.all().size(), 2U);
  for (std::size_t i = 0; i != 2; ++i) {
    EXPECT_EQ(e.all()[i].what(), "publish x: " + not_found().message());
    EXPECT_EQ(e.all()[i].origin().index, plain.all()[i].origin().index);
  }
  EXPECT_EQ(plain.all()[1].what(), not_found().message());
  EXPECT_EQ(errgroup::exception_group(e).what(), e.message());
  EXPECT_THAT(e.message(), testing::HasSubstr("\npublish x: "));

  // Listed in a group further out, each keeps it.
  errgroup::group outer{{.errors = errgroup::keep::all}};
  outer.run([&e] { return e; });
  error const told = outer.wait();
  ASSERT_EQ(told.all().size(), 2U);
  EXPECT_EQ(told.all()[1].what(), "publish x: " + not_found().message());
}

TEST(Context, stays_with_the_attempts_of_a_retry) {
  auto const failed = errgroup::retry({.attempts = 2, .delay = std::chrono::nanoseconds(0)},
                                      [] { return error(not_found()).with_context("read"); });
  EXPECT_EQ(failed.error().what(), "read: " + not_found().message());
  error const e = failed.error().with_context("publish x");
  EXPECT_EQ(e.attempts(), 2U);
  EXPECT_THAT(e.message(), testing::EndsWith(", after 2 attempts"));
}

TEST(Context, of_a_result_is_that_of_its_error) {
  errgroup::result<int> const failed = not_found();
  EXPECT_EQ(failed.with_context("publish x").error().what(), "publish x: " + not_found().message());
  EXPECT_EQ(errgroup::result<int>(7).with_context("publish x").value(), 7);
  errgroup::result<std::unique_ptr<int>> moved = std::make_unique<int>(7);
  EXPECT_EQ(**std::move(moved).with_context([] { return "never"; }), 7);
  errgroup::result<> const nothing = not_found();
  EXPECT_EQ(nothing.with_context("publish x").error().what(),
            "publish x: " + not_found().message());
  EXPECT_TRUE(errgroup::result<>().with_context("publish x"));
}

// --- temporaries -----------------------------------------------------------------------------

TEST(Error, of_a_temporary_its_origin_may_be_kept) {
  auto const& from =
      failed_in("a group with a name on the heap", "and a task with another").origin();
  EXPECT_EQ(from.path, "a group with a name on the heap/and a task with another");
  EXPECT_EQ(from.name, "and a task with another");
  EXPECT_EQ(from.index, 0U);
  static_assert(!std::is_reference_v<decltype(error().origin())>);
}

TEST(Error, an_origin_outlives_the_error) {
  errgroup::task_origin from;
  {
    error const e = failed_in("group", "a task with a name on the heap");
    from = e.origin();
  }
  EXPECT_EQ(from.name, "a task with a name on the heap");
}

TEST(Error, of_a_temporary_result_it_may_be_kept) {
  auto const fails = []() -> errgroup::result<int> { return not_found(); };
  auto const& e = fails().error();
  EXPECT_EQ(e, not_found());
  auto const fails_without_value = []() -> errgroup::result<> { return not_found(); };
  auto const& f = fails_without_value().error();
  EXPECT_EQ(f, not_found());
  auto const& g = errgroup::exception_group(not_found()).error();
  EXPECT_EQ(g, not_found());
  static_assert(!std::is_reference_v<decltype(fails().error())>);
  static_assert(!std::is_reference_v<decltype(fails_without_value().error())>);
  static_assert(!std::is_reference_v<decltype(errgroup::exception_group(e).error())>);
}

TEST(Check, is_success_outside_of_any_task) { EXPECT_FALSE(errgroup::check()); }

}  // namespace
