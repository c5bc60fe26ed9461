// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_MPI_GROUP_HPP
#define ERRGROUP_MPI_GROUP_HPP

#include <errgroup/detail/compiler.hpp>
#include <errgroup/error.hpp>
#include <errgroup/group.hpp>
#include <errgroup/mpi/options.hpp>

#include <mpi.h>

#include <atomic>           // atomic
#include <chrono>           // nanoseconds
#include <memory>           // shared_ptr
#include <optional>         // optional
#include <source_location>  // source_location
#include <stop_token>       // stop_token
#include <utility>          // forward

namespace errgroup::inline v1::mpi {
namespace detail {

class session;
class work;

/// Tells a session of the cancellation of its local group.
struct tell_cancellation {
  session* to;
  void operator()() const noexcept;
};

}  // namespace detail

/// A group of tasks on all ranks of a communicator. Each rank runs its own tasks; the first error
/// of any rank cancels all ranks; `wait` joins the tasks of all ranks and returns the same error on
/// every rank.
///
///     errgroup::mpi::group g{MPI_COMM_WORLD, {.limit = 8, .name = "solve"}};
///     for (auto const& cell : my_cells)
///       g.run([&] { return assemble(cell); });
///     if (auto err = g.wait()) {  // rank 3/solve: No space left on device (task 17, run at …)
///
/// Every rank makes the group, and calls `wait`, in the same order as its other groups on the
/// communicator. Between the two, ranks need not do the same: a rank may run no task at all. If a
/// rank does not come because it has failed, it says so: its destructor sends a message, and the
/// `wait` of the other ranks returns. Nothing ever calls MPI_Abort.
///
/// Which error is the first: the clocks of machines do not agree. So `wait` returns the error of
/// the lowest rank among the ranks that have failed by themselves, before they had heard of another
/// rank's failure. An error that a rank has only because it was cancelled from another rank is not
/// told. With `keep::all` the errors of the other ranks that have failed by themselves are
/// `error::others`, in the order of the ranks.
///
/// The error of another rank has its code, its texts, and its origin with a path that begins with
/// the rank: "rank 3/solve". `get_if<mpi::remote_error>()` finds the rest; types with
/// `mpi::error_traits` arrive as themselves. See mpi/error.hpp.
///
/// Blocking functions of MPI do not notice that the group is cancelled. In tasks, use the functions
/// of mpi/operation.hpp instead.
///
/// Threads: as `errgroup::group`. The constructor and `wait` are collective operations: the calls
/// on one communicator have to be in the same order on all ranks. The group sends its messages over
/// a duplicate of the communicator, which the first group on the communicator makes, and later
/// groups use: no message of the user meets them. The duplicate ends with the communicator, or in
/// MPI_Finalize.
///
/// A rank hears of a failure elsewhere when a thread of the library looks: in `wait`, and every 5
/// ms in one thread of the process (`set_poll`), which exists from the first group with more than
/// one rank on, and sleeps while there is no such group.
///
/// Cost: the first group on a communicator costs an MPI_Comm_idup; later ones send nothing. `wait`
/// costs what an MPI_Allreduce of 4 bytes costs if no rank has failed; see perf/mpi.
class group {
 public:
  /// Collective over `comm`, an intra-communicator. Only the first group on `comm` waits for the
  /// other ranks.
  ///
  /// Throws `std::logic_error` if MPI is not initialised, or finalised; `std::runtime_error` if it
  ///     does not have MPI_THREAD_MULTIPLE; `std::invalid_argument` for a null communicator or an
  ///     inter-communicator; `std::system_error` with an error of MPI or with `errc::lost_rank`;
  ///     what the constructor of `errgroup::group` throws. In the last case, on some of the ranks,
  ///     the groups of the other ranks are cancelled with the error.
  explicit group(MPI_Comm comm, options const& opts = {},
                 std::source_location where = std::source_location::current());
  group(group const&) = delete;
  group& operator=(group const&) = delete;
  /// Cancels, tells the other ranks, and joins the tasks of this rank, if the group was not waited
  /// for since its last `run`. Does not wait for other ranks; never throws.
  ~group();

  /// As `errgroup::group::run`, on this rank.
  template <class F>
  void run(F&& f, std::source_location where = std::source_location::current()) {
    use();
    local_->run(std::forward<F>(f), where);
  }
  /// The same for a task with options, or with a name.
  template <class F, errgroup::detail::task_label Label = task_options>
  void run(Label const& label, F&& f,
           std::source_location where = std::source_location::current()) {
    use();
    local_->run(label, std::forward<F>(f), where);
  }
  /// As `errgroup::group::try_run`, on this rank.
  template <class F>
  [[ERRGROUP_NODISCARD_ACCEPTED]] bool try_run(
      F&& f, std::source_location where = std::source_location::current()) {
    use();
    return local_->try_run(std::forward<F>(f), where);
  }
  /// The same for a task with options, or with a name.
  template <class F, errgroup::detail::task_label Label = task_options>
  [[ERRGROUP_NODISCARD_ACCEPTED]] bool try_run(
      Label const& label, F&& f, std::source_location where = std::source_location::current()) {
    use();
    return local_->try_run(label, std::forward<F>(f), where);
  }

  /// Joins the tasks of this rank, waits for all other ranks to do the same, and returns the same
  /// error on all of them. Collective.
  ///
  /// A rank whose own tasks have all succeeded gets the error, too. `error::skipped` is the count
  /// of this rank. A group that has failed stays failed: a later `wait` joins this rank's tasks,
  /// and returns the same error without communication. A group that has succeeded can be used
  /// again.
  ///
  /// Several threads of a rank may call `wait` at once: that is one call for the other ranks.
  ///
  /// In a task of the local group it is answered `errgroup::errc::would_deadlock`, without
  /// communication. If the ranks have come for different calls, `wait` returns
  /// `errc::out_of_order` on each of them. After `options::patience` it returns `errc::lost_rank`:
  /// then the result is not the same on all ranks.
  ///
  /// Throws `std::bad_alloc`.
  [[ERRGROUP_NODISCARD_ERROR]] error wait();

  /// Cancels the group on all ranks, with `errgroup::errc::canceled` or a cause. Does not wait.
  void cancel() noexcept { cancel(errgroup::errc::canceled); }
  /// The same with a cause, which `wait` returns.
  void cancel(error cause) noexcept;
  /// True if this rank's group is cancelled: the other ranks hear of a failure some time later.
  [[ERRGROUP_NODISCARD_ANSWER]] bool is_canceling() const noexcept {
    return local_->is_canceling();
  }
  /// As `errgroup::group::get_stop_token`, of this rank.
  [[ERRGROUP_NODISCARD_ANSWER]] std::stop_token get_stop_token() const {
    return local_->get_stop_token();
  }

  /// The group of this rank, for `spawn`, `on_failure` and the like. A failure in it is a failure
  /// of all ranks. `local().wait()` joins this rank's tasks only. Do not `reset` it.
  [[ERRGROUP_NODISCARD_ANSWER]] errgroup::group& local() noexcept {
    use();
    return *local_;
  }

  /// The number of this rank in the communicator.
  [[ERRGROUP_NODISCARD_ANSWER]] int rank() const noexcept;
  /// The number of ranks in the communicator.
  [[ERRGROUP_NODISCARD_ANSWER]] int size() const noexcept;

 private:
  friend class detail::work;

  void use() noexcept {
    if (is_waited_for_.load(std::memory_order_relaxed)) [[unlikely]] {
      is_waited_for_.store(false, std::memory_order_relaxed);
    }
  }

  std::atomic<bool> is_waited_for_{false};
  std::shared_ptr<detail::session> session_;
  std::optional<errgroup::group> local_;
  std::optional<std::stop_callback<detail::tell_cancellation>> on_cancel_;
};

/// Sets the pause between two looks of the thread that watches for failures on other ranks, from
/// 1 us; 5 ms by default. A rank hears of a failure elsewhere about half a pause later. A look
/// takes some 30 us: at a pause of 1 ms, 2.4 % of a CPU. Throws `std::invalid_argument`, in words,
/// for a pause that is not positive. Threads: any.
void set_poll(std::chrono::nanoseconds pause);

}  // namespace errgroup::inline v1::mpi

#endif  // ERRGROUP_MPI_GROUP_HPP
