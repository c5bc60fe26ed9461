#ifndef ERRGROUP_EXAMPLES_TREESUM_PIPELINE_HPP
#define ERRGROUP_EXAMPLES_TREESUM_PIPELINE_HPP

#include "file_hasher.hpp"
#include "interrupt.hpp"
#include "line_writer.hpp"
#include "ordered_output.hpp"
#include "path_error.hpp"
#include "progress.hpp"
#include <errgroup/errgroup.hpp>

#include <oneapi/tbb/enumerable_thread_specific.h>  // enumerable_thread_specific

#include <cstddef>     // size_t
#include <cstdint>     // uint64_t
#include <optional>    // optional
#include <stop_token>  // stop_token
#include <string>      // string
#include <utility>     // move

namespace treesum {

/// Many jobs at once, their results in order: the errgroup of this program.
///
/// One thread, outside of any task, adds jobs and then calls `finish`.
class pipeline {
 public:
  struct settings {
    int jobs;         // files worked on, and therefore open, at once
    bool keep_going;  // tell every problem, rather than stop at the first
  };

  pipeline(settings const& how, interrupt const& stop, progress& done);

  /// Runs `job(hasher, stop)` as a task. It returns a line for standard output, newline included,
  /// or an empty string, or nothing at all if it gave up because `stop` was requested; what it
  /// throws is a problem, told by its `what()`. Lines and problems appear in the order of the jobs.
  template <class Job>
  void add(Job job) {
    std::uint64_t const place = make_room();
    group_.run([this, place, job = std::move(job)](std::stop_token stop) {
      try {
        std::optional<std::string> line = job(hashers_.local(), stop);
        if (line && !output_.put(place, *std::move(line))) {
          group_.cancel();  // nobody can read on: not a problem of this file, see finish()
        }
      } catch (std::exception const& problem) {
        if (keep_going_) {
          output_.put_problem(place, problem.what());
        }
        throw;  // to the group: it keeps the first one, and stops the rest unless it is to go on
      }
    });
  }

  /// A problem found without a job. It takes its turn, so that what came before is still done.
  void add_problem(path_error problem);

  /// True once it is no use to add more.
  [[nodiscard]] bool stopped() const noexcept { return group_.is_canceling(); }

  /// Waits for all jobs, and tells what is still to be told. The exit status of the process: 0;
  /// 1 if there was a problem; 128 and the signal's number if interrupted.
  [[nodiscard]] int finish();

 private:
  [[nodiscard]] std::uint64_t make_room();

  interrupt const& stop_;
  progress& progress_;
  bool const keep_going_;
  line_writer lines_;
  ordered_output output_;
  tbb::enumerable_thread_specific<file_hasher> hashers_;
  std::uint64_t added_ = 0;
  errgroup::group group_;  // the last member: its tasks use the others
};

}  // namespace treesum

#endif  // ERRGROUP_EXAMPLES_TREESUM_PIPELINE_HPP
