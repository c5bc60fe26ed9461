// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_NODE_HPP
#define ERRGROUP_DETAIL_NODE_HPP

#include <errgroup/detail/sync.hpp>

#include <array>        // array
#include <cstddef>      // byte, max_align_t, size_t
#include <cstdint>      // int64_t, uint32_t
#include <cstring>      // memcpy
#include <memory>       // construct_at, destroy_at, unique_ptr
#include <type_traits>  // is_nothrow_move_constructible_v
#include <utility>      // exchange, forward, move

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

/// The group that a queue serves. A group derives from it.
class queue_owner {};

/// A task in a queue, or a free node. All nodes have one size, so that all groups can recycle them.
/// A callable that does not fit, or that may throw when moved, is kept in a box.
struct node {
  /// The `index` of a node that is a request (helpers.hpp), and no task.
  static constexpr std::size_t request = static_cast<std::size_t>(-1);

  /// What a task has that takes several places of a limiter, or has a level.
  struct rank {
    std::int64_t weight;
    union {
      std::int64_t level;
      node* next;  // in the list of the tasks of its level (ranked_tasks)
    };
  };
  /// A bit of `index`: `storage` begins with the rank of the task, and the callable lies behind it.
  static constexpr std::size_t has_rank = ~(static_cast<std::size_t>(-1) >> 1);
  static constexpr std::size_t rank_size = sizeof(rank);

  [[nodiscard]] bool is_task() const noexcept { return index != request; }
  /// The number of places that the task takes; 1 without a limiter.
  [[nodiscard]] std::int64_t weight() const noexcept {
    return (index & has_rank) != 0 ? get_rank().weight : 1;
  }
  /// The level, before the task waits; 0 for most tasks.
  [[nodiscard]] int level() const noexcept {
    return (index & has_rank) != 0 ? static_cast<int>(get_rank().level) : 0;
  }

  // For a node with a rank.
  [[nodiscard]] rank get_rank() const noexcept {
    rank r;
    std::memcpy(&r, storage, sizeof r);
    return r;
  }
  void keep_rank(rank const& r) noexcept { std::memcpy(storage, &r, sizeof r); }
  void link(node* next) noexcept {
    rank r = get_rank();
    r.next = next;
    keep_rank(r);
  }

  std::size_t index;  // of the task in its group
  /// Runs the callable as a task of `runner`, or does not call it if `runner` is null. Then
  /// destroys the callable.
  void (*consume)(node& self, queue_owner* runner) noexcept;
  alignas(std::max_align_t) std::byte storage[48];
};
static_assert(sizeof(node) == 64 && sizeof(node::rank) % alignof(std::max_align_t) == 0);

/// A callable behind a pointer.
template <class F>
class boxed {
 public:
  template <class... Args>
  explicit boxed(std::in_place_t, Args&&... args) : f_(new F{std::forward<Args>(args)...}) {}

  F& get() noexcept { return *f_; }

 private:
  std::unique_ptr<F> f_;
};

/// A callable as it is.
template <class F>
class inlined {
 public:
  template <class... Args>
  explicit inlined(std::in_place_t, Args&&... args) : f_{std::forward<Args>(args)...} {}

  F& get() noexcept { return f_; }

 private:
  F f_;
};

/// The holder of a callable in a oneTBB task. If a functor throws while oneTBB moves it, oneTBB
/// leaks and hangs. So a callable that may throw when moved, or has an unusual alignment, is kept
/// in a box.
template <class F>
using held = std::conditional_t<std::is_nothrow_move_constructible_v<F> &&
                                    alignof(F) <= alignof(std::max_align_t),
                                inlined<F>, boxed<F>>;

/// The holder of a callable in a node, behind `Offset` bytes.
template <class F, std::size_t Offset = 0>
using stored =
    std::conditional_t<Offset + sizeof(held<F>) <= sizeof(node::storage), held<F>, boxed<F>>;

/// Has the processor fetch a cache line that is going to be written.
inline void prefetch_to_write(void const* p) noexcept {
#if defined(__x86_64__)
  asm volatile("prefetchw %0"
               :
               : "m"(*static_cast<char const*>(p)));  // not in the baseline: a hint
#else
  __builtin_prefetch(p, 1);
#endif
}

/// A node that holds the addresses of six other nodes. A thread that takes seven nodes, which
/// another thread has put away, reads their addresses from one cache line, and can fetch all nodes
/// at once.
struct page {
  /// Six, unless a test replaces the atomics.
  static constexpr std::uint32_t capacity =
      (sizeof(node) - sizeof(page*) - sizeof(atomic<std::uint32_t>)) / sizeof(node*);

  page* next = nullptr;
  /// The number of tasks that threads have taken from this page, or more. Several threads take
  /// tasks if the page is a batch.
  atomic<std::uint32_t> claimed{0};
  std::array<node*, capacity> of;

  [[nodiscard]] static page* make(node* n) noexcept {
    return std::construct_at(reinterpret_cast<page*>(n));
  }
  [[nodiscard]] node* as_node() noexcept {
    std::destroy_at(this);
    return std::construct_at(reinterpret_cast<node*>(this));
  }
};
static_assert(sizeof(page) == sizeof(node) && alignof(page) <= alignof(node));

/// Free nodes, in pages.
class node_stack {
 public:
  [[nodiscard]] bool is_empty() const noexcept { return top_ == nullptr; }
  /// True for one node, or none.
  [[nodiscard]] bool is_low() const noexcept {
    return count_ == 0 && (top_ == nullptr || top_->next == nullptr);
  }

  void push(node* n) noexcept {
    if (top_ != nullptr && count_ != page::capacity) {
      top_->of[count_++] = n;
    } else {
      page* const p = page::make(n);
      p->next = std::exchange(top_, p);
      count_ = 0;
    }
  }

  /// Adds a page whose nodes are all free.
  void push(page* full) noexcept {
    if (top_ != nullptr && count_ != page::capacity) {
      full->next = std::exchange(top_->next, full);  // only the topmost page is partly filled
    } else {
      full->next = std::exchange(top_, full);
      count_ = page::capacity;
    }
  }

  /// The stack must not be empty.
  [[nodiscard]] node* pop() noexcept {
    if (count_ != 0) {
      return top_->of[--count_];
    }
    page* const p = std::exchange(top_, top_->next);
    if (top_ != nullptr) {
      count_ = page::capacity;
      // These cache lines may belong to another processor: fetch them while the first nodes are
      // used.
      for (node* n : top_->of) {
        prefetch_to_write(n);
      }
      prefetch_to_write(top_->next);
    }
    return p->as_node();
  }

  /// Takes all nodes of `other`.
  void take_all(node_stack& other) noexcept {
    node_stack mine = std::exchange(*this, std::exchange(other, {}));
    while (!mine.is_empty()) {
      push(mine.pop());
    }
  }

 private:
  page* top_ = nullptr;
  std::uint32_t count_ = 0;  // addresses in the topmost page
};

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_DETAIL_NODE_HPP
