// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_TASK_LIST_HPP
#define ERRGROUP_SRC_TASK_LIST_HPP

#include <errgroup/detail/node.hpp>
#include <errgroup/detail/sync.hpp>

#include <algorithm>  // min
#include <array>      // array
#include <atomic>     // memory_order
#include <bit>        // popcount
#include <cstddef>    // size_t
#include <cstdint>    // uint32_t, uint8_t
#include <span>       // span
#include <utility>    // exchange

// Tasks in the order of their submission: a list of pages, and the pages that threads have taken as
// a whole. The lock of the queue guards both.

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

/// A page of tasks that a thread has taken as a whole. The thread runs these tasks without coming
/// back to the queue's lock for each task. A thread that finds the queue empty may still steal
/// tasks from a batch, so a long task strands no other task.
///
/// Invariants:
/// - Owner and thieves claim tasks by counting up `page::claimed`, so exactly one thread gets each
///   task.
/// - A batch is in the list `batch_list` from `task_queue::pop` to `task_queue::give_back`.
///
/// Lock order: the owner claims without a lock. Everything else is done under the queue's lock.
///
/// May be destroyed after it was given back.
class batch {
 public:
  batch() = default;
  batch(batch const&) = delete;
  batch& operator=(batch const&) = delete;

  /// True from `task_queue::pop` to `task_queue::give_back`.
  explicit operator bool() const noexcept { return page_ != nullptr; }

  /// The next task for the thread that owns the batch; null if there is none.
  [[nodiscard]] node* next() noexcept {
    if (page_ == nullptr) {
      return nullptr;
    }
    std::uint32_t const i = page_->claimed.fetch_add(1, std::memory_order_relaxed);
    if (i >= page::capacity) {
      return nullptr;
    }
    ++taken_;
    return page_->of[i];
  }

  void prefetch() const noexcept {
    for (std::uint32_t i = first_; i != page::capacity; ++i) {
      __builtin_prefetch(page_->of[i]);
    }
  }

 private:
  friend class batch_list;

  [[nodiscard]] bool has_work() const noexcept {
    return page_->claimed.load(std::memory_order_relaxed) < page::capacity;
  }

  page* page_ = nullptr;
  std::uint32_t first_ = 0;   // the first task of this batch in the page
  std::uint32_t taken_ = 0;   // number of tasks that the owner has taken
  std::uint32_t stolen_ = 0;  // tasks that thieves have taken: a bit each
  batch* next_ = nullptr;
};

/// The batches that threads have taken from one queue.
class batch_list {
 public:
  /// Threads: any, also without the lock.
  [[nodiscard]] bool is_empty() const noexcept {
    return first_.load(std::memory_order_relaxed) == nullptr;
  }
  [[nodiscard]] bool has_work() const noexcept {
    batch const* b = first_.load(std::memory_order_relaxed);
    while (b != nullptr && !b->has_work()) {
      b = b->next_;
    }
    return b != nullptr;
  }

  /// The number of tasks that no thread has taken out of a batch. Under the lock.
  [[nodiscard]] std::size_t waiting() const noexcept {
    std::size_t n = 0;
    for (batch const* b = first_.load(std::memory_order_relaxed); b != nullptr; b = b->next_) {
      std::uint32_t const taken = b->page_->claimed.load(std::memory_order_relaxed);
      n += taken < page::capacity ? page::capacity - taken : 0U;
    }
    return n;
  }

  /// `b` takes the tasks of `p` from `first` on.
  void add(batch& b, page* p, std::uint32_t first) noexcept {
    p->claimed.store(first, std::memory_order_relaxed);
    b.page_ = p;
    b.first_ = first;
    b.taken_ = 0;
    b.stolen_ = 0;
    b.next_ = first_.load(std::memory_order_relaxed);
    first_.store(&b, std::memory_order_relaxed);
  }

  /// Takes `b` out of the list, and adds its page, and the nodes of the tasks that its owner has
  /// run, to `spare`. A stolen task comes back alone, from the thread that has stolen it.
  void remove(batch& b, node_stack& spare) noexcept {
    batch* before = first_.load(std::memory_order_relaxed);
    if (before == &b) {
      first_.store(b.next_, std::memory_order_relaxed);
    } else {
      while (before->next_ != &b) {
        before = before->next_;
      }
      before->next_ = b.next_;
    }
    page* const done = std::exchange(b.page_, nullptr);
    if (b.taken_ == page::capacity) {
      spare.push(done);
      return;
    }
    for (std::uint32_t i = b.first_; i != page::capacity; ++i) {
      if ((b.stolen_ >> i & 1U) == 0) {
        spare.push(done->of[i]);
      }
    }
    spare.push(done->as_node());
  }

  /// A task from the batch of another thread; null if the batches are empty.
  [[nodiscard, gnu::noinline]] node* steal() noexcept {
    for (batch* b = first_.load(std::memory_order_relaxed); b != nullptr; b = b->next_) {
      if (b->has_work()) {
        std::uint32_t const i = b->page_->claimed.fetch_add(1, std::memory_order_relaxed);
        if (i < page::capacity) {
          b->stolen_ |= 1U << i;
          return b->page_->of[i];
        }
      }
    }
    return nullptr;
  }

  /// A lower bound of the number of tasks in batches that are finished, although their batch has
  /// not been given back. Before a thread takes a task from its batch, it has finished its previous
  /// task.
  [[nodiscard]] std::size_t finished() const noexcept {
    std::size_t n = 0;
    for (batch const* b = first_.load(std::memory_order_relaxed); b != nullptr; b = b->next_) {
      std::uint32_t const claimed =
          std::min(b->page_->claimed.load(std::memory_order_acquire), page::capacity);
      auto const stolen = static_cast<std::uint32_t>(std::popcount(b->stolen_));
      std::uint32_t const taken = claimed - b->first_ - stolen;
      n += taken > 1 ? taken - 1 : 0;
    }
    return n;
  }

 private:
  atomic<batch*> first_{nullptr};
};

/// The tasks that wait, in pages, of which there is always at least one, and the nodes of tasks
/// that are finished.
///
/// Lock order: the queue's lock guards everything; `size` may be read without it.
class task_list {
 public:
  struct layout;  // for debuggers: layout.cpp

  /// `first` becomes the first page.
  void open(node* first) noexcept { head_ = tail_ = page::make(first); }

  /// The number of tasks. Threads: any, also without the lock.
  [[nodiscard]] std::uint32_t size() const noexcept {
    return size_.load(std::memory_order_relaxed);
  }
  /// True if the next `push` needs another page.
  [[nodiscard]] bool is_page_full() const noexcept { return tail_at_ == page::capacity; }
  void add_page(node* n) noexcept {
    tail_ = tail_->next = page::make(n);
    tail_at_ = 0;
  }
  void push(node* n) noexcept {
    tail_->of[tail_at_++] = n;
    size_.store(size() + 1, std::memory_order_relaxed);
  }

  /// The oldest task. The list is not empty.
  [[nodiscard]] node* pop() noexcept {
    if (head_at_ == page::capacity) {
      spare.push(std::exchange(head_, head_->next)->as_node());
      head_at_ = 0;
    }
    node* const n = head_->of[head_at_++];
    take(1);
    if (size() == 0) {
      head_at_ = tail_at_ = 0;  // the first page is also the last page
    } else if (head_at_ != page::capacity) {
      __builtin_prefetch(head_->of[head_at_]);
    } else {
      __builtin_prefetch(head_->next);
    }
    return n;
  }

  /// The i-th task, from 0; null if there are not so many.
  [[nodiscard]] node const* peek(std::uint32_t i) const noexcept {
    if (i >= size()) {
      return nullptr;
    }
    page const* p = head_;
    for (i += head_at_; i >= page::capacity; i -= page::capacity) {
      p = p->next;
    }
    return p->of[i];
  }

  /// True if the rest of the first page can be taken as a batch: there is a second page.
  [[nodiscard]] bool has_batch() const noexcept {
    return head_ != tail_ && head_at_ != page::capacity;
  }
  void pop(batch& b, batch_list& batches) noexcept {
    page* const p = std::exchange(head_, head_->next);
    __builtin_prefetch(head_);
    batches.add(b, p, head_at_);
    take(page::capacity - std::exchange(head_at_, std::uint8_t{0}));
  }

  /// The tasks that wait in the last page.
  [[nodiscard]] std::span<node* const> latest() const noexcept {
    std::size_t const first = head_ == tail_ ? head_at_ : 0U;
    return std::span(tail_->of).subspan(first, tail_at_ - first);
  }

  /// All tasks of a list, after they were taken out of the list.
  class contents {
   public:
    template <class F>
    void for_each(F const& f) const noexcept {
      for (page* p = first_; p != nullptr && p != last_; p = p->next) {
        for (std::uint32_t i = p == first_ ? first_at_ : 0; i != page::capacity; ++i) {
          f(*p->of[i]);
        }
      }
      for (std::uint32_t i = 0; i != number_of_others_; ++i) {
        f(*others_[i]);
      }
    }

   private:
    friend class task_list;

    page* first_ = nullptr;  // the first of several full pages
    page* last_ = nullptr;   // the page behind the last full page
    std::uint32_t first_at_ = 0;
    std::array<node*, page::capacity> others_{};  // the tasks of the last page
    std::uint32_t number_of_others_ = 0;
  };

  [[nodiscard]] contents empty() noexcept {
    contents all;
    if (size() != 0) {
      bool const several = head_ != tail_;
      all.first_ = several ? head_ : nullptr;
      all.last_ = tail_;
      all.first_at_ = head_at_;
      for (std::uint32_t i = several ? 0 : head_at_; i != tail_at_; ++i) {
        all.others_[all.number_of_others_++] = tail_->of[i];
      }
      take(size());
      head_ = tail_;
      head_at_ = tail_at_ = 0;
    }
    return all;
  }

  /// The tasks in `all` are finished.
  void give_back(contents const& all) noexcept {
    for (page* p = all.first_; p != nullptr && p != all.last_;) {
      page* const done = std::exchange(p, p->next);
      if (done != all.first_ || all.first_at_ == 0) {
        spare.push(done);
        continue;
      }
      for (std::uint32_t i = all.first_at_; i != page::capacity; ++i) {
        spare.push(done->of[i]);
      }
      spare.push(done->as_node());
    }
    for (std::uint32_t i = 0; i != all.number_of_others_; ++i) {
      spare.push(all.others_[i]);
    }
  }

  node_stack spare;  // finished nodes, for the next submitter

 private:
  void take(std::uint32_t n) noexcept { size_.store(size() - n, std::memory_order_relaxed); }

  page* head_ = nullptr;
  page* tail_ = nullptr;
  atomic<std::uint32_t> size_{0};
  std::uint8_t head_at_ = 0;  // the first task in the first page
  std::uint8_t tail_at_ = 0;  // behind the last task in the last page
};

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_SRC_TASK_LIST_HPP
