#ifndef ERRGROUP_DETAIL_NODE_HPP
#define ERRGROUP_DETAIL_NODE_HPP

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

/// Free nodes. One node in seven holds the addresses of the six others: so whoever takes nodes
/// reads one cache line in seven from the thread that gave them back, and need not wait for the
/// others.
class node_stack {
 public:
  [[nodiscard]] bool is_empty() const noexcept { return top_ == nullptr; }

  void push(node* n) noexcept {
    if (top_ != nullptr && count_ != per_page) {
      page(top_)[count_++] = n;
    } else {
      n->next = top_;
      top_ = n;
      count_ = 0;
    }
  }

  /// Not on an empty stack.
  [[nodiscard]] node* pop() noexcept {
    if (count_ != 0) {
      return page(top_)[--count_];
    }
    node* n = top_;
    top_ = n->next;
    if (top_ != nullptr) {
      count_ = per_page;  // only the topmost is ever filled in part
      __builtin_prefetch(top_);
    }
    return n;
  }

 private:
  static constexpr std::size_t per_page = sizeof(node::storage) / (sizeof(node*));

  static node** page(node* n) noexcept { return reinterpret_cast<node**>(n->storage); }

  node* top_ = nullptr;
  std::size_t count_ = 0;  // addresses in the topmost
};

}  // namespace errgroup::detail

#endif  // ERRGROUP_DETAIL_NODE_HPP
