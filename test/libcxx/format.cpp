// SPDX-License-Identifier: Apache-2.0

// `std::format` of an error. It needs a standard library that has <format>: GCC 12's has none, so
// this is built with Clang and libc++, from the few sources that know nothing of oneTBB.

#include <errgroup/error.hpp>

#include <cstdio>        // fprintf
#include <exception>     // make_exception_ptr
#include <format>        // format, format_to
#include <iterator>      // back_inserter
#include <stdexcept>     // runtime_error
#include <string>        // string
#include <system_error>  // errc, make_error_code

namespace {

int wrong = 0;

void expect(std::string const& got, std::string const& want) {
  if (got != want) {
    std::fprintf(stderr, "got \"%s\", want \"%s\"\n", got.c_str(), want.c_str());
    wrong = 1;
  }
}

}  // namespace

int main() {
  std::error_code const code = std::make_error_code(std::errc::no_such_file_or_directory);
  errgroup::error const err = code;
  expect(std::format("{}", err), code.message());
  expect(std::format("{}", err), err.message());
  expect(std::format("{:>60}", err), std::string(60 - code.message().size(), ' ') + code.message());
  expect(std::format("{:.2}|{:*^9.3}|", err, err),
         code.message().substr(0, 2) + "|***" + code.message().substr(0, 3) + "***|");

  expect(std::format("{}", errgroup::error()), "success");
  expect(std::format("{:<9}|", errgroup::error()), "success  |");

  errgroup::error const thrown = std::make_exception_ptr(std::runtime_error("{} is left alone"));
  std::string text;
  std::format_to(std::back_inserter(text), "{1}: {0}", thrown, 7);
  expect(text, "7: {} is left alone");
  expect(std::format("{}", errgroup::error(errgroup::errc::canceled)), "the group was cancelled");
  return wrong;
}
