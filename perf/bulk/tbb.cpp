// Raw oneTBB, as its documentation shows it.

#include "workload.hpp"

#include <oneapi/tbb/blocked_range.h>    // blocked_range
#include <oneapi/tbb/parallel_for.h>     // parallel_for
#include <oneapi/tbb/parallel_reduce.h>  // parallel_reduce

#include <functional>  // plus

namespace {

using part = tbb::blocked_range<std::size_t>;

struct raw {
  static constexpr std::string_view name = "tbb";

  static bool for_each(std::vector<bulk::number>& v, auto f) {
    tbb::parallel_for(part(0, v.size()), [&](part const& p) {
      for (std::size_t i = p.begin(); i != p.end(); ++i) f(v[i]);
    });
    return true;
  }

  static auto transform(std::vector<bulk::number> const& v, auto f) {
    std::vector<bulk::number> made(v.size());
    tbb::parallel_for(part(0, v.size()), [&](part const& p) {
      for (std::size_t i = p.begin(); i != p.end(); ++i) made[i] = f(v[i]);
    });
    return made;
  }

  static std::uint64_t reduce(std::vector<bulk::number> const& v, auto f) {
    return tbb::parallel_reduce(
        part(0, v.size()), std::uint64_t{0},
        [&](part const& p, std::uint64_t sum) {
          for (std::size_t i = p.begin(); i != p.end(); ++i) sum += f(v[i]);
          return sum;
        },
        std::plus<>());
  }
};

bool const enrolled = perf::enroll(bulk::add_all<raw>);

}  // namespace
