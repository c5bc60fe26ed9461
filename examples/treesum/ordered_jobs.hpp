#ifndef ERRGROUP_EXAMPLES_TREESUM_ORDERED_JOBS_HPP
#define ERRGROUP_EXAMPLES_TREESUM_ORDERED_JOBS_HPP

#include "file_hasher.hpp"
#include "interrupt.hpp"
#include "line_writer.hpp"
#include "path_error.hpp"
#include "progress.hpp"
#include <errgroup/errgroup.hpp>

#include <oneapi/tbb/enumerable_thread_specific.h>  // enumerable_thread_specific

#include <exception>     // exception
#include <stop_token>    // stop_token
#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // error_code
#include <utility>       // move

namespace treesum {

/// Many jobs at once, their results in order: the errgroup of this program.
///
/// One thread, outside of any task, adds jobs and then calls `finish`.
class ordered_jobs {
 public:
  struct settings {
    int jobs;         // files worked on, and therefore open, at once
    bool keep_going;  // tell every problem, rather than stop at the first
  };

  ordered_jobs(settings const& how, interrupt const& stop, progress& done);

  /// Runs `job(hasher, stop)` as a task with this name, which a trace shows. It returns a line for
  /// standard output, newline included, or an empty string. An exception is a problem, told by its
  /// `what()`. Lines and problems appear in the order of the jobs. If `stop` was requested, the
  /// returned text is dropped.
  template <class Job>
  void add(std::string_view name, Job job) {
    results_.run(name, [this, job = std::move(job)](std::stop_token const& stop) -> result {
      try {
        return {.text = job(hashers_.local(), stop), .is_problem = false};
      } catch (std::exception const& problem) {
        if (!keep_going_) {
          throw;  // the stream keeps the first problem, and stops the rest
        }
        return {.text = problem.what(), .is_problem = true};
      }
    });
  }

  /// A problem found without a job. It takes its turn behind the earlier jobs.
  void add_problem(path_error problem);

  /// True if further jobs would be dropped.
  [[nodiscard]] bool stopped() const noexcept { return results_.is_canceling(); }

  /// Waits for all jobs, and writes the remaining output. Returns the exit status of the process:
  /// 0; 1 if there was a problem; 128 and the signal's number if interrupted.
  [[nodiscard]] int finish();

 private:
  struct result {
    std::string text;
    bool is_problem;
  };

  [[nodiscard]] std::error_code write(result const& next);
  void flush();

  interrupt const& stop_;
  progress& progress_;
  bool const keep_going_;
  bool const at_once_;  // standard output is a terminal: each line appears as soon as it is done
  bool has_problem_ = false;
  line_writer lines_;
  tbb::enumerable_thread_specific<file_hasher> hashers_;
  errgroup::stream<result> results_;  // the last member: its tasks use the others
};

}  // namespace treesum

#endif  // ERRGROUP_EXAMPLES_TREESUM_ORDERED_JOBS_HPP
