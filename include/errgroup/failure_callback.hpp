// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_FAILURE_CALLBACK_HPP
#define ERRGROUP_FAILURE_CALLBACK_HPP

#include <errgroup/detail/compiler.hpp>
#include <errgroup/detail/export.hpp>
#include <errgroup/fwd.hpp>

#include <atomic>      // atomic
#include <concepts>    // invocable
#include <cstddef>     // size_t
#include <functional>  // invoke
#include <utility>     // forward

namespace errgroup::inline v1 {
namespace detail {

class group_core;
struct listeners;

/// A registered function, without its type: what `failure_callback` has in the library.
///
/// Registered from its constructor to its destructor. The destructor waits for calls of the
/// function in other threads.
class failure_listener {
 public:
  using call = void (*)(void* f, error const& e) noexcept;

  ERRGROUP_API failure_listener(group_core& g, call c, void* f);
  failure_listener(failure_listener const&) = delete;
  failure_listener& operator=(failure_listener const&) = delete;
  ERRGROUP_API ~failure_listener();

 private:
  friend struct listeners;

  listeners& all_;
  group_core const* of_;  // null: the group is gone
  call call_;
  void* f_;
  std::size_t serial_ = 0;
  std::size_t calls_ = 0;                // the number of calls that run now
  std::atomic<int>* awaited_ = nullptr;  // the destructor waits for the end of the calls
  failure_listener* next_ = nullptr;
};

}  // namespace detail

/// The registration of a function that is called for each failure in a group: the result of
/// `group::on_failure`, which says when the function is called.
///
/// The function may be called as long as this object lives. The destructor waits for calls in other
/// threads; afterwards, the function is not called. If the function destroys the object itself, the
/// destructor does not wait for that call. The object may outlive the group. Like a
/// `std::stop_callback`, it can be neither copied nor moved: keep it in a variable,
/// `auto const logged = g.on_failure(f);`.
template <class F>
class [[ERRGROUP_NODISCARD_CALLBACK]] failure_callback {
 public:
  /// The type of the function.
  using callback_type = F;

  failure_callback(failure_callback const&) = delete;
  failure_callback& operator=(failure_callback const&) = delete;
  ~failure_callback() = default;

 private:
  friend class group;

  template <class G>
  failure_callback(detail::group_core& g, G&& f)
      : f_(std::forward<G>(f)),
        listener_(
            g,
            [](void* mine, error const& e) noexcept {
              static_cast<void>(std::invoke(*static_cast<F*>(mine), e));
            },
            &f_) {}

  F f_;
  detail::failure_listener listener_;  // behind `f_`: the calls end before `f_` is destroyed
};

}  // namespace errgroup::inline v1

#endif  // ERRGROUP_FAILURE_CALLBACK_HPP
