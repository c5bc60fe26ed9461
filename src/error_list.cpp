// SPDX-License-Identifier: Apache-2.0
#include "error_list.hpp"

#include <algorithm>     // copy_n, max, min
#include <mutex>         // scoped_lock
#include <new>           // nothrow
#include <system_error>  // errc
#include <utility>       // exchange

namespace errgroup::inline v1::detail {

several::~several() {
  if (one != this) {
    one->release();
  }
}

[[gnu::noinline, gnu::cold]] bool error_list::add(error const& e, bool stopped) noexcept {
  std::scoped_lock const guard(lock_);
  std::size_t const before = size_ + dropped_;
  add_one(error_access::alone(e), stopped);
  add_others(e, stopped);
  return size_ + dropped_ != before;
}

[[gnu::noinline, gnu::cold]] void error_list::take_others(error& first) noexcept {
  std::scoped_lock const guard(lock_);
  add_others(first, false);
  first = error_access::alone(first);
}

[[gnu::noinline, gnu::cold]] void error_list::add_others(error const& e, bool stopped) noexcept {
  for (error const& other : e.others()) {
    add_one(other, stopped);
  }
  dropped_ += e.dropped();
  echoes_ += e.echoes();
}

[[gnu::noinline, gnu::cold]] void error_list::add_one(error const& e, bool stopped) noexcept {
  if (stopped && e == std::errc::operation_canceled) {
    ++echoes_;
  } else if (size_ + 1 < most_ && ((all_ != nullptr && size_ < all_->capacity) || grow())) {
    all_->room[++size_] = e;
  } else {
    ++dropped_;
  }
}

[[gnu::noinline, gnu::cold]] bool error_list::grow() noexcept {
  std::size_t const capacity = std::min(most_ - 1, std::max<std::size_t>(8, 2 * size_));
  auto* const more = new (std::nothrow) several;
  if (more == nullptr) {
    return false;
  }
  more->room.reset(new (std::nothrow) error[1 + capacity]);
  if (more->room == nullptr) {
    more->release();
    return false;
  }
  more->capacity = capacity;
  more->all = more->room.get();
  if (all_ != nullptr) {
    std::copy_n(all_->room.get() + 1, size_, more->room.get() + 1);
    all_->release();
  }
  all_ = more;
  return true;
}

[[gnu::noinline, gnu::cold]] void error_list::give_others(error& first) noexcept {
  std::scoped_lock const guard(lock_);
  if (all_ != nullptr) {
    if (!std::exchange(all_->has_first, true)) {
      all_->room[0] = first;
      if (error_note* const note = error_access::note_of(first)) {
        note->share();
        all_->one = note;
      } else {
        all_->exception = error_access::thrown(first);
      }
    }
    error_access::share_note(first, *all_);
  }
  error_access::set_others(first, size_, dropped_, echoes_);
}

[[gnu::noinline, gnu::cold]] note_ptr error_list::clear() noexcept {
  std::scoped_lock const guard(lock_);
  size_ = dropped_ = echoes_ = 0;
  return note_ptr(std::exchange(all_, nullptr));
}

}  // namespace errgroup::inline v1::detail
