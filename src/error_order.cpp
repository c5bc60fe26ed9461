// SPDX-License-Identifier: Apache-2.0
#include <errgroup/error.hpp>

#include <algorithm>  // stable_sort
#include <span>       // span
#include <vector>     // vector

namespace errgroup::inline v1 {

std::vector<error> error::by_index() const {
  std::span<error const> const failures = all();
  std::vector<error> sorted(failures.begin(), failures.end());
  // `npos`, the index of an error without one, is the greatest.
  std::ranges::stable_sort(sorted, {}, [](error const& e) { return e.origin().index; });
  return sorted;
}

}  // namespace errgroup::inline v1
