// SPDX-License-Identifier: Apache-2.0
#include <errgroup/exception_group.hpp>

namespace errgroup::inline v1 {

exception_group::exception_group(errgroup::error all)
    : std::runtime_error(all.message()), all_(std::move(all)) {}

exception_group::~exception_group() = default;

void error::raise_all() const {
  if (*this) {
    throw exception_group(*this);
  }
}

}  // namespace errgroup::inline v1
