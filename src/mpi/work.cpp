// SPDX-License-Identifier: Apache-2.0
#include "require_mpi.hpp"
#include "session.hpp"
#include <errgroup/detail/forced_unwind.hpp>
#include <errgroup/mpi/detail/work.hpp>
#include <errgroup/mpi/split.hpp>

#include <algorithm>  // min
#include <chrono>     // microseconds
#include <exception>  // current_exception
#include <stdexcept>  // invalid_argument
#include <thread>     // sleep_for, yield
#include <utility>    // move

namespace errgroup::inline v1::mpi::detail {
namespace {

constexpr std::size_t chunks_of_a_rank = 16;

// The options of the group over ranks. Its tasks take chunks; the other options are for elements.
options options_of_ranks(options const& opts) {
  options ranks;
  ranks.policy = opts.policy;
  ranks.errors = opts.errors;
  ranks.max_errors = opts.max_errors;
  ranks.stop = opts.stop;
  ranks.timeout = opts.timeout;
  ranks.name = opts.name;
  ranks.detached = opts.detached;
  ranks.patience = opts.patience;
  return ranks;
}

}  // namespace

errgroup::options options_of_chunk(options const& opts) {
  errgroup::options chunk;
  chunk.limit = opts.limit;
  chunk.queue = opts.queue;
  chunk.policy = opts.policy;
  chunk.errors = opts.errors;
  chunk.max_errors = opts.max_errors;
  chunk.isolated = opts.isolated;
  chunk.arena = opts.arena;
  chunk.exceptions = opts.exceptions;
  chunk.progress = opts.progress;
  chunk.max_failures = opts.max_failures;
  chunk.blocking = opts.blocking;
  chunk.limiter = opts.limiter;
  return chunk;
}

part part_of_rank(MPI_Comm comm, std::size_t count) {
  require_mpi("errgroup::mpi::split");
  if (comm == MPI_COMM_NULL) {
    throw std::invalid_argument(
        "errgroup::mpi::split: the communicator is MPI_COMM_NULL: only ranks of a communicator can "
        "divide a range");
  }
  int rank = 0;
  int ranks = 1;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &ranks);
  return part_of(count, static_cast<std::size_t>(ranks), static_cast<std::size_t>(rank));
}

work::work(MPI_Comm comm, options const& opts, std::size_t count, std::size_t units,
           std::source_location where)
    : count_(count),
      units_(units),
      chunks_(0),
      keeps_going_(opts.policy == on_error::keep_going),
      where_(where),
      group_(comm, options_of_ranks(opts), where) {
  chunks_ = std::min(units_, chunks_of_a_rank * static_cast<std::size_t>(group_.size()));
}

error work::run(std::function<error(part)> const& each, std::function<error()> const& last) {
  ask();
  ask();
  group_.run([&] { return take_chunks(each, last); }, where_);
  error e = group_.wait();
  if (e) {
    errgroup::detail::error_access::set_skipped(e, skipped_);
  }
  return e;
}

error work::take_chunks(std::function<error(part)> const& each,
                        std::function<error()> const& last) {
  try {
    // To the last answer: answers may come in another order, so a chunk may come after the answer
    // that no chunk is left.
    while (awaited_ != 0) {
      std::size_t number = 0;
      if (error e = next(number)) {
        return e;
      }
      if (number >= chunks_) {
        is_over_ = true;
        continue;
      }
      if (!is_over_) {
        ask();
      }
      error e = each(part_of(units_, chunks_, number));
      // Rank 0 gives out a chunk between two of its own, too: the next look of the watcher may be
      // far.
      group_.session_->advance();
      if (e) {
        skipped_ += e.skipped();
        if (keeps_going_ && !group_.is_canceling()) {
          // Each failure is the error of a task of its own.
          group_.run([this, &each, &last] { return take_chunks(each, last); }, where_);
        }
        return e;
      }
    }
    return last();
  } catch (errgroup::detail::forced_unwind const&) {
    throw;
  } catch (...) {
    // Other ranks may wait for a part of the result that does not come now, whatever the policy is.
    group_.cancel(std::current_exception());
    return errgroup::errc::canceled;
  }
}

void work::ask() {
  group_.session_->take_chunk(count_);
  ++awaited_;
}

error work::next(std::size_t& number) {
  error e = look_until([&] {
    auto const found = group_.session_->next_chunk();
    number = found.value_or(0);
    return found.has_value();
  });
  --awaited_;
  if (!e && number == session::differs) {
    e = make_error("errgroup::mpi: the number of elements is " + std::to_string(count_) +
                       " on this rank, and another number on other ranks",
                   std::make_error_code(std::errc::invalid_argument));
    group_.cancel(e);
  }
  return e;
}

void work::cancel(error cause) noexcept { group_.cancel(std::move(cause)); }

void work::send(std::string_view bytes, int to) { group_.session_->send_parcel(bytes, to); }

error work::receive(std::string& bytes) {
  return look_until([&] {
    auto found = group_.session_->next_parcel();
    if (!found) {
      return false;
    }
    bytes = *std::move(found);
    return true;
  });
}

// Looks for messages until `is_there()`, or until the group is cancelled.
template <class Look>
error work::look_until(Look const& is_there) {
  for (int times = 0; !is_there(); ++times) {
    if (error e = errgroup::check()) {
      return e;
    }
    group_.session_->advance();
    if (times > 300) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    } else if (times > 100) {
      std::this_thread::yield();
    }
  }
  return {};
}

}  // namespace errgroup::inline v1::mpi::detail
