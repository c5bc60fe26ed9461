// SPDX-License-Identifier: Apache-2.0
#include "error_list.hpp"
#include "error_text.hpp"
#include <errgroup/error.hpp>

#include <new>          // bad_alloc, nothrow
#include <string_view>  // string_view
#include <vector>       // vector

// Additions to an error: contexts, attempts, a name, other errors.

namespace errgroup::inline v1 {
namespace detail {
namespace {

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

}  // namespace errgroup::inline v1
