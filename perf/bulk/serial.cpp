// A loop: what the work itself costs.

#include "workload.hpp"

namespace {

struct serial {
  static constexpr std::string_view name = "serial";

  static bool for_each(std::vector<bulk::number>& v, auto f) {
    for (auto& n : v) f(n);
    return true;
  }

  static auto transform(std::vector<bulk::number> const& v, auto f) {
    std::vector<bulk::number> made(v.size());
    for (std::size_t i = 0; i != v.size(); ++i) made[i] = f(v[i]);
    return made;
  }

  static std::uint64_t reduce(std::vector<bulk::number> const& v, auto f) {
    std::uint64_t sum = 0;
    for (auto const n : v) sum += f(n);
    return sum;
  }
};

bool const enrolled = perf::enroll(bulk::add_all<serial>);

}  // namespace
