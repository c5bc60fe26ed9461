// This library: groups with stop tokens, and groups with a limit of two.

#include "workload.hpp"
#include <errgroup/errgroup.hpp>  // errc, group, options

#include <stop_token>  // stop_token

namespace {

class cancellable {
 public:
  void cancel() { group_.cancel(); }
  bool is_canceled() { return token_.stop_requested(); }
  bool renew() {
    bool const was = group_.wait().code() == errgroup::errc::canceled;
    group_.reset();
    token_ = group_.get_stop_token();
    return was;
  }

 private:
  errgroup::group group_;
  std::stop_token token_ = group_.get_stop_token();
};

class limited {
 public:
  bool run_one() {
    group_.run(perf::count_task{});
    return !group_.wait();
  }

 private:
  errgroup::group group_{{.limit = many::limit}};
};

struct ours {
  static constexpr std::string_view name = "errgroup";
  using cancellable = ::cancellable;
  using limited = ::limited;
};

bool const enrolled = perf::enroll(many::add_all<ours>);

}  // namespace
