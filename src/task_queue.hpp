// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_TASK_QUEUE_HPP
#define ERRGROUP_SRC_TASK_QUEUE_HPP

#include "sleeper.hpp"
#include <errgroup/clock.hpp>
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/queue_life.hpp>
#include <errgroup/detail/spin_mutex.hpp>

#include <algorithm>  // min
#include <array>      // array
#include <atomic>     // memory_order
#include <bit>        // popcount
#include <cstddef>    // size_t
#include <cstdint>    // uint32_t, uint64_t
#include <limits>     // numeric_limits
#include <span>       // span
#include <utility>    // exchange
#include <vector>     // vector

namespace errgroup::detail::inline ERRGROUP_PART {

/// Tasks that a thread has taken as a whole, a page of them, to run them one after the other
/// without coming back to the queue each time. Others, who find the queue empty, may still take
/// them from here: so a task that takes its time strands nobody.
class batch {
 public:
  batch() = default;
  batch(batch const&) = delete;
  batch& operator=(batch const&) = delete;

  /// True if it has tasks, or had some and was not given back.
  explicit operator bool() const noexcept { return page_ != nullptr; }

  /// The next task for the thread whose batch this is; null if there is none.
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
  friend struct task_queue;

  [[nodiscard]] bool has_work() const noexcept {
    return page_->claimed.load(std::memory_order_relaxed) < page::capacity;
  }

  page* page_ = nullptr;
  std::uint32_t first_ = 0;   // those before were taken before
  std::uint32_t taken_ = 0;   // by the thread whose batch this is
  std::uint32_t stolen_ = 0;  // by others: bits
  batch* next_ = nullptr;
};

/// A task that waits for a time, or is due: 24 bytes, beside its node.
struct timed_task {
  clock::time_point due;
  std::uint64_t order;  // of submission
  node* task;

  /// `std::push_heap` keeps the greatest on top, so "less" means "due later".
  friend bool operator<(timed_task const& a, timed_task const& b) noexcept {
    return a.due != b.due ? a.due > b.due : a.order > b.order;
  }
};

/// Tasks of one group that wait for a thread, how many of them may run at once, and who waits for
/// that. Knows nothing of what a group is.
///
/// Everything but the atomics is guarded by `lock`, and these are written under it. The last thing
/// that a thread does with a queue on behalf of a task is to release this lock; whoever finds the
/// tasks finished has taken it after that.
///
/// The tasks are in pages, of which there is always at least one. Tasks that are due are in a heap,
/// and are taken before the tasks in the pages.
struct alignas(64) task_queue {
  static constexpr int many = std::numeric_limits<int>::max();

  // What every submission and every task changes is in one cache line.
  spin_mutex lock;
  atomic<bool> request{false};       // somebody was asked to come, and has not come yet
  atomic<bool> stranded{false};      // it is where nobody may come for it
  bool closed = false;               // new tasks are skipped
  std::uint8_t head_at = 0;          // the first task in the first page
  std::uint8_t tail_at = 0;          // behind the last task in the last page
  atomic<int> running{0};            // threads that take tasks from here
  atomic<std::uint32_t> waiting{0};  // tasks in the pages, and due tasks
  page* head = nullptr;
  page* tail = nullptr;
  std::size_t unfinished = 0;
  atomic<std::uint64_t> pushed{0};  // tasks, in this life
  node_stack spare;                 // finished nodes, on their way back to those who submit

  // What they mostly read …
  alignas(64) int slots = many;                     // at most so many are running
  atomic<std::uint32_t> due{0};                     // tasks in `due_tasks`
  std::size_t room = static_cast<std::size_t>(-1);  // for so many unfinished tasks
  sleeper* sleepers = nullptr;
  group_core* owner = nullptr;
  task_queue* next_free = nullptr;
  atomic<std::uint64_t> serial{1};    // of this life
  std::size_t guests = 0;             // threads that use what the owner has
  std::size_t timed = 0;              // tasks that are not due yet
  atomic<std::uint64_t> joined{0};    // so many of `pushed` were waited for
  std::vector<timed_task> due_tasks;  // a heap, the earliest on top

  // … and what only batches need.
  alignas(64) atomic<batch*> batches{nullptr};  // those that are taken

  [[nodiscard]] bool is_idle() const noexcept {
    return unfinished == 0 && running.load(std::memory_order_relaxed) == 0 && guests == 0 &&
           timed == 0;
  }
  /// True if somebody waits, and nothing happens before a task is due.
  [[nodiscard]] bool only_time_is_left() const noexcept {
    return timed != 0 && unfinished == 0 && running.load(std::memory_order_relaxed) == 0;
  }
  [[nodiscard]] bool has_work() const noexcept {
    if (waiting.load(std::memory_order_relaxed) != 0) {
      return true;
    }
    for (batch* b = batches.load(std::memory_order_relaxed); b != nullptr; b = b->next_) {
      if (b->has_work()) {
        return true;
      }
    }
    return false;
  }
  [[nodiscard]] bool may_start() const noexcept {
    // In this order: a late request may look while the next group sets `slots`, but there is no
    // work.
    return has_work() && running.load(std::memory_order_relaxed) < slots;
  }
  /// True if somebody should be called; the caller has to see to it then.
  [[nodiscard]] bool take_request() noexcept {
    bool const call = !request.load(std::memory_order_relaxed) && may_start();
    if (call) {
      request.store(true, std::memory_order_relaxed);
    }
    return call;
  }
  /// A free queue begins to serve a group. Nobody else knows this life of it yet.
  void begin_life(group_core& of) noexcept {
    owner = &of;
    pushed.store(0, std::memory_order_relaxed);
    joined.store(0, std::memory_order_relaxed);
  }
  /// An idle queue ends to serve its group. Requests may come late.
  void end_life() noexcept;
  [[nodiscard]] queue_life life() noexcept {
    return {this, serial.load(std::memory_order_relaxed)};
  }

  /// So many tasks were taken from here, more or less, as seen without the lock.
  [[nodiscard]] std::uint32_t taken() const noexcept {
    return static_cast<std::uint32_t>(pushed.load(std::memory_order_relaxed)) -
           waiting.load(std::memory_order_relaxed);
  }

  /// True if the next `push` needs another page.
  [[nodiscard]] bool is_page_full() const noexcept { return tail_at == page::capacity; }
  void add_page(node* n) noexcept {
    tail = tail->next = page::make(n);
    tail_at = 0;
  }
  void push(node* n) noexcept {
    tail->of[tail_at++] = n;
    count(1);
  }

  /// What waits in the last page.
  [[nodiscard]] std::span<node* const> latest() const noexcept {
    std::size_t const first = head == tail ? head_at : 0U;
    return std::span(tail->of).subspan(first, tail_at - first);
  }

  /// Takes the lock, with memory for one more due task. Throws `std::bad_alloc`, without the lock.
  /// The caller destroys `memory` after it has released the lock.
  void acquire_for_due(spin_mutex::scoped_lock& held, std::vector<timed_task>& memory);
  /// After `acquire_for_due`.
  void push_due(timed_task const& t) noexcept;
  /// The task that has been due for the longest time; null if none is due.
  [[nodiscard]] node* pop_due() noexcept;

  /// The next task: the one that has been due for the longest time, or else the oldest. (If any
  /// number may run, a task that is in no batch is preferred.)
  [[nodiscard]] node* pop() noexcept {
    if (due.load(std::memory_order_relaxed) != 0) [[unlikely]] {
      return pop_due();
    }
    if (waiting.load(std::memory_order_relaxed) == 0) {
      return steal();
    }
    if (slots != many && batches.load(std::memory_order_relaxed) != nullptr) {
      if (node* const n = steal()) {
        return n;
      }
    }
    if (head_at == page::capacity) {
      spare.push(std::exchange(head, head->next)->as_node());
      head_at = 0;
    }
    node* const n = head->of[head_at++];
    take(1);
    if (waiting.load(std::memory_order_relaxed) == 0) {
      head_at = tail_at = 0;  // the first page is the last one
    } else if (head_at != page::capacity) {
      __builtin_prefetch(head->of[head_at]);
    } else {
      __builtin_prefetch(head->next);
    }
    return n;
  }

  /// Takes the rest of the first page, if there is another. Not where somebody may wait for room:
  /// what a batch has finished is counted when it is given back. And one batch at a time where
  /// tasks start in order. While a task is due, no batch is taken.
  [[nodiscard]] bool pop(batch& b) noexcept {
    if (head == tail || head_at == page::capacity || due.load(std::memory_order_relaxed) != 0 ||
        room != static_cast<std::size_t>(-1) ||
        (slots != many && batches.load(std::memory_order_relaxed) != nullptr)) {
      return false;
    }
    b.page_ = std::exchange(head, head->next);
    __builtin_prefetch(head);
    b.page_->claimed.store(head_at, std::memory_order_relaxed);
    b.first_ = head_at;
    b.taken_ = 0;
    b.stolen_ = 0;
    b.next_ = batches.load(std::memory_order_relaxed);
    batches.store(&b, std::memory_order_relaxed);
    take(page::capacity - std::exchange(head_at, std::uint8_t{0}));
    return true;
  }

  /// At least so many tasks of batches have finished but are still counted in `unfinished`. Before
  /// a thread takes a task from its batch, it has finished its previous one.
  [[nodiscard]] std::size_t finished_in_batches() const noexcept {
    std::size_t n = 0;
    for (batch const* b = batches.load(std::memory_order_relaxed); b != nullptr; b = b->next_) {
      std::uint32_t const claimed =
          std::min(b->page_->claimed.load(std::memory_order_acquire), page::capacity);
      auto const stolen = static_cast<std::uint32_t>(std::popcount(b->stolen_));
      std::uint32_t const taken = claimed - b->first_ - stolen;
      n += taken > 1 ? taken - 1 : 0;
    }
    return n;
  }

  /// Gives back a batch all of whose tasks were taken, and those that its own thread took have
  /// finished.
  void give_back(batch& b) noexcept {
    batch* before = batches.load(std::memory_order_relaxed);
    if (before == &b) {
      batches.store(b.next_, std::memory_order_relaxed);
    } else {
      while (before->next_ != &b) {
        before = before->next_;
      }
      before->next_ = b.next_;
    }
    page* const done = std::exchange(b.page_, nullptr);
    if (b.taken_ == page::capacity) {
      spare.push(done);
    } else {
      // Some were taken from it alone, and come back alone.
      for (std::uint32_t i = b.first_; i != page::capacity; ++i) {
        if ((b.stolen_ >> i & 1U) == 0) {
          spare.push(done->of[i]);
        }
      }
      spare.push(done->as_node());
    }
  }

  void give_back(node* n) noexcept { spare.push(n); }

  /// All tasks that waited, taken out of the queue.
  struct contents {
    page* first = nullptr;  // of several
    page* last = nullptr;   // behind the last of those
    std::uint32_t first_at = 0;
    std::array<node*, page::capacity> others{};  // and these
    std::uint32_t number_of_others = 0;
    std::vector<timed_task> due;  // and these
  };
  [[nodiscard]] contents empty() noexcept {
    contents all;
    all.due.swap(due_tasks);
    take(due.exchange(0, std::memory_order_relaxed));
    if (waiting.load(std::memory_order_relaxed) != 0) {
      bool const several = head != tail;
      all.first = several ? head : nullptr;
      all.last = tail;
      all.first_at = head_at;
      for (std::uint32_t i = several ? 0 : head_at; i != tail_at; ++i) {
        all.others[all.number_of_others++] = tail->of[i];
      }
      take(waiting.load(std::memory_order_relaxed));
      head = tail;
      head_at = tail_at = 0;
    }
    return all;
  }

  void give_back(contents const& all) noexcept {
    for (page* p = all.first; p != nullptr && p != all.last;) {
      page* const done = std::exchange(p, p->next);
      if (done != all.first || all.first_at == 0) {
        spare.push(done);
        continue;
      }
      for (std::uint32_t i = all.first_at; i != page::capacity; ++i) {
        spare.push(done->of[i]);
      }
      spare.push(done->as_node());
    }
    for (std::uint32_t i = 0; i != all.number_of_others; ++i) {
      spare.push(all.others[i]);
    }
    for (timed_task const& t : all.due) {
      spare.push(t.task);
    }
  }

  void enlist(sleeper& s) noexcept {
    s.next_ = sleepers;
    sleepers = &s;
  }
  /// Wakes one sleeper of a kind.
  void wake_one(wake_list& list, sleeper::what wanted) noexcept {
    for (sleeper** p = &sleepers; *p != nullptr; p = &(*p)->next_) {
      if ((*p)->wanted_ == wanted) {
        wake(list, p);
        return;
      }
    }
  }

  [[nodiscard]] bool sleeps(sleeper const& s) const noexcept {
    sleeper const* p = sleepers;
    while (p != nullptr && p != &s) {
      p = p->next_;
    }
    return p != nullptr;
  }
  /// Wakes this one, if it sleeps.
  void wake(wake_list& list, sleeper const& s) noexcept {
    for (sleeper** p = &sleepers; *p != nullptr; p = &(*p)->next_) {
      if (*p == &s) {
        wake(list, p);
        return;
      }
    }
  }

  void wake_all(wake_list& list) noexcept {
    while (sleepers != nullptr) {
      wake(list, &sleepers);
    }
  }

 private:
  void count(std::uint32_t more) noexcept {
    waiting.store(waiting.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }
  void take(std::uint32_t n) noexcept {
    waiting.store(waiting.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
  }
  // A task from somebody's batch.
  [[nodiscard]] node* steal() noexcept {
    for (batch* b = batches.load(std::memory_order_relaxed); b != nullptr; b = b->next_) {
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

  static void wake(wake_list& list, sleeper** p) noexcept {
    sleeper* s = std::exchange(*p, (*p)->next_);
    if (s->latch_) {
      s->next_ = list.first_;
      list.first_ = s;
    } else {
      // Under the lock, which the sleeper takes before it leaves: so it is still there.
      s->woken_.store(1, std::memory_order_release);
      s->woken_.notify_one();
    }
  }
};

/// Keeps the owner of a busy queue from ending: whoever waits for it waits for this, too.
class queue_guest {
 public:
  explicit queue_guest(queue_life const& life) noexcept {
    spin_mutex::scoped_lock lock(life.of->lock);
    if (life.of->serial.load(std::memory_order_relaxed) == life.serial && !life.of->is_idle()) {
      at_ = life.of;
      ++at_->guests;
    }
  }
  queue_guest(queue_guest const&) = delete;
  queue_guest& operator=(queue_guest const&) = delete;
  ~queue_guest() {
    if (at_ != nullptr) {
      wake_list awake;
      spin_mutex::scoped_lock lock(at_->lock);
      --at_->guests;
      if (at_->is_idle()) {
        at_->wake_all(awake);
      }
      lock.release();
    }
  }

  explicit operator bool() const noexcept { return at_ != nullptr; }
  task_queue& operator*() const noexcept { return *at_; }
  task_queue* operator->() const noexcept { return at_; }

 private:
  task_queue* at_ = nullptr;
};

}  // namespace errgroup::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_SRC_TASK_QUEUE_HPP
