// SPDX-License-Identifier: Apache-2.0

// `errgroup::result_traits` for the result types of other libraries. Each part is the type, the
// specialisation, to be copied, and what a group makes of it. (Types of std::expected's shape need
// none: see expected_test.cpp.)

#include "support/callables.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>

#include <boost/system/error_code.hpp>    // error_code
#include <boost/system/system_error.hpp>  // system_error
#include <gtest/gtest.h>

#include <cerrno>        // ENOENT
#include <optional>      // optional
#include <stdexcept>     // runtime_error
#include <string>        // string, to_string
#include <system_error>  // errc, error_category, error_code, system_error
#include <utility>       // move

// --- a status with a code and words, such as absl::Status and grpc::Status -----------------------

namespace lib {

enum class status_code { ok, cancelled, invalid_argument, deadline_exceeded, not_found, data_loss };

/// Like absl::Status.
class status final {
 public:
  status() = default;
  status(status_code code, std::string message) : code_(code), message_(std::move(message)) {}

  [[nodiscard]] bool ok() const noexcept { return code_ == status_code::ok; }
  [[nodiscard]] status_code code() const noexcept { return code_; }
  [[nodiscard]] std::string const& message() const noexcept { return message_; }

 private:
  status_code code_ = status_code::ok;
  std::string message_;
};

/// Like absl::StatusOr.
template <class T>
class status_or {
 public:
  status_or(T value) : value_(std::move(value)) {}
  status_or(lib::status status) : status_(std::move(status)) {}

  [[nodiscard]] bool ok() const noexcept { return status_.ok(); }
  [[nodiscard]] lib::status const& status() const& noexcept { return status_; }
  [[nodiscard]] lib::status status() && { return std::move(status_); }
  [[nodiscard]] T const& value() const { return value_.value(); }

 private:
  lib::status status_;
  std::optional<T> value_;
};

}  // namespace lib

namespace app {

// First its codes as std::error_code: a category, in which `default_error_condition` says what
// they have in common with everybody else's. A group needs it for one of them at least:
// what is std::errc::operation_canceled may be an echo.
class status_category final : public std::error_category {
 public:
  [[nodiscard]] char const* name() const noexcept override { return "status"; }

  [[nodiscard]] std::string message(int code) const override {
    switch (static_cast<lib::status_code>(code)) {
      case lib::status_code::ok:
        return "ok";
      case lib::status_code::cancelled:
        return "cancelled";
      case lib::status_code::invalid_argument:
        return "invalid argument";
      case lib::status_code::deadline_exceeded:
        return "deadline exceeded";
      case lib::status_code::not_found:
        return "not found";
      case lib::status_code::data_loss:
        return "data loss";
    }
    return "status " + std::to_string(code);
  }

  [[nodiscard]] std::error_condition default_error_condition(int code) const noexcept override {
    switch (static_cast<lib::status_code>(code)) {
      case lib::status_code::cancelled:
        return std::errc::operation_canceled;
      case lib::status_code::invalid_argument:
        return std::errc::invalid_argument;
      case lib::status_code::deadline_exceeded:
        return std::errc::timed_out;
      case lib::status_code::not_found:
        return std::errc::no_such_file_or_directory;
      default:
        return {code, *this};
    }
  }
};

inline std::error_code make_error_code(lib::status_code code) noexcept {
  static status_category const category;
  return {static_cast<int>(code), category};
}

}  // namespace app

// Then what fails: a status that is not ok. What it becomes: an error with its code, its words
// and the status itself for `get_if<lib::status>()`. For the words `make_error` asks it for its
// `what()` or `message()`. (grpc::Status calls them `error_message()`: give `make_error` a type
// derived from it that has a `message()`.)
template <>
struct errgroup::result_traits<lib::status> {
  static bool failed(lib::status const& s) { return !s.ok(); }
  static errgroup::error to_error(lib::status&& s) {
    std::error_code const code = app::make_error_code(s.code());
    return errgroup::make_error(std::move(s), code);
  }
};

// The same for a status that comes with a value; a group has no use for the value.
template <class T>
struct errgroup::result_traits<lib::status_or<T>> {
  static bool failed(lib::status_or<T> const& s) { return !s.ok(); }
  static errgroup::error to_error(lib::status_or<T>&& s) {
    return result_traits<lib::status>::to_error(std::move(s).status());
  }
};

// --- boost::system::error_code -------------------------------------------------------------------

// What fails: a code that its own category calls a failure. What it becomes: the std::error_code
// that Boost converts it to, with its value, its words and its conditions. There is nothing more to
// keep.
template <>
struct errgroup::result_traits<boost::system::error_code> {
  static bool failed(boost::system::error_code const& ec) { return ec.failed(); }
  static errgroup::error to_error(boost::system::error_code&& ec) { return std::error_code(ec); }
};

// --- yes or no -----------------------------------------------------------------------------------

// errgroup takes no plain bool: half of the world's functions say true for success, the others for
// "there was an error". A type of its own says which it is.
namespace app {

enum class outcome : bool { failed, done };

}  // namespace app

// What fails: `outcome::failed`. What it becomes: errc::failed, as nothing else is known. Which
// task it was is in `error::origin()`.
template <>
struct errgroup::result_traits<app::outcome> {
  static bool failed(app::outcome o) { return o == app::outcome::failed; }
  static errgroup::error to_error(app::outcome&&) { return errgroup::errc::failed; }
};

// --- what a library may do wrong, or differently -------------------------------------------------

namespace {

/// Fails without knowing why.
struct forgetful {
  bool failed = true;
};

/// Throws when it is asked, whether it failed or how.
struct moody {
  bool failed = true;
};

/// Has std::expected's shape, and traits that say something else.
struct both {
  [[nodiscard]] bool has_value() const noexcept { return true; }
  [[nodiscard]] std::error_code error() const noexcept { return {}; }
};

}  // namespace

template <>
struct errgroup::result_traits<forgetful> {
  static bool failed(forgetful const& f) { return f.failed; }
  static errgroup::error to_error(forgetful&&) { return {}; }
};

template <>
struct errgroup::result_traits<moody> {
  static bool failed(moody const& m) {
    return m.failed ? m.failed : throw std::runtime_error("would not say whether");
  }
  static errgroup::error to_error(moody&&) { throw std::runtime_error("would not say how"); }
};

template <>
struct errgroup::result_traits<both> {
  static bool failed(both const&) { return true; }
  static errgroup::error to_error(both&&) { return errgroup::errc::failed; }
};

namespace {

using app::outcome;
using errgroup::errc;
using errgroup::error;
using lib::status;
using lib::status_code;
using lib::status_or;
using support::on_every_way;

class ResultTraits : public support::no_leaks {};

/// What every group tells of a task `f`, limited or not, wherever it was made, to `look`.
template <class F, class Look>
void told(F const& f, Look const& look) {
  on_every_way([&](errgroup::group& g) {
    g.run("the task", f);
    error const e = g.wait();
    look(e);
    if (e) {
      EXPECT_EQ(e.origin().name, "the task");
    }
  });
}

void expect_success(error const& e) { EXPECT_FALSE(e) << e; }

// --- Status --------------------------------------------------------------------------------------

TEST_F(ResultTraits, an_ok_status_is_success) {
  told([] { return status(); }, expect_success);
  told([] { return status_or<int>(7); }, expect_success);
}

void expect_data_loss(error const& e) {
  EXPECT_EQ(e, app::make_error_code(status_code::data_loss));
  EXPECT_STREQ(e.code().category().name(), "status");
  EXPECT_EQ(e.what(), "block 7 is gone");
  auto const* const whole = e.get_if<status>();
  ASSERT_NE(whole, nullptr);
  EXPECT_EQ(whole->code(), status_code::data_loss);
  EXPECT_EQ(whole->message(), "block 7 is gone");
  EXPECT_THROW(e.raise(), errgroup::bad_result<status>);
  EXPECT_THROW(e.raise(), std::system_error);
}

TEST_F(ResultTraits, a_status_has_its_code_its_words_and_itself) {
  told([] { return status(status_code::data_loss, "block 7 is gone"); }, expect_data_loss);
  told([]() -> status_or<int> { return status(status_code::data_loss, "block 7 is gone"); },
       expect_data_loss);
}

TEST_F(ResultTraits, a_status_is_the_condition_that_everybody_knows) {
  told([] { return status(status_code::not_found, "no such user"); },
       [](error const& e) {
         EXPECT_EQ(e, std::errc::no_such_file_or_directory);
         EXPECT_NE(e, std::errc::timed_out);
       });
}

TEST_F(ResultTraits, a_status_that_tells_the_cancellation_back_is_an_echo) {
  errgroup::group g{{.limit = 1, .errors = errgroup::keep::all}};
  g.run([&g] {
    g.cancel(std::make_error_code(std::errc::no_space_on_device));
    return status(status_code::cancelled, "told to stop");
  });
  error const e = g.wait();
  EXPECT_EQ(e, std::errc::no_space_on_device);
  EXPECT_EQ(e.echoes(), 1U);
  EXPECT_TRUE(e.others().empty());
}

TEST_F(ResultTraits, a_status_that_is_thrown_is_found_as_well) {
  told([]() -> status { throw status(status_code::data_loss, "block 7 is gone"); },
       [](error const& e) {
         EXPECT_EQ(e, errc::exception) << "what is thrown is not asked for a code";
         ASSERT_NE(e.get_if<status>(), nullptr);
         EXPECT_EQ(e.get_if<status>()->message(), "block 7 is gone");
       });
  told(
      []() -> status {
        status s(status_code::data_loss, "block 7 is gone");
        throw errgroup::make_error(s, app::make_error_code(s.code()));
      },
      expect_data_loss);
}

TEST_F(ResultTraits, a_status_by_reference_is_read_and_left_alone) {
  status const kept(status_code::not_found, "no such user");
  status kept_too = kept;
  auto const look = [](error const& e) { EXPECT_EQ(e.what(), "no such user"); };
  told([&kept]() -> status const& { return kept; }, look);
  told([&kept_too]() -> status& { return kept_too; }, look);
  EXPECT_EQ(kept_too.message(), "no such user");
}

// --- Boost ---------------------------------------------------------------------------------------

TEST_F(ResultTraits, a_boost_code_of_zero_is_success) {
  told([] { return boost::system::error_code(); }, expect_success);
}

TEST_F(ResultTraits, a_boost_code_is_the_same_code_of_the_standard_library_s) {
  told([] { return boost::system::error_code(ENOENT, boost::system::system_category()); },
       [](error const& e) {
         EXPECT_EQ(e, std::errc::no_such_file_or_directory);
         EXPECT_EQ(e.code().value(), ENOENT);
         EXPECT_STREQ(e.code().category().name(), "system");
         EXPECT_NE(e.get_if<std::error_code>(), nullptr);
       });
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"  // that is how Boost has it
/// A category in which 200 is as good as 0, as Boost allows.
class http_category final : public boost::system::error_category {
 public:
  using error_category::message;
  [[nodiscard]] char const* name() const noexcept override { return "http"; }
  [[nodiscard]] std::string message(int status) const override { return std::to_string(status); }
  [[nodiscard]] bool failed(int status) const noexcept override { return status >= 400; }
};
#pragma GCC diagnostic pop
http_category const http;

TEST_F(ResultTraits, a_boost_category_has_the_say_what_is_a_failure) {
  told([] { return boost::system::error_code(200, http); }, expect_success);
  told([] { return boost::system::error_code(404, http); },
       [](error const& e) {
         EXPECT_EQ(e.code().value(), 404);
         EXPECT_STREQ(e.code().category().name(), "http");
         EXPECT_EQ(e.what(), "404");
       });
}

TEST_F(ResultTraits, a_boost_code_that_is_thrown_is_an_exception) {
  told(
      []() -> boost::system::error_code {
        throw boost::system::system_error(404, http, "get /index");
      },
      [](error const& e) {
        EXPECT_EQ(e, errc::exception) << "boost::system::system_error is no std::system_error";
        auto const* const whole = e.get_if<boost::system::system_error>();
        ASSERT_NE(whole, nullptr);
        EXPECT_EQ(whole->code().value(), 404);
        EXPECT_EQ(e.what(), "get /index: 404");
      });
}

// --- yes or no -----------------------------------------------------------------------------------

TEST_F(ResultTraits, a_yes_is_success_and_a_no_is_errc_failed) {
  static_assert(!errgroup::task_result<bool>);
  told([] { return outcome::done; }, expect_success);
  told([] { return outcome::failed; },
       [](error const& e) {
         EXPECT_EQ(e, errc::failed);
         EXPECT_EQ(e.what(), errgroup::make_error_code(errc::failed).message());
       });
  told([]() -> outcome { throw 7; },
       [](error const& e) {
         EXPECT_EQ(e, errc::exception);
         ASSERT_NE(e.get_if<int>(), nullptr);
       });
}

// --- the rules -----------------------------------------------------------------------------------

TEST_F(ResultTraits, make_any_type_a_task_result) {
  static_assert(errgroup::task_result<status>);
  static_assert(errgroup::task_result<status const&>);
  static_assert(errgroup::task_result<status_or<std::string>>);
  static_assert(errgroup::task_result<boost::system::error_code>);
  static_assert(errgroup::task_result<outcome>);
  errgroup::group g{{.policy = errgroup::on_error::keep_going}};
  g.run([] {});
  g.run([] { return std::error_code(); });
  g.run([] { return status(); });
  g.run([] { return status_or<std::string>("x"); });
  g.run([] { return boost::system::error_code(); });
  g.run([] { return outcome::done; });
  EXPECT_FALSE(g.wait());
}

TEST_F(ResultTraits, come_before_what_errgroup_knows_itself) {
  told([] { return both(); }, [](error const& e) { EXPECT_EQ(e, errc::failed); });
}

TEST_F(ResultTraits, E2_what_they_call_a_failure_stays_one_without_an_error) {
  told([] { return forgetful{false}; }, expect_success);
  told([] { return forgetful(); }, [](error const& e) { EXPECT_EQ(e, errc::failed); });
}

TEST_F(ResultTraits, E2_what_they_throw_is_the_error) {
  told([] { return moody{false}; },
       [](error const& e) { EXPECT_EQ(e.what(), "would not say whether"); });
  told([] { return moody(); }, [](error const& e) { EXPECT_EQ(e.what(), "would not say how"); });
}

TEST_F(ResultTraits, E2_what_they_throw_never_ends_the_process) {
  on_every_way(
      [](errgroup::group& g) {
        EXPECT_EQ(g.run_and_wait([] { return moody{false}; }).what(), "would not say whether");
        g.reset();
        EXPECT_EQ(g.run_and_wait([] { return moody(); }).what(), "would not say how");
      },
      {.exceptions = errgroup::on_exception::terminate});
}

}  // namespace
