#ifndef ERRGROUP_SRC_QUEUE_HPP
#define ERRGROUP_SRC_QUEUE_HPP

#include <errgroup/detail/frame.hpp>
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/spin_mutex.hpp>

#include <tbb/task_group.h>  // task_group, task_handle

#include <atomic>    // atomic
#include <cstddef>   // size_t
#include <cstdint>   // uint32_t, uint64_t
#include <limits>    // numeric_limits
#include <new>       // bad_alloc
#include <optional>  // optional
#include <utility>   // exchange, move

namespace errgroup::detail {

/// A thread that waits for a queue: for the end of all its tasks, for something to do, or for room.
///
/// It waits in oneTBB's dispatch loop, where it runs whatever its arena has: what tasks started
/// may sit in this very thread's deque. A group that is isolated sleeps instead.
class sleeper {
 public:
  sleeper(bool helps, bool wants_room) noexcept : wants_room_(wants_room) {
    if (helps) {
      try {
        latch_.emplace();
        held_ = latch_->defer([] {});
      } catch (std::bad_alloc const&) {
        latch_.reset();
      }
    }
  }
  sleeper(sleeper const&) = delete;
  sleeper& operator=(sleeper const&) = delete;

  /// Returns when somebody let go of it.
  void sleep() noexcept {
    if (latch_) {
      latch_->wait();
    } else {
      woken_.wait(0, std::memory_order_acquire);
    }
  }

 private:
  friend struct queue;
  friend class wake_list;

  std::optional<tbb::task_group> latch_;
  tbb::task_handle held_;
  std::atomic<int> woken_{0};
  bool wants_room_;
  sleeper* next_ = nullptr;
};

/// Sleepers that are to be woken once the queue's lock is released: waking one takes oneTBB's
/// locks. Each stays where it is until it is woken, and may be gone right after.
class wake_list {
 public:
  wake_list() = default;
  wake_list(wake_list const&) = delete;
  wake_list& operator=(wake_list const&) = delete;
  ~wake_list() { now(); }

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

  /// Wakes them. Not under a lock.
  void now() noexcept {
    while (first_ != nullptr) {
      sleeper* s = std::exchange(first_, first_->next_);
      tbb::task_handle{std::move(s->held_)};  // the latch opens
    }
  }

 private:
  friend struct queue;

  sleeper* first_ = nullptr;
};

/// Tasks of one group that wait for a thread, how many of them may run at once, and who waits for
/// that. Knows nothing of what a group is.
///
/// Everything but the atomics is guarded by `lock`, and these are written under it. The last thing
/// that a thread does with a queue on behalf of a task is to release this lock; whoever finds the
/// tasks finished has taken it after that.
struct alignas(64) queue {
  static constexpr int many = std::numeric_limits<int>::max();

  // What every submission and every task touches is in one cache line.
  spin_mutex lock;
  std::atomic<bool> ticket{false};  // somebody was asked to come, and has not come yet
  bool closed = false;              // new tasks are skipped
  std::atomic<int> running{0};      // threads that take tasks from here
  std::size_t unfinished = 0;
  std::atomic<std::uint64_t> pushed{0};  // in this life
  std::atomic<std::uint32_t> taken{0};   // … and so many were taken from here
  std::atomic<node*> head{nullptr};
  node* tail = nullptr;
  node_stack spare;  // finished nodes, on their way back to those who submit
  sleeper* sleepers = nullptr;

  int slots = many;                                 // at most so many are running
  std::size_t room = static_cast<std::size_t>(-1);  // for so many unfinished tasks
  group* owner = nullptr;
  queue* next_free = nullptr;
  std::atomic<std::uint64_t> serial{1};  // of this life
  std::size_t guests = 0;                // threads that use what the owner has

  [[nodiscard]] bool is_idle() const noexcept {
    return unfinished == 0 && running == 0 && guests == 0;
  }
  [[nodiscard]] bool has_work() const noexcept {
    return head.load(std::memory_order_relaxed) != nullptr;
  }
  [[nodiscard]] bool may_start() const noexcept { return has_work() && running < slots; }
  /// True if somebody should be called; the caller has to see to it then.
  [[nodiscard]] bool take_ticket() noexcept {
    bool const call = may_start() && !ticket.load(std::memory_order_relaxed);
    if (call) {
      ticket.store(true, std::memory_order_relaxed);
    }
    return call;
  }
  [[nodiscard]] queue_life life() noexcept {
    return {this, serial.load(std::memory_order_relaxed)};
  }

  void push(node* n) noexcept {
    n->next = nullptr;
    if (has_work()) {
      tail->next = n;
    } else {
      head.store(n, std::memory_order_relaxed);
    }
    tail = n;
  }

  [[nodiscard]] node* pop() noexcept {
    node* n = head.load(std::memory_order_relaxed);
    if (n != nullptr) {
      head.store(n->next, std::memory_order_relaxed);
      taken.store(taken.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      __builtin_prefetch(n->next);
    }
    return n;
  }

  void give_back(node* n) noexcept { spare.push(n); }

  void enlist(sleeper& s) noexcept {
    s.next_ = sleepers;
    sleepers = &s;
  }
  /// Wakes one sleeper of a kind.
  void wake_one(wake_list& list, bool wants_room) noexcept {
    for (sleeper** p = &sleepers; *p != nullptr; p = &(*p)->next_) {
      if ((*p)->wants_room_ == wants_room) {
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

/// A queue for `owner`, from those that are free. Throws `std::bad_alloc`.
[[nodiscard]] queue& take_queue(thread_state& self, group& owner);

/// The same, from what this thread has at hand; null if it has nothing.
[[nodiscard]] inline queue* try_take_queue(thread_state& self, group& owner) noexcept {
  queue* const q = std::exchange(self.spare_queue, nullptr);
  if (q != nullptr) {
    // Nobody else knows this life of it yet.
    q->owner = &owner;
    q->pushed.store(0, std::memory_order_relaxed);
  }
  return q;
}

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
  queue& operator*() const noexcept { return *at_; }
  queue* operator->() const noexcept { return at_; }

 private:
  queue* at_ = nullptr;
};

/// Ends the life of a queue that is idle.
void put_queue(thread_state& self, queue& q) noexcept;

/// Gives a free queue to all threads.
void free_queue(queue* q) noexcept;

}  // namespace errgroup::detail

#endif  // ERRGROUP_SRC_QUEUE_HPP
