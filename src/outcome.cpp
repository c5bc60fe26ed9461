// SPDX-License-Identifier: Apache-2.0
#include <errgroup/detail/outcome.hpp>

#include <stdexcept>  // invalid_argument

namespace errgroup::inline v1::detail {

void refuse_argument(char const* words) { throw std::invalid_argument(words); }

}  // namespace errgroup::inline v1::detail
