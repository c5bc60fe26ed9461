// This library without an observer, with an observer that does nothing, and with a trace.

#include "workload.hpp"
#include <errgroup/errgroup.hpp>  // group, observe, observer
#include <errgroup/trace.hpp>     // trace

namespace {

struct plain {
  static constexpr std::string_view name = "errgroup";
};

struct observed {
  static constexpr std::string_view name = "errgroup_observed";
  observed() { errgroup::observe(&nothing); }
  observed(observed const&) = delete;
  observed& operator=(observed const&) = delete;
  ~observed() { errgroup::observe(nullptr); }

  static inline errgroup::observer nothing;
};

struct traced {
  static constexpr std::string_view name = "errgroup_traced";

  errgroup::trace session{"/dev/null", {.events = std::size_t{1} << 16U}};
};

bool const enrolled = perf::enroll([] {
  trace::add_all<plain>();
  trace::add_all<observed>();
  trace::add_all<traced>();
});

}  // namespace
