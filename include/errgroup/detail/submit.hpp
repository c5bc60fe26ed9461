// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_SUBMIT_HPP
#define ERRGROUP_DETAIL_SUBMIT_HPP

// The templates of group_core: from a callable to a task. Tasks that run again: periodic.hpp.
//
// Inside a task, a task is *spawned*: it goes to oneTBB at once (`group_core::spawned`). From
// outside, and in a group that counts its tasks, the task is a *node* in the group's queue. In both
// cases `group_core::execute` runs the task.

#include <errgroup/detail/config.hpp>
#include <errgroup/detail/group_core.hpp>
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/thread_state.hpp>
#include <errgroup/detail/weighed.hpp>
#include <errgroup/error.hpp>
#include <errgroup/task.hpp>

#include <tbb/task.h>     // current_context
#include <tbb/version.h>  // TBB_INTERFACE_VERSION

#include <atomic>           // memory_order
#include <concepts>         // derived_from
#include <cstddef>          // size_t
#include <cstdint>          // int64_t
#include <memory>           // construct_at, destroy_at
#include <new>              // bad_alloc, launder
#include <source_location>  // source_location
#include <type_traits>      // remove_cvref_t, remove_reference_t
#include <utility>          // exchange, forward, in_place, move

namespace errgroup::inline v1::detail {

[[noreturn]] ERRGROUP_API void refuse_null();

/// Checks, when it is compiled, that `F` can be a task; throws `std::invalid_argument` for a null
/// pointer or an empty function.
template <class F>
void require_callable(std::remove_reference_t<F> const& f) {
  require_task<F>();
  if (is_null(f)) {
    refuse_null();
  }
}

/// A callable, and the place of its submission.
template <class F>
struct located {
  using callable = F;

  [[nodiscard]] submission as(std::size_t index) const noexcept { return {where, nullptr, index}; }
  [[nodiscard]] void const* label() const noexcept { return label_of(where); }

  std::source_location where;
  F f;
};

/// A callable with a name. The note that its error will share is made before the task can fail.
template <class F>
struct named {
  using callable = F;

  [[nodiscard]] submission as(std::size_t index) const noexcept {
    return {note->origin.where, note.get(), index};
  }
  [[nodiscard]] void const* label() const noexcept { return label_of(note.get()); }

  note_ptr note;
  F f;
};

/// A task in the form that oneTBB gets. It is small, and moving it does not throw. oneTBB calls it
/// as const. If the group was cancelled, oneTBB may destroy it without a call. `Waits`: the caller
/// waits for the task, so it runs at once, also before tasks that are due.
template <class K, bool Waits>
class group_core::spawned {
 public:
  template <class Label, class F>
  spawned(group_core& g, Label&& label, F&& f)
      : group_(&g), kept_(std::in_place, std::forward<Label>(label), std::forward<F>(f)) {}
  spawned(spawned&& other) noexcept
      : group_(std::exchange(other.group_, nullptr)),
        index_(other.index_),
        kept_(std::move(other.kept_)) {
    std::destroy_at(&other.kept_);
  }
  spawned(spawned const&) = delete;
  spawned& operator=(spawned const&) = delete;
  spawned& operator=(spawned&&) = delete;
  ~spawned() {
    if (group_ != nullptr) [[unlikely]] {
      skip();
    }
  }

  void operator()() const noexcept {
    if constexpr (!Waits) {
      if (group_->has_due()) [[unlikely]] {
        run_after_due();
        return;
      }
    }
    group_core& g = *std::exchange(group_, nullptr);
    if constexpr (Waits) {
      // By running this task, oneTBB has bound the context. `note_bound` records that before the
      // task submits other tasks, which would bind the context by hand.
      if (g.is_unbound()) {
        g.note_bound();
      }
    }
    g.execute(kept_, nullptr, index_);
  }

  /// Gives the task its index, before oneTBB gets the task.
  void number(std::size_t index) noexcept { index_ = index; }

  void skip() noexcept { std::exchange(group_, nullptr)->discard(kept_); }

  /// oneTBB refused the task, and `run` throws. Destroys the callable outside of any task.
  void drop() noexcept {
    if (std::exchange(group_, nullptr) != nullptr) {
      std::destroy_at(&kept_);
    }
  }

 private:
  // Puts this task back into the deque first: a due task may block, and another thread may run this
  // task meanwhile.
  [[gnu::noinline, gnu::cold]] void run_after_due() const noexcept {
    group_core& g = *group_;
    try {
      g.spawn_again(std::move(const_cast<spawned&>(*this)));  // moves mutable members only
    } catch (std::bad_alloc const&) {
      g.run_due();
      std::exchange(group_, nullptr)->execute(kept_, nullptr, index_);
      return;
    }
    g.run_due();
  }

  mutable group_core* group_;  // null: `kept_` was destroyed or moved out
  std::size_t index_ = npos;
  union {
    mutable held<K> kept_;
  };
};

// The callable's destructor belongs to the task, as the call of the callable does: tasks that the
// destructor submits count as submitted by the task, and so on. `pool`: the life of the queue whose
// arena this thread has entered for the task; null if it has entered none.
template <class Holder>
[[gnu::always_inline]] inline void group_core::execute(Holder& holder, queue_life const* pool,
                                                       std::size_t index) noexcept {
  thread_state& self = this_worker();
  auto& k = holder.get();
  task_scope running(self, *this, &engine_.context, pool != nullptr ? *pool : self.top->pool,
                     k.label(), index);
  if constexpr (std::derived_from<std::remove_cvref_t<decltype(k.f)>, numbered_call>) {
    k.f.number = index;
  }
  bool const is_unusual =
      (state.load(std::memory_order_acquire) & (stopped | unguarded | observed)) != 0;
  if (!is_unusual || begins(k, index)) [[likely]] {
    ERRGROUP_PROBE(task_begin, this, index, name_in(k.label()));
    call(
        k.f, [this] { return get_stop_token(); },
        [this, &k, index](error e) noexcept { fail(std::move(e), k.as(index)); });
    ERRGROUP_PROBE(task_end, this, index);
  }
  std::destroy_at(&holder);
}

// Returns true if the task has to be called as usual. Otherwise the group is stopped and the task
// is skipped, or the task was called, and no handler caught its exception
// (`on_exception::terminate`).
template <class K>
[[gnu::noinline, gnu::cold]] bool group_core::begins(K& k, std::size_t index) noexcept {
  start_as const how = begin_unusual();
  if (how == start_as::unguarded) {
    ERRGROUP_PROBE(task_begin, this, index, name_in(k.label()));
    call_unguarded(
        k.f, [this] { return get_stop_token(); },
        [this, &k, index](error e) noexcept { fail(std::move(e), k.as(index)); });
    ERRGROUP_PROBE(task_end, this, index);
  }
  return how == start_as::usual;
}

template <class Holder>
[[gnu::noinline, gnu::cold]] void group_core::discard(Holder& holder) noexcept {
  discard_inside([this, &holder]() noexcept {
    skip(1);  // inside, too: callbacks of the group's stop token may run here
    std::destroy_at(&holder);
  });
}

template <class F>
void group_core::discard_inside(F&& f) noexcept {
  thread_state& self = this_worker();
  // With the current context, a group that `f` makes belongs to this frame (origin::here).
  task_scope inside(self, *this, tbb::task::current_context(), self.top->pool, nullptr,
                    task_frame::no_task);
  std::forward<F>(f)();
}

template <class K, class Label, class F>
void group_core::start_at(clock::time_point due, Label&& label, F&& f) {
  if (due > clock::now()) {
    defer_until<K>(due, std::forward<Label>(label), std::forward<F>(f));
    return;
  }
  if (refuse()) {
    return;
  }
  thread_state& self = this_thread();
  prepare_queue(self);
  submit_due(self, make_node<K>(self, std::forward<Label>(label), std::forward<F>(f)), due,
             weight_mark<K>);
}

template <class K, class Label, class F>
void group_core::defer_until(clock::time_point due, Label&& label, F&& f) {
  if (refuse()) {
    return;
  }
  thread_state& self = this_thread();
  prepare_queue(self);
  defer(self, make_node<K>(self, std::forward<Label>(label), std::forward<F>(f)), due,
        weight_mark<K>);
}

template <class K, class Label, class F>
bool group_core::try_start(Label&& label, F&& f) {
  if (is_stopped()) {
    return false;
  }
  thread_state& self = this_thread();
  if (!counts()) {
    start<K>(std::forward<Label>(label), std::forward<F>(f));
    return true;
  }
  std::int64_t const weight = weight_in(label);
  if (!reserve(self, weight)) {
    return false;
  }
  node* n = nullptr;
  try {
    n = make_node<K>(self, std::forward<Label>(label), std::forward<F>(f));
  } catch (...) {
    unreserve(weight);
    throw;
  }
  submit_reserved(self, n, weight_mark<K>);
  return true;
}

template <class K, class Label, class F>
admission group_core::start_within(patience const& p, Label&& label, F&& f) {
  if (is_stopped()) {
    return admission::canceled;
  }
  if (p.stop != nullptr && p.stop->stop_requested()) {
    return admission::stopped;
  }
  thread_state& self = this_thread();
  if (!counts()) {
    start<K>(std::forward<Label>(label), std::forward<F>(f));
    return admission::accepted;
  }
  bool runs_here = false;
  std::int64_t const weight = weight_in(label);
  bool const has_places = p.stop == nullptr;  // if the group has a limiter
  admission const answer = reserve_within(self, p, weight, runs_here);
  if (answer != admission::accepted) {
    return answer;
  }
  node* n = nullptr;
  try {
    n = make_node<K>(self, std::forward<Label>(label), std::forward<F>(f));
  } catch (...) {
    if (has_places) {
      unreserve(weight);
    } else if (!runs_here) {
      give_room();
    }
    throw;
  }
  if (runs_here) {
    run_unreserved(self, n);
  } else {
    submit_reserved(self, n, weight_mark<K>, has_places);
  }
  return answer;
}

template <class K, class Label, class F>
error group_core::start_and_wait(Label&& label, F&& f) {
  thread_state& self = this_thread();
  if (is_inside(self)) {
    return errc::would_deadlock;
  }
  if (is_weighed<K> || counts()) {
    start<K>(std::forward<Label>(label), std::forward<F>(f));
    return wait();
  }
  if constexpr (is_weighed<K>) {
    return wait();
  } else {
    return refuse() ? wait() : start_here<K>(self, std::forward<Label>(label), std::forward<F>(f));
  }
}

template <class K, class Label, class F>
error group_core::start_here(thread_state& self, Label&& label, F&& f) {
  using task_here = spawned<K, true>;
  task_here here(*this, std::forward<Label>(label), std::forward<F>(f));
  here.number(is_observed() ? next_index() : submitted());
  return run_here_and_wait(
      self,
      [](group_core& g, void* task) {
        return g.engine_.tasks.defer(std::move(*static_cast<task_here*>(task)));
      },
      &here);
}

template <class K, class Label, class F>
void group_core::start(Label&& label, F&& f) {
  if (refuse()) {
    return;
  }
  thread_state& self = this_thread();
  if constexpr (is_weighed<K>) {
    prepare_queue(self);
    submit_weighed(self, make_node<K>(self, std::forward<Label>(label), std::forward<F>(f)));
  } else {
    start_light<K>(self, std::forward<Label>(label), std::forward<F>(f));
  }
}

template <class K, class Label, class F>
[[gnu::always_inline]] inline void group_core::start_light(thread_state& self, Label&& label,
                                                           F&& f) {
  path const way = direct_path(self);
  if (way == path::queue) {
    submit(self, make_node<K>(self, std::forward<Label>(label), std::forward<F>(f)));
    return;
  }
  spawn<K>(way, std::forward<Label>(label), std::forward<F>(f));
  if (way != path::spawn_inside) {
    note_spawn(self);
    if (is_unbound()) {
      note_bound();
    }
  }
}

template <class K, class Label, class F>
void group_core::spawn(path way, Label&& label, F&& f) {
  spawned<K> task(*this, std::forward<Label>(label), std::forward<F>(f));
  task.number(index_on(way));
  spawns_.note_any();
  try {
    spawn_again(std::move(task));
  } catch (...) {
    task.drop();
    take_back();
    throw;
  }
}

template <class K>
[[gnu::always_inline]] inline void group_core::spawn_again(K&& task) {
  auto run = [&] { engine_.tasks.run(std::forward<K>(task)); };
  try {
    in_isolation(run);
  } catch (...) {
    // oneTBB throws only for lack of memory. Before 2021.14 it has counted the task by then and
    // cannot undo that: the wait would never end.
    if constexpr (TBB_INTERFACE_VERSION < 12140) {
      die("out of memory inside oneTBB, which cannot undo a task before version 2021.14");
    }
    throw;
  }
}

// The constructor of the callable has run or queued tasks, and so has used up the reserved node.
template <class K>
void group_core::reserve_again(thread_state& self, K& k) {
  try {
    reserve_node(self);
  } catch (...) {
    std::destroy_at(&k);
    throw;
  }
}

template <class K, class Label, class F>
node* group_core::make_node(thread_state& self, Label&& label, F&& f) {
  static constexpr std::size_t offset = is_weighed<K> ? node::rank_size : 0;
  using stored = stored<unweighed<K>, offset>;
  node* n = take_node(self);
  try {
    reserve_node(self);
    std::construct_at(reinterpret_cast<stored*>(n->storage + offset), std::in_place,
                      label_in(std::forward<Label>(label)), std::forward<F>(f));
    if (self.nodes.is_empty()) [[unlikely]] {
      reserve_again(self, *std::launder(reinterpret_cast<stored*>(n->storage + offset)));
    }
  } catch (...) {
    put_node(self, n);
    throw;
  }
  if constexpr (is_weighed<K>) {
    n->keep_rank({label.rank.weight, {static_cast<int>(label.rank.level)}});
  }
  n->consume = [](node& me, queue_owner* runner) noexcept {
    stored& k = *std::launder(reinterpret_cast<stored*>(me.storage + offset));
    if (auto* const g = static_cast<group_core*>(runner)) {
      g->execute(k, g->pool_, me.index & ~weight_mark<K>);
    } else {
      std::destroy_at(&k);
    }
  };
  return n;
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_SUBMIT_HPP
