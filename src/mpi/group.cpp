// SPDX-License-Identifier: Apache-2.0
#include "registry.hpp"
#include "require_mpi.hpp"
#include "session.hpp"
#include <errgroup/mpi/error.hpp>
#include <errgroup/mpi/group.hpp>

#include <exception>  // current_exception
#include <stdexcept>  // invalid_argument

namespace errgroup::inline v1::mpi {
namespace {

errgroup::options local_options(options const& opts) {
  // A new member of `errgroup::options` does not compile here until it is one of `options`, too.
  errgroup::options local;
  auto& [limit, queue, policy, errors, max_errors, stop, timeout, isolated, name, arena, exceptions,
         detached, progress, max_failures, blocking, limiter] = local;
  limit = opts.limit;
  queue = opts.queue;
  policy = opts.policy;
  errors = opts.errors;
  max_errors = opts.max_errors;
  stop = opts.stop;
  timeout = opts.timeout;
  isolated = opts.isolated;
  name = opts.name;
  arena = opts.arena;
  exceptions = opts.exceptions;
  detached = opts.detached;
  progress = opts.progress;
  max_failures = opts.max_failures;
  blocking = opts.blocking;
  limiter = opts.limiter;
  return local;
}

std::shared_ptr<detail::session> open_session(MPI_Comm comm, options const& opts) {
  detail::require_mpi("errgroup::mpi::group");
  if (comm == MPI_COMM_NULL) {
    throw std::invalid_argument(
        "errgroup::mpi::group: the communicator is MPI_COMM_NULL: only ranks of a communicator can "
        "make a group on it");
  }
  int is_inter = 0;
  MPI_Comm_test_inter(comm, &is_inter);
  if (is_inter != 0) {
    throw std::invalid_argument(
        "errgroup::mpi::group: the communicator is an inter-communicator: make an "
        "intra-communicator of it with MPI_Intercomm_merge");
  }
  std::optional<clock::time_point> until;
  if (opts.patience) {
    until = errgroup::detail::after(clock::now(), *opts.patience);
  }
  return std::make_shared<detail::session>(detail::channel::of(comm, until), opts);
}

}  // namespace

void detail::tell_cancellation::operator()() const noexcept { to->on_cancel(); }

group::group(MPI_Comm comm, options const& opts, std::source_location where)
    : session_(open_session(comm, opts)) {
  try {
    local_.emplace(local_options(opts), where);
  } catch (...) {
    session_->fail_to_begin(std::current_exception());
    throw;
  }
  // First the session: if a stop token has cancelled the group already, the callback runs now.
  session_->begin(*local_);
  on_cancel_.emplace(local_->get_stop_token(), detail::tell_cancellation{session_.get()});
}

group::~group() {
  session_->leave(is_waited_for_.load(std::memory_order_relaxed));
  // Later callbacks find that the session has ended.
}

error group::wait() {
  error e = session_->wait();
  if (e != errgroup::errc::would_deadlock) {
    is_waited_for_.store(true, std::memory_order_relaxed);
  }
  return e;
}

void group::cancel(error cause) noexcept {
  use();
  local_->cancel(std::move(cause));
}

int group::rank() const noexcept { return session_->over().rank(); }

int group::size() const noexcept { return session_->over().ranks(); }

void set_poll(std::chrono::nanoseconds pause) {
  if (pause <= std::chrono::nanoseconds(0)) {
    throw std::invalid_argument("errgroup::mpi::set_poll: the pause is " +
                                std::to_string(pause.count()) +
                                " ns: a pause has to be longer than 0");
  }
  detail::registry::get().set_poll(pause);
}

}  // namespace errgroup::inline v1::mpi
