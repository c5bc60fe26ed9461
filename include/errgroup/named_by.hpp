// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_NAMED_BY_HPP
#define ERRGROUP_NAMED_BY_HPP

#include <errgroup/detail/forced_unwind.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/task.hpp>

#include <concepts>     // convertible_to, invocable
#include <functional>   // invoke
#include <string>       // string
#include <string_view>  // string_view
#include <type_traits>  // invoke_result_t, is_pointer_v, remove_reference_t
#include <utility>      // forward, move

namespace errgroup::inline v1 {
namespace detail {

/// A type from which a name can be made.
template <class N>
concept names_something =
    std::convertible_to<N, std::string_view> || std::convertible_to<N, std::string>;

/// Refuses a `P` that cannot name elements of the type `T`, with a message that gives the reason.
template <class P, class T>
constexpr void require_names() {
  using element = std::remove_reference_t<T> const&;
  static_assert(std::invocable<P const&, element>,
                "errgroup: a named_by is called with a const element, by several threads at once, "
                "so it is called as a const object (not a mutable lambda)");
  if constexpr (std::invocable<P const&, element>) {
    static_assert(names_something<std::invoke_result_t<P const&, element>>,
                  "errgroup: a named_by returns the name of an element: what converts to "
                  "std::string_view or to std::string");
  }
}

/// The name as a text of its own. A null pointer is no name.
template <class N>
std::string text_of_name(N&& name) {
  if constexpr (!std::convertible_to<N, std::string_view>) {
    return std::forward<N>(name);
  } else {
    if constexpr (std::is_pointer_v<std::remove_reference_t<N>>) {
      if (name == nullptr) {
        return {};
      }
    }
    return std::string(static_cast<std::string_view>(std::forward<N>(name)));
  }
}

}  // namespace detail

/// Names an element in its error. The last argument of `for_each` and of `transform`:
///
///     auto err = errgroup::for_each({.name = "check"}, files, check,
///                                   errgroup::named_by(&file::path));
///     // check/a.txt: the file is empty (task 7, run at main.cpp:12)
///
/// `projection(element)` returns the name: a text, or an object that converts to `std::string_view`
/// or to `std::string`. `projection` may also be a pointer to a member, as in `std::invoke`.
///
/// The name is that of a task: it is `error::origin().name`, and the last part of
/// `error::origin().path`. `error::origin().index` is the position of the element as ever. An error
/// that has an origin from further in, from a nested `for_each` for example, keeps that origin.
///
/// `projection` is called only for an element that has failed, right after the failure, by the
/// thread that has worked on the element. It gets the same object that the callable got, as const.
/// So it sees the changes that the callable has made. If the callable has moved the element away,
/// `projection` sees a moved-from object. If the iterator of the range throws, there is no element,
/// and the error has no name. Several threads call `projection` at once, as a const object. If
/// `projection` throws, or returns an empty text or a null pointer, the error has no name.
template <class P>
class named_by {
 public:
  /// Throws `std::invalid_argument` for an empty function or a null pointer; exceptions of moving
  /// `projection`.
  explicit named_by(P projection) : projection_(std::move(projection)) {
    if (detail::is_null(projection_)) {
      detail::refuse_argument("errgroup: named_by of an empty function: it cannot name an element");
    }
  }

  /// The name of `element`; an empty text if `projection` throws.
  template <class T>
  [[ERRGROUP_NODISCARD_ANSWER]] std::string operator()(T const& element) const noexcept {
    try {
      return detail::text_of_name(std::invoke(projection_, element));
    } catch (detail::forced_unwind const&) {
      detail::refuse_end_of_thread();
    } catch (...) {
      return {};
    }
  }

 private:
  P projection_;
};

template <class P>
named_by(P) -> named_by<P>;

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_NAMED_BY_HPP
