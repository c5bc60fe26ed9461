// This library: a task returns its error, or throws it, and `wait` says so.

#include "workload.hpp"
#include <errgroup/errgroup.hpp>  // errc, error, group, keep, on_error

#include <string>  // string

namespace {

enum class names { none, given };

/// What a group of 8 reports whose task number i is `make_task(i)`.
template <names Names, errgroup::keep Errors, class MakeTask>
errgroup::error run_group(MakeTask make_task, errgroup::on_error policy = {}) {
  errgroup::group group{{.policy = policy, .errors = Errors}};
  for (std::size_t i = 0; i < error_path::group_of; ++i) {
    if constexpr (Names == names::given) {
      group.run("decode frame", make_task(i));
    } else {
      group.run(make_task(i));
    }
  }
  return group.wait();
}

template <names Names, errgroup::keep Errors, std::size_t At>
bool by_code() {
  auto const error = run_group<Names, Errors>(
      [](std::size_t i) { return [i] { return error_path::fail_at(i, At); }; });
  return error_path::is_right(error.code(), At);
}

template <names Names, errgroup::keep Errors>
bool by_throw() {
  auto const error = run_group<Names, Errors>(
      [](std::size_t i) { return [i] { error_path::throw_at(i, error_path::failing); }; });
  return error.code() == errgroup::errc::exception;
}

// To keep all errors, all tasks have to run.
template <names Names, errgroup::keep Errors>
bool by_throws() {
  constexpr bool all = Errors == errgroup::keep::all;
  auto const error =
      run_group<Names, Errors>([](std::size_t i) { return [i] { error_path::throw_at(i, i); }; },
                               all ? errgroup::on_error::keep_going : errgroup::on_error::cancel);
  return error.code() == errgroup::errc::exception &&
         error.others().size() == (all ? error_path::group_of - 1 : 0);
}

bool latency(error_path::trial& trial) {
  errgroup::group group;
  for (std::size_t i = 0; !group.is_canceling() && trial.wants(i); ++i) {
    group.run([&trial, i] { return trial(i); });
  }
  auto const error = group.wait();
  trial.waited();
  return error.code() == error_path::failure();
}

bool refused(std::size_t tasks) {
  errgroup::group group;
  group.cancel();
  for (std::size_t i = 0; i < tasks; ++i) group.run(perf::count_task{});
  auto const error = group.wait();
  return error.code() == errgroup::errc::canceled && error.skipped() == tasks;
}

/// Adds what a group of 8 costs with these options; `variant` ends its names.
template <names Names, errgroup::keep Errors>
void add_groups(std::string const& variant) {
  using error_path::failing;
  using error_path::group_of;
  error_path::add_group("none" + variant, "errgroup", by_code<Names, Errors, group_of>);
  error_path::add_group("code" + variant, "errgroup", by_code<Names, Errors, failing>);
  error_path::add_group("throw" + variant, "errgroup", by_throw<Names, Errors>);
  error_path::add_group("throws" + variant, "errgroup", by_throws<Names, Errors>);
}

bool const enrolled = perf::enroll([] {
  using errgroup::keep;
#if defined(ERRGROUP_PERF_STACKS)
  add_groups<names::none, keep::first>("_stacks");
  add_groups<names::none, keep::all>("_all_stacks");
  return;
#endif
  add_groups<names::none, keep::first>("");
  add_groups<names::given, keep::first>("_named");
  add_groups<names::none, keep::all>("_all");
  add_groups<names::given, keep::all>("_all_named");
  error_path::add_latency("errgroup", latency);
  error_path::add_refused("errgroup", refused);
});

}  // namespace
