// SPDX-License-Identifier: Apache-2.0
#include <errgroup/error.hpp>

#include <algorithm>  // sort
#include <cstddef>    // size_t
#include <span>       // span
#include <utility>    // pair
#include <vector>     // vector

namespace errgroup::inline v1 {

std::vector<error> error::by_index() const {
  std::span<error const> const failures = all();
  // The index of the task, and the place in `all`, which decides between tasks with one index.
  // `npos`, the index of an error without one, is the greatest.
  std::vector<std::pair<std::size_t, std::size_t>> order;
  order.reserve(failures.size());
  for (std::size_t i = 0; i != failures.size(); ++i) {
    order.emplace_back(failures[i].origin().index, i);
  }
  std::ranges::sort(order);
  std::vector<error> sorted;
  sorted.reserve(failures.size());
  for (auto const& [index, place] : order) {
    sorted.push_back(failures[place]);
  }
  return sorted;
}

}  // namespace errgroup::inline v1
