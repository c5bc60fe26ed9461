#ifndef ERRGROUP_DETAIL_NODE_HPP
#define ERRGROUP_DETAIL_NODE_HPP

#include <errgroup/detail/export.hpp>
#include <errgroup/detail/frame.hpp>
#include <errgroup/fwd.hpp>

#include <cstddef>      // byte, max_align_t, size_t
#include <memory>       // construct_at, destroy_at, make_unique, unique_ptr
#include <type_traits>  // is_nothrow_move_constructible_v
#include <utility>      // forward, move

namespace errgroup::detail {

/// A task in a queue. Nodes have one size, so that they can be recycled among all groups: a
/// callable that does not fit, or that may throw when moved, is kept in a box.
struct node {
  node* next;
  /// Runs the callable as a task of `runner`, or leaves it uncalled if that is null; destroys it.
  void (*consume)(node& self, group* runner) noexcept;
  alignas(std::max_align_t) std::byte storage[48];
};
static_assert(sizeof(node) == 64);

/// A callable behind a pointer.
template <class F>
class boxed {
 public:
  template <class G>
  explicit boxed(std::in_place_t, G&& f) : f_(std::make_unique<F>(std::forward<G>(f))) {}

  F& get() noexcept { return *f_; }

 private:
  std::unique_ptr<F> f_;
};

/// A callable as it is.
template <class F>
class inlined {
 public:
  template <class G>
  explicit inlined(std::in_place_t, G&& f) : f_(std::forward<G>(f)) {}

  F& get() noexcept { return f_; }

 private:
  F f_;
};

/// oneTBB leaks, and hangs, if what it is given throws when it is moved; so it is given nothing of
/// that kind, and nothing of unusual alignment.
template <class F>
using held = std::conditional_t<std::is_nothrow_move_constructible_v<F> &&
                                    alignof(F) <= alignof(std::max_align_t),
                                inlined<F>, boxed<F>>;

template <class F>
using stored = std::conditional_t<sizeof(held<F>) <= sizeof(node::storage), held<F>, boxed<F>>;

/// A free node, from this thread's cache or from `operator new`.
[[nodiscard]] ERRGROUP_API node* new_node(thread_state& self);

[[nodiscard]] inline node* take_node(thread_state& self) {
  node* n = self.nodes;
  if (n == nullptr) [[unlikely]] {
    return new_node(self);
  }
  self.nodes = n->next;
  return n;
}

inline void put_node(thread_state& self, node* n) noexcept {
  n->next = self.nodes;
  self.nodes = n;
}

}  // namespace errgroup::detail

#endif  // ERRGROUP_DETAIL_NODE_HPP
