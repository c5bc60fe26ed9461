// SPDX-License-Identifier: Apache-2.0
#include <errgroup/extend.hpp>

#include <new>       // bad_alloc
#include <optional>  // optional
#include <utility>   // move

namespace errgroup::inline v1::extend {

error describe(group const& g, error e, std::size_t index, std::source_location where,
               std::string_view name) noexcept {
  detail::error_access::set_name(e, name);
  return describe(g, std::move(e), index, where);
}

// Without memory for the name, the error is recorded without it.
void fail_item(group& g, error e, std::size_t number, std::source_location where,
               std::string_view name) noexcept {
  std::optional<detail::note_ptr> note;
  try {
    note.emplace(detail::make_note(name, where));
  } catch (std::bad_alloc const&) {
    note.reset();
  }
  access::core_of(g).fail(std::move(e), {where, note ? note->get() : nullptr, number, true});
}

}  // namespace errgroup::inline v1::extend
