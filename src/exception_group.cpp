// SPDX-License-Identifier: Apache-2.0
#include <errgroup/exception_group.hpp>

namespace errgroup {

exception_group::exception_group(errgroup::error all)
    : std::runtime_error(all.message()), all_(std::move(all)) {}

exception_group::~exception_group() = default;

std::vector<std::exception_ptr> exception_group::exceptions() const {
  std::vector<std::exception_ptr> all;
  if (all_) {
    all.reserve(1 + all_.others().size());
    all.push_back(all_.exception());
    for (errgroup::error const& other : all_.others()) {
      all.push_back(other.exception());
    }
  }
  return all;
}

void error::raise_all() const {
  if (*this) {
    throw exception_group(*this);
  }
}

}  // namespace errgroup
