// SPDX-License-Identifier: Apache-2.0
#include <errgroup/retry.hpp>

#include <algorithm>  // min
#include <cmath>      // pow
#include <random>     // minstd_rand, random_device, uniform_real_distribution

namespace errgroup::inline v1::detail {

void check_policy(retry_policy const& policy) {
  if (policy.attempts < 0) {
    refuse_argument("errgroup: retry_policy::attempts is at least 1, or 0 to try until cancelled");
  }
  if (policy.delay.count() < 0 || policy.max_delay.count() < 0) {
    refuse_argument("errgroup: a pause of retry_policy is negative");
  }
  if (!(policy.factor >= 1)) {
    refuse_argument("errgroup: retry_policy::factor is at least 1");
  }
  if (!(policy.jitter >= 0 && policy.jitter <= 1)) {
    refuse_argument("errgroup: retry_policy::jitter is from 0 to 1");
  }
}

clock::duration pause_after(retry_policy const& policy, std::size_t attempts) {
  using real = std::chrono::duration<double, std::nano>;
  double const grown = real(policy.delay).count() * std::pow(policy.factor, double(attempts - 1));
  double pause = std::min(grown, real(policy.max_delay).count());
  if (policy.jitter > 0) {
    thread_local std::minstd_rand any{std::random_device{}()};
    pause *= 1 - std::uniform_real_distribution<double>(0, policy.jitter)(any);
  }
  return saturated(real(pause));
}

}  // namespace errgroup::inline v1::detail
