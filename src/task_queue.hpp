// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_TASK_QUEUE_HPP
#define ERRGROUP_SRC_TASK_QUEUE_HPP

#include "ranked_tasks.hpp"
#include "sleeper.hpp"
#include "task_list.hpp"
#include <errgroup/clock.hpp>
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/queue_life.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/sync.hpp>

#include <atomic>   // memory_order
#include <cstddef>  // size_t
#include <cstdint>  // uint32_t, uint64_t, uint8_t
#include <limits>   // numeric_limits
#include <utility>  // exchange
#include <vector>   // vector

namespace errgroup::inline v1::detail::inline ERRGROUP_PART {

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

/// The tasks that do not start in the order of their submission: those that are due, the earliest
/// first, and those with a level. The lock of the queue guards them.
class due_list {
 public:
  struct layout;  // for debuggers: layout.cpp

  /// The number of tasks. Threads: any, also without the lock.
  [[nodiscard]] std::uint32_t size() const noexcept {
    return size_.load(std::memory_order_relaxed);
  }
  /// True if there is memory for one more due task.
  [[nodiscard]] bool has_room() const noexcept { return heap_.size() != heap_.capacity(); }
  [[nodiscard]] std::uint32_t number_of_due() const noexcept {
    return static_cast<std::uint32_t>(heap_.size());
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return heap_.capacity(); }
  /// Moves the tasks to `memory`, and its own memory there, if `memory` is larger.
  bool grow(std::vector<timed_task>& memory);
  /// The capacity is greater than the size.
  void push(timed_task const& t) noexcept;
  /// The task that `pop` returns next, for 0; for other numbers, another task.
  [[nodiscard]] node const* peek(std::uint32_t i) const noexcept { return heap_[i].task; }
  /// The task that has been due for the longest time; null if none is due.
  [[nodiscard]] node* pop() noexcept;
  /// Takes the due tasks. No task with a level is left.
  [[nodiscard]] std::vector<timed_task> empty() noexcept;

  // Tasks with a level.
  [[nodiscard]] ranked_tasks const& ranked() const noexcept { return ranked_; }
  void push(node* n) noexcept {
    ranked_.push(n);
    size_.store(size() + 1, std::memory_order_relaxed);
  }
  [[nodiscard]] node* pop(int level) noexcept {
    size_.store(size() - 1, std::memory_order_relaxed);
    return ranked_.pop(level);
  }
  void note_start(int level, bool has_usual) noexcept { ranked_.note_start(level, has_usual); }
  [[nodiscard]] node* take_ranked() noexcept { return ranked_.take_all(); }

  /// Frees the memory, but for a small block.
  void give_memory_back() noexcept;

  std::size_t later = 0;  // the number of tasks that are not due yet

 private:
  atomic<std::uint32_t> size_{0};  // of both
  std::vector<timed_task> heap_;   // the earliest on top
  ranked_tasks ranked_;
};

/// The tasks of one group that wait for a thread, the number of threads that may run them at once,
/// and the threads that sleep until that changes. The queue knows nothing of groups.
///
/// Invariants:
/// - `running <= limits.slots`. A thread takes tasks only while it is counted in `running`; the
///   exceptions are a thread inside the group, on the slot that it holds (`make_room`, `run_due`).
/// - `unfinished` counts tasks from their submission until they are finished or dropped;
///   `due.later` counts tasks before they are due. The tasks of a batch are counted until the
///   batch is given back.
/// - At most one request is open (helpers.hpp).
/// - `current.serial` changes only when a life ends.
///
/// Lock order: `lock` guards everything. The atomics are written under it, and may be read without
/// it. A thread that works for the queue releases `lock` as its last access on behalf of a task. A
/// thread that finds the tasks finished has taken `lock` after that, and so sees what the tasks
/// wrote. Sleepers are woken after `lock` was released.
///
/// Never destroyed: queues are recycled, since a request may read `current.serial` at any time. A
/// life ends (`end_life`) when the queue is idle.
struct alignas(64) task_queue {
  static constexpr int many = std::numeric_limits<int>::max();
  static constexpr std::size_t unbounded = std::numeric_limits<std::size_t>::max();

  /// A request asks for a thread (helpers.hpp).
  enum class requested : std::uint8_t {
    no,
    yes,      // a request is open
    stranded  // a request is open, but maybe no thread answers it
  };

  struct bounds {
    int slots = many;              // the greatest number in `running`
    std::size_t room = unbounded;  // the greatest number of unfinished tasks
  };

  /// The group that the queue serves now.
  struct service {
    queue_owner* owner = nullptr;
    task_queue* next_free = nullptr;
    atomic<std::uint64_t> serial{1};  // of this life
    atomic<std::uint64_t> joined{0};  // number of tasks of `pushed` that were waited for
    std::size_t guests = 0;           // threads that keep the owner from ending
  };

  // Every submission and every task changes the members of this cache line.
  spin_mutex lock;
  atomic<requested> request{requested::no};
  bool closed = false;     // new tasks are skipped
  atomic<int> running{0};  // threads that take tasks from here
  task_list tasks;
  std::size_t unfinished = 0;
  atomic<std::uint64_t> pushed{0};  // number of tasks that were submitted in this life

  // Submissions and tasks mostly read these members …
  alignas(64) bounds limits;
  sleeper_list sleepers;
  due_list due;
  service current;

  // … and only batches need this member.
  alignas(64) batch_list batches;

  [[nodiscard]] bool is_idle() const noexcept {
    // A request of another group may wait here, and no task. The thread that runs it uses this
    // group.
    return unfinished == 0 && running.load(std::memory_order_relaxed) == 0 && due.later == 0 &&
           current.guests == 0 && waiting() == 0;
  }
  /// True if tasks wait for a time, and nothing happens before a task is due.
  [[nodiscard]] bool only_time_is_left() const noexcept {
    return due.later != 0 && unfinished == 0 && running.load(std::memory_order_relaxed) == 0;
  }
  /// The number of tasks that no thread has taken. Threads: any, also without the lock.
  [[nodiscard]] std::uint32_t waiting() const noexcept { return tasks.size() + due.size(); }
  [[nodiscard]] bool has_work() const noexcept {
    return tasks.size() != 0 || due.size() != 0 || batches.has_work();
  }
  [[nodiscard]] bool may_start() const noexcept {
    // In this order: a late request may read these members while the next group sets the limits,
    // but then there is no work.
    return has_work() && running.load(std::memory_order_relaxed) < limits.slots;
  }
  /// From now on no thread takes a batch: the end of each task wakes a sleeper that sleeps for
  /// room. In an unbounded queue; a bounded queue has no batches. The bound is out of reach.
  void take_singly() noexcept {
    if (limits.room == unbounded) {
      limits.room = unbounded - 1;
    }
  }
  [[nodiscard]] bool is_full() const noexcept { return unfinished >= limits.room && !closed; }
  /// True if a request has to be sent. Then a request is open, and the caller has to send it.
  [[nodiscard]] bool take_request() noexcept {
    return request.load(std::memory_order_relaxed) == requested::no && may_start() &&
           open_request();
  }
  /// Returns false if a request is open already.
  bool open_request() noexcept {
    bool const opens = request.load(std::memory_order_relaxed) == requested::no;
    if (opens) {
      request.store(requested::yes, std::memory_order_relaxed);
    }
    return opens;
  }
  /// A request was not sent, or was answered.
  void close_request() noexcept { request.store(requested::no, std::memory_order_relaxed); }
  /// Maybe no thread answers the open request.
  void strand_request(wake_list& awake) noexcept {
    if (request.load(std::memory_order_relaxed) == requested::yes) {
      request.store(requested::stranded, std::memory_order_relaxed);
      sleepers.wake_all(awake);
    }
  }
  [[nodiscard]] bool is_stranded() const noexcept {
    return request.load(std::memory_order_relaxed) == requested::stranded;
  }

  /// The approximate number of tasks that were taken in this life, as seen without the lock.
  [[nodiscard]] std::uint32_t taken() const noexcept {
    return static_cast<std::uint32_t>(pushed.load(std::memory_order_relaxed)) - waiting();
  }

  /// Takes the lock, with memory for one more due task. Throws `std::bad_alloc`, without the lock.
  /// The caller destroys `memory` after it has released the lock.
  void acquire_for_due(spin_mutex::scoped_lock& held, std::vector<timed_task>& memory);

  /// The next task: the task that has been due for the longest time; if no task is due, the oldest
  /// task of the level whose turn it is. (If the number of running tasks is not limited, a task
  /// that is in no batch is preferred.) Null if there is none.
  [[nodiscard]] node* pop() noexcept {
    if (due.size() != 0) [[unlikely]] {
      return pop_out_of_order();
    }
    return pop_in_order();
  }
  /// For a thread between two tasks of its batch: the next task if it goes before the tasks of the
  /// batch; null otherwise.
  [[nodiscard]] node* pop_before_batch() noexcept;
  /// True if `pop_before_batch` may return a task, now or after the next task of the batch.
  [[nodiscard]] bool has_urgent() const noexcept {
    return due.number_of_due() != 0 || due.ranked().has_high();
  }
  [[nodiscard]] node* pop_out_of_order() noexcept;
  [[nodiscard]] node* pop_in_order() noexcept {
    if (tasks.size() == 0) {
      return batches.steal();
    }
    if (limits.slots != many && !batches.is_empty()) {
      if (node* const n = batches.steal()) {
        return n;
      }
    }
    return tasks.pop();
  }

  /// The task that `pop` returns next, for 0; for greater numbers, a later task. Null if there are
  /// not so many. For a queue without batches.
  [[nodiscard]] node const* peek(std::uint32_t i) const noexcept {
    return due.size() == 0 ? tasks.peek(i) : peek_out_of_order(i);
  }
  [[nodiscard]] node const* peek_out_of_order(std::uint32_t i) const noexcept;

  /// Takes the rest of the first page as a batch, if there is a second page. Returns false while a
  /// task is due, or a task with a level waits. Returns false in a bounded queue: a thread may wait
  /// for room, and the tasks of a batch are counted until the batch is given back. Returns false if
  /// the tasks start in order and there is a batch already.
  [[nodiscard]] bool pop(batch& b) noexcept {
    if (!tasks.has_batch() || due.size() != 0 || limits.room != unbounded ||
        (limits.slots != many && !batches.is_empty())) {
      return false;
    }
    tasks.pop(b, batches);
    return true;
  }

  /// Gives back a batch. All its tasks were taken, and the tasks that its owner took are finished.
  void give_back(batch& b) noexcept { batches.remove(b, tasks.spare); }
  void give_back(node* n) noexcept { tasks.spare.push(n); }

  /// All tasks that waited, after they were taken out of the queue.
  struct contents {
    task_list::contents tasks;
    std::vector<timed_task> due;
    node* ranked;  // the first of the tasks with a level, which are linked
  };
  [[nodiscard]] contents empty() noexcept {
    node* const ranked = due.take_ranked();
    return {tasks.empty(), due.empty(), ranked};
  }
  void give_back(contents const& all) noexcept {
    tasks.give_back(all.tasks);
    for (timed_task const& t : all.due) {
      tasks.spare.push(t.task);
    }
    for (node* n = all.ranked; n != nullptr;) {
      tasks.spare.push(std::exchange(n, n->get_rank().next));
    }
  }

  /// If the queue is idle, wakes all sleepers; otherwise, if a task may start, a sleeper that
  /// sleeps for one.
  void tell_sleepers(wake_list& awake) noexcept {
    if (!sleepers.is_empty()) {
      tell_some(awake);
    }
  }
  [[gnu::noinline]] void tell_some(wake_list& awake) noexcept {
    if (is_idle()) {
      sleepers.wake_all(awake);
    } else if (may_start()) {
      sleepers.wake_one(awake, sleeper::work);
    }
  }

  /// The caller has waited for all tasks, and holds the lock. The queue is idle.
  void join() noexcept {
    current.joined.store(pushed.load(std::memory_order_relaxed), std::memory_order_release);
  }
  /// True if a thread has waited for all tasks. Then the caller sees what the tasks wrote, too.
  /// Threads: any, also without the lock.
  [[nodiscard]] bool is_joined() const noexcept {
    return pushed.load(std::memory_order_acquire) == current.joined.load(std::memory_order_acquire);
  }

  /// A free queue begins to serve a group. Nobody else knows this life of it yet.
  void begin_life(queue_owner& of) noexcept {
    current.owner = &of;
    pushed.store(0, std::memory_order_relaxed);
    current.joined.store(0, std::memory_order_relaxed);
  }
  /// An idle queue ends to serve its group. Requests may come late.
  void end_life() noexcept;
  [[nodiscard]] queue_life life() noexcept {
    return {this, current.serial.load(std::memory_order_relaxed)};
  }
  /// True while the queue serves the group that it served when `serial` was read.
  [[nodiscard]] bool serves(std::uint64_t serial) const noexcept {
    return current.serial.load(std::memory_order_acquire) == serial;
  }
};

/// Keeps the owner of a busy queue from ending: a thread that waits for the owner also waits for
/// the end of this object. False if the life is over, or the queue is idle.
class queue_guest {
 public:
  explicit queue_guest(queue_life const& life) noexcept {
    spin_mutex::scoped_lock lock(life.of->lock);
    if (life.of->serves(life.serial) && !life.of->is_idle()) {
      at_ = life.of;
      ++at_->current.guests;
    }
  }
  queue_guest(queue_guest const&) = delete;
  queue_guest& operator=(queue_guest const&) = delete;
  ~queue_guest() {
    if (at_ != nullptr) {
      wake_list awake;
      spin_mutex::scoped_lock lock(at_->lock);
      --at_->current.guests;
      if (at_->is_idle()) {
        at_->sleepers.wake_all(awake);
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

}  // namespace errgroup::inline v1::detail::inline ERRGROUP_PART

#endif  // ERRGROUP_SRC_TASK_QUEUE_HPP
