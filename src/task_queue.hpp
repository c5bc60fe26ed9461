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

/// A page of tasks that a thread has taken as a whole. The thread runs these tasks without coming
/// back to the queue's lock for each task. A thread that finds the pages of the queue empty may
/// still steal tasks from a batch, so a long task strands no other task.
///
/// Invariants:
/// - Owner and thieves claim tasks by counting up `page::claimed`, so exactly one thread gets each
///   task.
/// - A batch is in the list `task_queue::batches` from `pop` to `give_back`.
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
  friend struct task_queue;

  [[nodiscard]] bool has_work() const noexcept {
    return page_->claimed.load(std::memory_order_relaxed) < page::capacity;
  }

  page* page_ = nullptr;
  std::uint32_t first_ = 0;   // the first task of this batch in the page
  std::uint32_t taken_ = 0;   // number of tasks that the owner has taken
  std::uint32_t stolen_ = 0;  // tasks that thieves have taken: a bit each
  batch* next_ = nullptr;
};

/// A task that waits for a time, or is due. It takes 24 bytes, in addition to its node.
struct timed_task {
  clock::time_point due;
  std::uint64_t order;  // of submission
  node* task;

  /// `std::push_heap` keeps the greatest on top, so "less" means "due later".
  friend bool operator<(timed_task const& a, timed_task const& b) noexcept {
    return a.due != b.due ? a.due > b.due : a.order > b.order;
  }
};

/// The tasks of one group that wait for a thread, the number of threads that may run them at once,
/// and the threads that sleep until that changes. The queue knows nothing of groups.
///
/// The tasks are in pages, of which there is always at least one. Tasks that are due are in a heap,
/// and are taken before the tasks in the pages.
///
/// Invariants:
/// - `running <= slots`. A thread takes tasks only while it is counted in `running`; the exceptions
///   are a thread inside the group, on the slot that it holds (`make_room`, `run_due`).
/// - `unfinished` counts tasks from their submission until they are finished or dropped; `timed`
///   counts tasks before they are due. The tasks of a batch are counted until the batch is given
///   back.
/// - At most one request is open (helpers.cpp).
/// - `serial` changes only when a life ends.
///
/// Lock order: `lock` guards everything. The atomics are written under it, and may be read without
/// it. A thread that works for the queue releases `lock` as its last access on behalf of a task. A
/// thread that finds the tasks finished has taken `lock` after that, and so sees what the tasks
/// wrote. Sleepers are woken after `lock` was released.
///
/// Never destroyed: queues are recycled, since a request may read `serial` at any time. A life ends
/// (`put_queue`) when the queue is idle.
struct alignas(64) task_queue {
  static constexpr int many = std::numeric_limits<int>::max();

  // Every submission and every task changes the members of this cache line.
  spin_mutex lock;
  atomic<bool> request{false};       // a request is open
  atomic<bool> stranded{false};      // no worker may come for that request
  bool closed = false;               // new tasks are skipped
  std::uint8_t head_at = 0;          // the first task in the first page
  std::uint8_t tail_at = 0;          // behind the last task in the last page
  atomic<int> running{0};            // threads that take tasks from here
  atomic<std::uint32_t> waiting{0};  // tasks in the pages, and due tasks
  page* head = nullptr;
  page* tail = nullptr;
  std::size_t unfinished = 0;
  atomic<std::uint64_t> pushed{0};  // number of tasks that were submitted in this life
  node_stack spare;                 // finished nodes, for the next submitter

  // Submissions and tasks mostly read these members …
  alignas(64) int slots = many;                     // the greatest number in `running`
  atomic<std::uint32_t> due{0};                     // tasks in `due_tasks`
  std::size_t room = static_cast<std::size_t>(-1);  // the greatest number of unfinished tasks
  sleeper* sleepers = nullptr;
  group_core* owner = nullptr;
  task_queue* next_free = nullptr;
  atomic<std::uint64_t> serial{1};    // of this life
  std::size_t guests = 0;             // threads that keep the owner from ending
  std::size_t timed = 0;              // tasks that are not due yet
  atomic<std::uint64_t> joined{0};    // number of tasks of `pushed` that were waited for
  std::vector<timed_task> due_tasks;  // a heap, the earliest on top

  // … and only batches need this member.
  alignas(64) atomic<batch*> batches{nullptr};  // the batches that threads have taken

  [[nodiscard]] bool is_idle() const noexcept {
    return unfinished == 0 && running.load(std::memory_order_relaxed) == 0 && guests == 0 &&
           timed == 0;
  }
  /// True if tasks wait for a time, and nothing happens before a task is due.
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
    // In this order: a late request may read these members while the next group sets `slots`, but
    // then there is no work.
    return has_work() && running.load(std::memory_order_relaxed) < slots;
  }
  /// True if a request has to be sent. Then `request` is set, and the caller has to send the
  /// request.
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

  /// The approximate number of tasks that were taken in this life, as seen without the lock.
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

  /// The tasks that wait in the last page.
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

  /// The next task: the task that has been due for the longest time; if no task is due, the oldest
  /// task. (If the number of running tasks is not limited, a task that is in no batch is
  /// preferred.)
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
      head_at = tail_at = 0;  // the first page is also the last page
    } else if (head_at != page::capacity) {
      __builtin_prefetch(head->of[head_at]);
    } else {
      __builtin_prefetch(head->next);
    }
    return n;
  }

  /// Takes the rest of the first page as a batch, if there is a second page. Returns false while a
  /// task is due. Returns false in a bounded queue: a thread may wait for room, and the tasks of a
  /// batch are counted until the batch is given back. Returns false if the tasks start in order and
  /// there is a batch already.
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

  /// A lower bound of the number of tasks in batches that are finished but still counted in
  /// `unfinished`. Before a thread takes a task from its batch, it has finished its previous task.
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

  /// Gives back a batch. All its tasks were taken, and the tasks that its owner took are finished.
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
      // A stolen task comes back alone, from the thread that has stolen it.
      for (std::uint32_t i = b.first_; i != page::capacity; ++i) {
        if ((b.stolen_ >> i & 1U) == 0) {
          spare.push(done->of[i]);
        }
      }
      spare.push(done->as_node());
    }
  }

  void give_back(node* n) noexcept { spare.push(n); }

  /// All tasks that waited, after they were taken out of the queue.
  struct contents {
    page* first = nullptr;  // the first of several full pages
    page* last = nullptr;   // the page behind the last full page
    std::uint32_t first_at = 0;
    std::array<node*, page::capacity> others{};  // the tasks of the last page
    std::uint32_t number_of_others = 0;
    std::vector<timed_task> due;  // the tasks that were due
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
  /// Wakes one sleeper that sleeps for `wanted`.
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
  /// Wakes `s`, if it sleeps.
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
  // A task from the batch of another thread; null if the batches are empty.
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
      // The sleeper takes this lock before it leaves, so it is still there.
      s->woken_.store(1, std::memory_order_release);
      s->woken_.notify_one();
    }
  }
};

/// Keeps the owner of a busy queue from ending: a thread that waits for the owner also waits for
/// the end of this object. False if the life is over, or the queue is idle.
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
