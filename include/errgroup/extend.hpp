// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_EXTEND_HPP
#define ERRGROUP_EXTEND_HPP

#include <errgroup/detail/export.hpp>
#include <errgroup/detail/group_core.hpp>
#include <errgroup/error.hpp>
#include <errgroup/group.hpp>
#include <errgroup/options.hpp>

#include <atomic>           // atomic
#include <cstddef>          // size_t
#include <source_location>  // source_location
#include <string_view>      // string_view
#include <type_traits>      // remove_cvref_t
#include <utility>          // forward, move

/// For code that builds on groups: functions like `errgroup::all`, handles like `errgroup::handle`.
/// Programs that only run tasks do not need this header.
namespace errgroup::inline v1::extend {

/// The way from a group to its engine, for the functions of this header.
struct access {
  /// For errgroup: the engine of `g`, which may change.
  [[nodiscard]] static detail::group_core& core_of(group& g) noexcept { return g.core_; }
  /// For errgroup: the same for a const group.
  [[nodiscard]] static detail::group_core const& core_of(group const& g) noexcept {
    return g.core_;
  }
};

/// True in a task of `g` (in its call, and in the destructor of its callable), in functions that
/// the task calls on the same thread, and in the tasks of groups that were made in such a task.
///
/// If the task calls a oneTBB algorithm, and another thread runs its body: true with
/// `options::limit` and without `options::arena`, false otherwise, because oneTBB does not tell
/// which task called the algorithm. In the latter case it is also false in the tasks of a group
/// that was made in such a body. docs/guarantees.md lists all cases.
[[ERRGROUP_NODISCARD_ANSWER]] inline bool is_inside(group const& g) {
  return access::core_of(g).is_inside();
}

/// Runs `f` now, in this thread, as a task of `g`, on the slot that the caller holds. The caller is
/// inside the group. `f` returns an `error`, and does not throw. The handles of `spawn` call this
/// when they wait for a task that has not started: so a task may wait for another task at any
/// limit.
template <class F>
void run_inside(group& g, F&& f, std::source_location where = std::source_location::current()) {
  access::core_of(g).run_inside_now(
      [](void* p) noexcept { return (*static_cast<std::remove_cvref_t<F>*>(p))(); }, &f, where);
}

/// Runs `f` in this thread, inside the group, as part of a task that was cancelled before it ran.
/// A handle uses this to destroy the callable of its task. `f` must not throw. The task must stay
/// unfinished until this call returns. Threads: any.
template <class F>
void discard_inside(group& g, F&& f) noexcept {
  access::core_of(g).discard_inside(std::forward<F>(f));
}

/// Waits until `done` is true; the thread that sets it calls `notify` afterwards. Meanwhile this
/// thread takes part where it would in `group::wait_until`. From inside the group it runs no tasks:
/// one of them might wait for the calling task, which cannot continue underneath it.
///
/// All that was done before `done` was set is visible. Throws `std::bad_alloc`.
inline void help_until(group& g, std::atomic<bool> const& done) {
  access::core_of(g).help_until(done);
}

/// Makes the threads in `help_until` look again. Threads: a task of the group, or a thread that
/// keeps the group alive.
inline void notify(group& g) noexcept { access::core_of(g).notify(); }

/// Returns `e` with an `origin`, as if a task of `g` had failed with it: the names of the group and
/// of the groups above, an index and a place. An error that has an origin keeps it. For code that
/// passes results on without the group, as `join` does. `where` of line 0: not known.
[[ERRGROUP_NODISCARD_COPY]] inline error describe(group const& g, error e, std::size_t index,
                                                  std::source_location where = {}) noexcept {
  return access::core_of(g).described(std::move(e), index, where);
}
/// The same with the name of the task, which is the last part of the origin's path. If there is no
/// memory for the name, the origin is without it.
[[ERRGROUP_NODISCARD_COPY]] ERRGROUP_API error describe(group const& g, error e, std::size_t index,
                                                        std::source_location where,
                                                        std::string_view name) noexcept;

/// For a task of a group with a bounded queue (`options::queue`), in such a task: the task keeps
/// its place in the queue when it ends. It counts as unfinished until `give_room` is called for it,
/// and `wait` does not return before. A stream does this for results that wait for their turn.
inline void keep_room(group& g) noexcept { access::core_of(g).keep_room(); }
/// Gives back a place that an ended task has kept. Threads: a task of the group.
inline void give_room(group& g) noexcept { access::core_of(g).give_room(); }

/// The number of tasks that were submitted to `g`, in a group with a limit or a bounded queue: the
/// index of the next task.
[[ERRGROUP_NODISCARD_ANSWER]] inline std::size_t submitted(group const& g) noexcept {
  return access::core_of(g).accepted();
}

/// A callable that is derived from this type gets the index of its task, as `number`, before it is
/// called.
using numbered_call = detail::numbered_call;

/// Tells `g` that an item has failed, on which one of its tasks works: as if that task had failed
/// with `e`, but the task goes on. The error's origin is the item's number, a place, and a name
/// behind the names of the group and the groups above. Threads: a task of the group.
ERRGROUP_API void fail_item(group& g, error e, std::size_t number, std::source_location where,
                            std::string_view name) noexcept;

/// What `g` does when a task throws: `options::exceptions`.
[[ERRGROUP_NODISCARD_ANSWER]] inline on_exception exceptions(group const& g) noexcept {
  return access::core_of(g).exceptions();
}

}  // namespace errgroup::inline v1::extend

#endif  // ERRGROUP_EXTEND_HPP
