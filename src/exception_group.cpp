// SPDX-License-Identifier: Apache-2.0
#include <errgroup/exception_group.hpp>

namespace errgroup {

exception_group::exception_group(errgroup::error all)
    : std::runtime_error(all.message()), all_(std::move(all)) {}

exception_group::~exception_group() = default;

std::vector<std::exception_ptr> exception_group::exceptions() const {
  std::vector<std::exception_ptr> all;
  all.reserve(all_.all().size());
  for (errgroup::error const& one : all_.all()) {
    all.push_back(one.exception());
  }
  return all;
}

void error::raise_all() const {
  if (*this) {
    throw exception_group(*this);
  }
}

}  // namespace errgroup
