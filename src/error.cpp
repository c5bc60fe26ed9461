// SPDX-License-Identifier: Apache-2.0
#include "error_list.hpp"
#include "error_text.hpp"
#include <errgroup/error.hpp>

#include <new>       // bad_alloc
#include <optional>  // optional

// What every group needs of errors. Their texts are in error_text.cpp, and additions to an error in
// error_context.cpp: a program that uses neither does not contain them.

namespace errgroup::inline v1 {
namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] char const* name() const noexcept override { return "errgroup"; }

  [[nodiscard]] std::string message(int value) const override { return words_of(value); }

  static char const* words_of(int value) noexcept {
    switch (static_cast<errc>(value)) {
      case errc::canceled:
        return "the group was cancelled";
      case errc::deadline_exceeded:
        return "the deadline passed";
      case errc::would_deadlock:
        return "a group was waited for from inside one of its own tasks";
      case errc::exception:
        return "a task threw an exception";
      case errc::failed:
        return "a task failed";
      case errc::stop_repeating:
        return "a task asked not to be repeated";
      case errc::too_few:
        return "fewer tasks succeeded than were asked for";
      case errc::no_more:
        return "a stage asked for no more items";
    }
    return "unknown errgroup error";
  }

  [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override {
    switch (static_cast<errc>(value)) {
      case errc::canceled:
        return std::errc::operation_canceled;
      case errc::deadline_exceeded:
        return std::errc::timed_out;
      case errc::would_deadlock:
        return std::errc::resource_deadlock_would_occur;
      case errc::exception:
      case errc::failed:
      case errc::stop_repeating:
      case errc::too_few:
      case errc::no_more:
        break;
    }
    return {value, *this};
  }
};

// To look at an exception, the code has to throw it again.
std::error_code code_of(std::exception_ptr const& exception) noexcept {
  try {
    std::rethrow_exception(exception);
  } catch (std::system_error const& e) {
    // A thrown system_error is a failure even if its code is zero.
    return e.code() ? e.code() : make_error_code(errc::exception);
  } catch (std::error_code const& e) {
    return e ? e : make_error_code(errc::exception);
  } catch (...) {
    return errc::exception;
  }
}

}  // namespace

std::error_category const& error_category() noexcept {
  static constinit category const instance;
  return instance;
}

namespace detail {

error_note::~error_note() = default;

void error_note::release() noexcept {
  // acq_rel: the last owner deletes the note after the other owners have read it.
  if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    delete this;
  }
}

note_ptr make_note(std::string_view name, std::source_location where) {
  note_ptr note(new error_note);
  note->origin.name = name;
  note->origin.where = where;
  return note;
}

error error_access::alone(error const& e) noexcept {
  error one;
  one.code_ = e.code_;
  one.exception_ = e.exception_;
  one.skipped_ = e.skipped_;
  if (e.note_ != nullptr) {
    if (e.note_->one->all == nullptr) {
      one.note_ = e.note_->one;
      one.note_->share();
    } else {
      one.exception_ = e.note_->exception;  // the first error had no note
    }
  }
  return one;
}

void prepend(std::string& text, std::string_view context) {
  if (!context.empty()) {
    std::string both(context);
    both.append(text.empty() ? "" : ": ").append(text);
    text.swap(both);
  }
}

void error_access::give_note(error& e, error_note& note) noexcept {
  std::optional<error_list> rest;
  if (!e.others().empty()) {
    rest.emplace(npos);
    rest->take_others(e);
  }
  note.exception = thrown(e);
  if (note.attempts == 0) {
    note.attempts = e.attempts();
  }
  error_note const* const known = e.note_ != nullptr ? e.note_->one : nullptr;
  if (known != nullptr && note.inner_context.empty() && note.outer_context.empty()) {
    try {
      // The new note brings an origin, which stands before all contexts of `e`.
      note.inner_context = known->inner_context;
      prepend(note.inner_context, known->outer_context);
    } catch (std::bad_alloc const&) {
      note.inner_context.clear();  // a failure without its context is better than no failure
    }
  }
  share_note(e, note);
  if (rest) {
    rest->give_others(e);
  }
}

}  // namespace detail

std::size_t error::attempts() const noexcept { return note_ != nullptr ? note_->one->attempts : 0; }

std::error_code error::code() const noexcept {
  return code_.value() != 0 || thrown() == nullptr ? code_ : code_of(thrown());
}

std::exception_ptr error::exception() const {
  if (thrown() != nullptr) {
    return thrown();
  }
  return code_.value() == 0 ? nullptr : std::make_exception_ptr(std::system_error(code_));
}

task_origin const& error::origin() const& noexcept {
  static task_origin const unknown;
  return note_ != nullptr ? note_->one->origin : unknown;
}

void error::raise() const {
  if (thrown() != nullptr) {
    std::rethrow_exception(thrown());
  }
  if (*this) {
    throw std::system_error(code_);  // thrown here, for the sake of its stack
  }
}

}  // namespace errgroup::inline v1
