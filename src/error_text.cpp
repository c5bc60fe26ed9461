// SPDX-License-Identifier: Apache-2.0
#include "error_text.hpp"

#include "place_text.hpp"
#include <errgroup/exception_group.hpp>

#include <algorithm>  // replace
#include <ostream>    // ostream
#include <utility>    // exchange, move

// The texts of errors, and the exception that has such a text.

namespace errgroup::inline v1 {
namespace {

std::string own_words(error const& e) {
  std::exception_ptr const& thrown = detail::error_access::thrown(e);
  if (thrown == nullptr) {
    return e.code().message();
  }
  try {
    std::rethrow_exception(thrown);
  } catch (std::exception const& x) {
    return x.what() != nullptr ? x.what() : "";
  } catch (std::error_code const& code) {
    return code.message();
  } catch (...) {
    return "a task threw something that is not a std::exception";
  }
}

struct contexts {
  std::string_view outer;
  std::string_view inner;
};

contexts contexts_of(error const& e) noexcept {
  detail::error_note const* const note = detail::error_access::note_of(e);
  return note == nullptr ? contexts()
                         : contexts{note->one->outer_context, note->one->inner_context};
}

/// Appends `words` and ": ", unless they are empty.
void append_before(std::string& text, std::string_view words) {
  if (!words.empty()) {
    text.append(words).append(": ");
  }
}

// (task 17, run at decoder.cpp:42), or (pack/write, item 17, stage at pack.cpp:41)
void append_place(std::string& text, task_origin const& origin) {
  char const* before = " (";
  auto const part = [&]() -> std::string& { return text.append(std::exchange(before, ", ")); };
  if (origin.is_item && !origin.path.empty()) {
    part().append(origin.path);
  }
  if (origin.index != npos) {
    part().append(origin.is_item ? "item " : "task ").append(std::to_string(origin.index));
  }
  if (origin.where.line() != 0) {
    part()
        .append(origin.is_item ? "stage at " : "run at ")
        .append(detail::place_text(origin.where));
  }
  text += *before == ',' ? ")" : "";
}

void append_failure(std::string& text, error const& e, bool in_one_line,
                    void (*append_stack)(std::string&, error const&)) {
  std::size_t const begin = text.size();
  auto const [outer, inner] = contexts_of(e);
  append_before(text, outer);
  // If there was no memory for its path, the origin has only a name.
  task_origin const& from = e.origin();
  if (!from.is_item) {
    append_before(text, from.path.empty() ? from.name : from.path);
  }
  append_before(text, inner);
  text += own_words(e);
  if (in_one_line) {
    std::replace(text.begin() + static_cast<std::ptrdiff_t>(begin), text.end(), '\n', ' ');
  }
  append_place(text, e.origin());
  if (e.attempts() != 0) {
    text.append(e.attempts() == 1 ? ", after 1 attempt" : ", after ");
    if (e.attempts() != 1) {
      text.append(std::to_string(e.attempts())).append(" attempts");
    }
  }
  if (append_stack != nullptr) {
    append_stack(text, e);
  }
}

}  // namespace

std::string detail::describe(error const& e, void (*append_stack)(std::string&, error const&)) {
  std::string text;
  if (!e) {
    return text;
  }
  bool const is_list = !e.others().empty() || e.dropped() != 0;
  for (error const& one : e.all()) {
    text += text.empty() ? "" : "\n";
    append_failure(text, one, is_list, append_stack);
  }
  if (e.dropped() != 0) {
    text.append("\nand ").append(std::to_string(e.dropped()));
    text += e.dropped() == 1 ? " more failure" : " more failures";
  }
  return text;
}

std::string error::what() const {
  std::string text;
  if (*this) {
    auto const [outer, inner] = contexts_of(*this);
    append_before(text, outer);
    append_before(text, inner);
    text += own_words(*this);
  }
  return text;
}

std::string error::message() const { return detail::describe(*this, nullptr); }

std::ostream& operator<<(std::ostream& out, error const& e) {
  return e ? out << e.message() : out << "success";
}

exception_group::exception_group(errgroup::error all)
    : std::runtime_error(all.message()), all_(std::move(all)) {}

void error::raise_all() const {
  if (*this) {
    throw exception_group(*this);
  }
}

}  // namespace errgroup::inline v1
