// SPDX-License-Identifier: Apache-2.0

// Tasks that return a `std::expected<T, E>`, or anything of its shape: `has_value()` and `error()`.
// Nothing has to be specialised. A value is success, and is dropped: a task writes what it has to
// say where the caller finds it. What an error becomes goes by its type:
//
//     E                                       the group's error
//     ------------------------------------    -----------------------------------------------------
//     std::error_code, or its enums           the code
//     std::exception_ptr                      the exception
//     errgroup::error                         the same, with its origin
//     any other                               errc::failed, with the E's own words if it has some;
//                                             the E comes back by get_if<E>()
//
// This file is two programs: with a library that has <expected> (C++23) it is about std::expected,
// with one that has not about tl::expected.

#include "support/callables.hpp"
#include "support/ways.hpp"
#include <errgroup/group.hpp>

#include <gtest/gtest.h>

#include <exception>     // exception_ptr, make_exception_ptr
#include <memory>        // make_unique, unique_ptr
#include <stdexcept>     // runtime_error
#include <string>        // string, to_string
#include <system_error>  // errc, error_code, is_error_code_enum
#include <type_traits>   // decay_t, true_type
#include <utility>       // forward, move
#include <version>       // __cpp_lib_expected
#if defined(__cpp_lib_expected)
#include <expected>  // bad_expected_access, expected, unexpected
#else
#include "support/tl_expected.hpp"
#endif

namespace app {

/// Our codes, as std::error_code has it.
enum class fault { none, broken_header };

class fault_category final : public std::error_category {
 public:
  [[nodiscard]] char const* name() const noexcept override { return "app"; }
  [[nodiscard]] std::string message(int /*code*/) const override { return "broken header"; }
};

inline std::error_code make_error_code(fault f) noexcept {
  static fault_category const category;
  return {static_cast<int>(f), category};
}

}  // namespace app

template <>
struct std::is_error_code_enum<app::fault> : std::true_type {};

namespace {

using errgroup::errc;
using errgroup::error;
using support::on_every_way;

#if defined(__cpp_lib_expected)
namespace lib = std;
struct library {
  static std::string GetName(int /*unused*/) { return "std"; }
};
#else
namespace lib = tl;
struct library {
  static std::string GetName(int /*unused*/) { return "tl"; }
};
#endif

std::error_code not_found() { return std::make_error_code(std::errc::no_such_file_or_directory); }

/// An error of the caller's own.
struct parse_error {
  std::string file;
  int line = 0;
};

/// One that says itself what happened.
struct http_error {
  int status = 0;
  [[nodiscard]] std::string message() const { return "HTTP status " + std::to_string(status); }
};

/// A code that knows more.
struct file_error : std::error_code {
  file_error(std::error_code code, std::string p) : std::error_code(code), path(std::move(p)) {}
  std::string path;
};

/// A condition that failed without an error in it.
struct no_value_and_no_error {
  [[nodiscard]] bool has_value() const noexcept { return false; }
  [[nodiscard]] std::error_code error() const noexcept { return {}; }
};

template <class Library>
class Expected : public support::no_leaks {};

struct names {
  template <class Library>
  static std::string GetName(int i) {
    return Library::GetName(i);
  }
};
TYPED_TEST_SUITE(Expected, testing::Types<library>, names);

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

TYPED_TEST(Expected, a_value_is_success) {
  static_assert(errgroup::task_result<lib::expected<int, parse_error>>);
  static_assert(errgroup::task_result<lib::expected<void, std::unique_ptr<int>>>);
  auto const success = [](error const& e) { EXPECT_FALSE(e) << e; };
  told([]() -> lib::expected<int, std::error_code> { return 7; }, success);
  told([]() -> lib::expected<void, std::error_code> { return {}; }, success);
  told([]() -> lib::expected<std::string, parse_error> { return "text"; }, success);
  told(
      []() -> lib::expected<std::unique_ptr<int>, std::string> { return std::make_unique<int>(7); },
      success);
  told([]() -> lib::expected<bool, int> { return false; }, success);
}

TYPED_TEST(Expected, a_code_is_that_code) {
  auto const look = [](error const& e) {
    EXPECT_EQ(e, error(not_found()));
    EXPECT_NE(e.get_if<std::error_code>(), nullptr);
  };
  told([]() -> lib::expected<int, std::error_code> { return lib::unexpected(not_found()); }, look);
  told([]() -> lib::expected<void, std::error_code> { return lib::unexpected(not_found()); }, look);
}

TYPED_TEST(Expected, an_enum_that_is_a_code_is_its_code) {
  told(
      []() -> lib::expected<int, app::fault> { return lib::unexpected(app::fault::broken_header); },
      [](error const& e) {
        EXPECT_EQ(e, app::fault::broken_header);
        EXPECT_EQ(e.what(), "broken header");
        EXPECT_NE(e.get_if<std::error_code>(), nullptr);
        EXPECT_EQ(e.get_if<app::fault>(), nullptr) << "it was turned into its code";
      });
  told([]() -> lib::expected<int, errc> { return lib::unexpected(errc::canceled); },
       [](error const& e) { EXPECT_EQ(e, errc::canceled); });
}

TYPED_TEST(Expected, a_std_errc_is_kept_as_that_and_has_its_code) {
  told([]() -> lib::expected<int, std::errc> { return lib::unexpected(std::errc::io_error); },
       [](error const& e) {
         EXPECT_EQ(e, std::errc::io_error);
         EXPECT_EQ(e.what(), make_error_code(std::errc::io_error).message());
         ASSERT_NE(e.get_if<std::errc>(), nullptr);
         EXPECT_EQ(*e.get_if<std::errc>(), std::errc::io_error);
       });
}

TYPED_TEST(Expected, an_exception_is_that_exception) {
  auto const p = std::make_exception_ptr(std::runtime_error("x"));
  told([p]() -> lib::expected<int, std::exception_ptr> { return lib::unexpected(p); },
       [p](error const& e) {
         EXPECT_EQ(e.exception(), p);
         EXPECT_EQ(e, errc::exception);
         EXPECT_NE(e.get_if<std::runtime_error>(), nullptr);
       });
}

TYPED_TEST(Expected, an_error_is_that_error) {
  told([]() -> lib::expected<int, error> { return lib::unexpected(error(errc::canceled)); },
       [](error const& e) { EXPECT_EQ(e, errc::canceled); });
}

TYPED_TEST(Expected, an_error_from_a_group_keeps_its_origin) {
  errgroup::group g{{.name = "outer"}};
  g.run("task", []() -> lib::expected<int, error> {
    errgroup::group inner{{.name = "inner"}};
    inner.run("part", [] { return not_found(); });
    if (error e = inner.wait()) {
      return lib::unexpected(std::move(e));
    }
    return 7;
  });
  error const e = g.wait();
  EXPECT_EQ(e, not_found());
  EXPECT_EQ(e.origin().path, "outer/inner/part");
}

TYPED_TEST(Expected, a_struct_of_our_own_is_kept_whole) {
  auto const look = [](error const& e) {
    EXPECT_EQ(e, errc::failed);
    auto const* const kept = e.get_if<parse_error>();
    ASSERT_NE(kept, nullptr);
    EXPECT_EQ(kept->file, "a.json");
    EXPECT_EQ(kept->line, 12);
    EXPECT_EQ(e.get_if<std::error_code>(), nullptr);
    EXPECT_THROW(e.raise(), errgroup::bad_result<parse_error>);
  };
  told(
      []() -> lib::expected<int, parse_error> {
        return lib::unexpected(parse_error{"a.json", 12});
      },
      look);
  told(
      []() -> lib::expected<void, parse_error> {
        return lib::unexpected(parse_error{"a.json", 12});
      },
      look);
}

TYPED_TEST(Expected, a_string_or_a_number_is_kept_whole) {
  told([]() -> lib::expected<int, std::string> { return lib::unexpected(std::string("no key")); },
       [](error const& e) {
         EXPECT_EQ(e, errc::failed);
         EXPECT_EQ(e.what(), "no key");
         ASSERT_NE(e.get_if<std::string>(), nullptr);
         EXPECT_EQ(*e.get_if<std::string>(), "no key");
       });
  told([]() -> lib::expected<void, int> { return lib::unexpected(0); },
       [](error const& e) {
         EXPECT_TRUE(e) << "E2: there was no value, whatever the error looks like";
         ASSERT_NE(e.get_if<int>(), nullptr);
         EXPECT_EQ(*e.get_if<int>(), 0);
       });
}

TYPED_TEST(Expected, an_error_that_can_only_be_moved_is_kept_whole) {
  using owner = std::unique_ptr<int>;
  told([]() -> lib::expected<int, owner> { return lib::unexpected(std::make_unique<int>(7)); },
       [](error const& e) {
         error const copy = e;  // NOLINT(performance-unnecessary-copy-initialization)
         EXPECT_EQ(copy, errc::failed);
         auto const* const kept = copy.get_if<owner>();
         ASSERT_NE(kept, nullptr);
         EXPECT_EQ(**kept, 7);
         EXPECT_THROW(copy.raise(), errgroup::bad_result<owner>);
       });
}

TYPED_TEST(Expected, an_error_class_is_kept_as_the_value_it_is) {
  using result = lib::expected<int, std::runtime_error>;
  told([]() -> result { return lib::unexpected(std::runtime_error("bad header")); },
       [](error const& e) {
         EXPECT_EQ(e, errc::failed);
         EXPECT_EQ(e.what(), "bad header");
         ASSERT_NE(e.get_if<std::runtime_error>(), nullptr);
         EXPECT_STREQ(e.get_if<std::runtime_error>()->what(), "bad header");
       });
}

TYPED_TEST(Expected, an_error_with_a_message_says_that) {
  told([]() -> lib::expected<int, http_error> { return lib::unexpected(http_error{404}); },
       [](error const& e) {
         EXPECT_EQ(e, errc::failed);
         EXPECT_EQ(e.what(), "HTTP status 404");
         ASSERT_NE(e.get_if<http_error>(), nullptr);
         EXPECT_EQ(e.get_if<http_error>()->status, 404);
       });
}

TYPED_TEST(Expected, a_type_derived_from_error_code_keeps_what_it_adds) {
  told(
      []() -> lib::expected<int, file_error> {
        return lib::unexpected(file_error(not_found(), "a.json"));
      },
      [](error const& e) {
        EXPECT_EQ(e, not_found());
        EXPECT_EQ(e.what(), not_found().message());
        auto const* const kept = e.get_if<file_error>();
        ASSERT_NE(kept, nullptr);
        EXPECT_EQ(kept->path, "a.json");
        EXPECT_EQ(*kept, not_found());
      });
}

TYPED_TEST(Expected, what_is_thrown_instead_is_the_error) {
  told([]() -> lib::expected<int, parse_error> { throw std::runtime_error("thrown"); },
       [](error const& e) {
         EXPECT_EQ(e, errc::exception);
         EXPECT_EQ(e.what(), "thrown");
         EXPECT_EQ(e.get_if<parse_error>(), nullptr);
       });
  told([]() -> lib::expected<int, parse_error> { throw parse_error{"a.json", 12}; },
       [](error const& e) {
         EXPECT_EQ(e, errc::exception);
         ASSERT_NE(e.get_if<parse_error>(), nullptr) << "get_if finds both";
       });
  using result = lib::expected<int, std::string>;
  told([]() -> result { return result(lib::unexpected(std::string("no key"))).value() + 1; },
       [](error const& e) {
         EXPECT_EQ(e, errc::exception);
         auto const* const thrown = e.get_if<lib::bad_expected_access<std::string>>();
         ASSERT_NE(thrown, nullptr);
         EXPECT_EQ(thrown->error(), "no key");
       });
}

TYPED_TEST(Expected, by_reference_is_read_and_left_alone) {
  using result = lib::expected<int, parse_error>;
  result kept = lib::unexpected(parse_error{"a.json", 12});
  auto const look = [](error const& e) {
    ASSERT_NE(e.get_if<parse_error>(), nullptr);
    EXPECT_EQ(e.get_if<parse_error>()->file, "a.json");
  };
  told([&kept]() -> result const& { return kept; }, look);
  told([&kept]() -> result& { return kept; }, look);
  EXPECT_EQ(kept.error().file, "a.json");
}

TYPED_TEST(Expected, E2_no_value_is_failure_even_with_a_code_an_exception_or_an_error_of_nothing) {
  auto const look = [](error const& e) { EXPECT_EQ(e, errc::failed); };
  told([]() -> lib::expected<int, std::error_code> { return lib::unexpected(std::error_code()); },
       look);
  told([]() -> lib::expected<int, app::fault> { return lib::unexpected(app::fault::none); }, look);
  told(
      []() -> lib::expected<int, std::exception_ptr> {
        return lib::unexpected(std::exception_ptr());
      },
      look);
  told([]() -> lib::expected<int, error> { return lib::unexpected(error()); }, look);
  told([] { return no_value_and_no_error(); }, look);
}

TYPED_TEST(Expected, others_have_their_own_errors_too) {
  errgroup::group g{
      {.limit = 1, .policy = errgroup::on_error::keep_going, .errors = errgroup::keep::all}};
  g.run([]() -> lib::expected<int, std::error_code> { return lib::unexpected(not_found()); });
  g.run([]() -> lib::expected<int, parse_error> { return lib::unexpected(parse_error{"b", 2}); });
  g.run([]() -> lib::expected<void, std::string> { return lib::unexpected(std::string("words")); });
  error const e = g.wait();
  EXPECT_EQ(e, not_found());
  ASSERT_EQ(e.others().size(), 2U);
  ASSERT_NE(e.get_if<parse_error>(), nullptr);
  EXPECT_EQ(e.get_if<parse_error>()->line, 2);
  ASSERT_NE(e.get_if<std::string>(), nullptr);
  EXPECT_EQ(*e.get_if<std::string>(), "words");
}

}  // namespace
