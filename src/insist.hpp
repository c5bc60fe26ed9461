// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_INSIST_HPP
#define ERRGROUP_SRC_INSIST_HPP

#include <new>     // bad_alloc
#include <thread>  // yield

namespace errgroup::inline v1::detail {

/// Calls `f` again until there is the memory for it.
template <class F>
void insist(F const& f) noexcept {
  for (;;) {
    try {
      f();
      return;
    } catch (std::bad_alloc const&) {
      std::this_thread::yield();
    }
  }
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_SRC_INSIST_HPP
