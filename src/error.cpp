// SPDX-License-Identifier: Apache-2.0
#include "error_list.hpp"
#include "place_text.hpp"
#include <errgroup/error.hpp>

#include <algorithm>  // replace
#include <new>        // bad_alloc, nothrow
#include <optional>   // optional
#include <ostream>    // ostream
#include <sstream>    // ostringstream
#include <vector>     // vector

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
        return "the group's deadline passed";
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

namespace {

/// Puts `context` before the contexts in `text`. Throws `std::bad_alloc`; then `text` is unchanged.
void prepend(std::string& text, std::string_view context) {
  if (!context.empty()) {
    std::string both(context);
    both.append(text.empty() ? "" : ": ").append(text);
    text.swap(both);
  }
}

/// Gives a new note the origin and the contexts of `e`. Throws `std::bad_alloc`.
void copy_note(error_note& note, error const& e) {
  note.origin = e.origin();
  if (error_note const* const known = error_access::note_of(e)) {
    note.inner_context = known->one->inner_context;
    note.outer_context = known->one->outer_context;
  }
}

}  // namespace

error error_access::in_context(error const& one, std::string_view context) {
  note_ptr const note(new error_note);
  copy_note(*note.get(), one);
  // The message begins with the latest addition. If the error has no origin yet, a later origin
  // stands before this context, so the context belongs to the inner contexts.
  bool const has_path = !note->origin.path.empty() || !note->origin.name.empty();
  prepend(has_path ? note->outer_context : note->inner_context, context);
  error e = alone(one);
  give_note(e, *note.get());
  return e;
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

void error_access::set_attempts(error& e, std::size_t n) noexcept {
  note_ptr note(new (std::nothrow) error_note);
  if (note.get() == nullptr) {
    return;
  }
  try {
    copy_note(*note.get(), e);
  } catch (std::bad_alloc const&) {
    // Without memory, the error keeps the number of attempts, but may lose its origin and contexts.
  }
  note->attempts = n;
  give_note(e, *note.get());
}

void error_access::set_name(error& e, std::string_view name) noexcept {
  if (!e || name.empty() || e.origin().where.line() != 0 || e.origin().index != npos) {
    return;
  }
  try {
    note_ptr const note(new error_note);
    copy_note(*note.get(), e);
    note->origin.name = name;
    give_note(e, *note.get());
  } catch (std::bad_alloc const&) {
    // The error stays as it is.
  }
}

}  // namespace detail

error combine(std::span<error const> errors, std::size_t most) noexcept {
  error first;
  detail::error_list rest(most);
  for (error const& e : errors) {
    if (!e) {
      continue;
    }
    if (!first) {
      first = e;
      rest.take_others(first);
    } else {
      rest.add(e, false);
    }
  }
  if (first) {
    rest.give_others(first);
  }
  return first;
}

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

}  // namespace

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

error error::with_context(std::string_view context) const noexcept {
  if (!*this || context.empty()) {
    return *this;
  }
  try {
    std::vector<error> each;
    for (error const& one : all()) {
      each.push_back(detail::error_access::in_context(one, context));
    }
    error e = combine(each);
    if (e.others_ == others_) {  // otherwise `combine` had too little memory
      e.skipped_ = skipped_;
      e.dropped_ = dropped_;
      e.echoes_ = echoes_;
      return e;
    }
  } catch (std::bad_alloc const&) {
    // The error stays as it is.
  }
  return *this;
}

task_origin const& error::origin() const& noexcept {
  static task_origin const unknown;
  return note_ != nullptr ? note_->one->origin : unknown;
}

void error::read_stack(detail::frame_sink sink, void* to) const {
  detail::stack_reader const read = detail::read_stack.load(std::memory_order_acquire);
  if (read != nullptr && thrown() != nullptr) {
    read(thrown(), sink, to);
  }
}

namespace {

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

void append_failure(std::string& text, error const& e, bool in_one_line, bool stacks) {
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
  if (stacks) {
    std::ostringstream calls;
    detail::error_access::read_stack(
        e,
        [](void* to, stack_frame const& call) {
          *static_cast<std::ostream*>(to) << "\n    " << call;
        },
        static_cast<std::ostream*>(&calls));
    text += calls.str();
  }
}

std::string describe(error const& e, bool stacks) {
  std::string text;
  if (!e) {
    return text;
  }
  bool const is_list = !e.others().empty() || e.dropped() != 0;
  for (error const& one : e.all()) {
    text += text.empty() ? "" : "\n";
    append_failure(text, one, is_list, stacks);
  }
  if (e.dropped() != 0) {
    text.append("\nand ").append(std::to_string(e.dropped()));
    text += e.dropped() == 1 ? " more failure" : " more failures";
  }
  return text;
}

}  // namespace

std::string error::message() const { return describe(*this, false); }

std::string error::message(with_stack_t /*unused*/) const { return describe(*this, true); }

void error::raise() const {
  if (thrown() != nullptr) {
    std::rethrow_exception(thrown());
  }
  if (*this) {
    throw std::system_error(code_);  // thrown here, for the sake of its stack
  }
}

std::ostream& operator<<(std::ostream& out, error const& e) {
  return e ? out << e.message() : out << "success";
}

}  // namespace errgroup::inline v1
