// SPDX-License-Identifier: Apache-2.0
#include "stacktrace/thrower.hpp"

#include <exception>  // exception
#include <stdexcept>  // runtime_error
#include <string>     // string
#include <utility>    // move

namespace thrower {

int const line_of_throw_in_library = __LINE__ + 1;
[[gnu::noinline]] void throw_in_library() { throw std::runtime_error("thrown in a library"); }

namespace {

class known_here_only : public std::exception {
 public:
  explicit known_here_only(std::string what) : what_(std::move(what)) {}
  [[nodiscard]] char const* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
};

}  // namespace

[[gnu::noinline]] void throw_local_type() {
  throw known_here_only("of a type that only a library knows");
}

}  // namespace thrower
