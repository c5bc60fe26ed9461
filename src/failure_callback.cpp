// SPDX-License-Identifier: Apache-2.0
#include "listeners.hpp"
#include <errgroup/detail/group_core.hpp>
#include <errgroup/failure_callback.hpp>

#include <array>    // array
#include <atomic>   // atomic, memory_order
#include <cstddef>  // size_t
#include <cstdint>  // uintptr_t
#include <mutex>    // mutex, scoped_lock, unique_lock
#include <utility>  // exchange

// Failures are rare, and few groups have a listener. So a group has no member for its listeners: a
// bit in its state says that there may be some, and they are found here, by the group's address.

namespace errgroup::inline v1::detail {

namespace {

/// A call of a listener that runs in this thread.
struct active_call {
  failure_listener const* of;  // null: the call has destroyed the listener
  active_call* outer;

  static inline thread_local constinit active_call* innermost = nullptr;
};

}  // namespace

/// The listeners of some of the groups, in the order of their registration.
///
/// Invariant: a listener whose `calls_` is not 0 is not destroyed.
///
/// Locks: `lock_` guards the list and the members of its listeners. It is not held while a function
/// is called.
struct listeners {
  static listeners& of(group_core const& g) noexcept {
    static std::array<listeners, 16> all;
    return all[reinterpret_cast<std::uintptr_t>(&g) / alignof(std::max_align_t) / 16 % all.size()];
  }

  void add(failure_listener& one) noexcept {
    std::scoped_lock const guard(lock_);
    one.serial_ = ++serial_;
    failure_listener** end = &first_;
    while (*end != nullptr) {
      end = &(*end)->next_;
    }
    *end = &one;
  }

  void remove(failure_listener& one) noexcept {
    std::unique_lock guard(lock_);
    failure_listener** at = &first_;
    while (*at != &one) {
      at = &(*at)->next_;
    }
    *at = one.next_;
    // The calls in this thread, underneath this one, cannot end before this function returns.
    for (active_call* a = active_call::innermost; a != nullptr; a = a->outer) {
      if (a->of == &one) {
        a->of = nullptr;
        --one.calls_;
      }
    }
    if (one.calls_ != 0) {
      std::atomic<int> over{0};
      one.awaited_ = &over;
      guard.unlock();
      over.wait(0, std::memory_order_acquire);
      guard.lock();  // the thread that has woken this thread has left `over` alone by then
    }
  }

  void tell(group_core const& g, error const& e) noexcept {
    std::unique_lock guard(lock_);
    std::size_t const newest = serial_;
    std::size_t told = 0;
    for (;;) {
      failure_listener* l = first_;
      while (l != nullptr && (l->of_ != &g || l->serial_ <= told)) {
        l = l->next_;
      }
      if (l == nullptr || l->serial_ > newest) {
        return;
      }
      told = l->serial_;
      ++l->calls_;
      active_call here{l, active_call::innermost};
      active_call::innermost = &here;
      guard.unlock();
      l->call_(l->f_, e);
      guard.lock();
      active_call::innermost = here.outer;
      if (here.of != nullptr && --l->calls_ == 0 && l->awaited_ != nullptr) {
        l->awaited_->store(1, std::memory_order_release);
        l->awaited_->notify_one();
      }
    }
  }

  void forget(group_core const& g) noexcept {
    std::scoped_lock const guard(lock_);
    for (failure_listener* l = first_; l != nullptr; l = l->next_) {
      if (l->of_ == &g) {
        l->of_ = nullptr;
      }
    }
  }

 private:
  std::mutex lock_;
  std::size_t serial_ = 0;
  failure_listener* first_ = nullptr;
};

failure_listener::failure_listener(group_core& g, call c, void* f)
    : all_(listeners::of(g)), of_(&g), call_(c), f_(f) {
  static constexpr listener_functions functions{
      [](group_core const& of, error const& e) noexcept { listeners::of(of).tell(of, e); },
      [](group_core const& of) noexcept { listeners::of(of).forget(of); }};
  listener_functions::used.store(&functions, std::memory_order_release);
  all_.add(*this);
  g.note_heard();
}

failure_listener::~failure_listener() { all_.remove(*this); }

}  // namespace errgroup::inline v1::detail
