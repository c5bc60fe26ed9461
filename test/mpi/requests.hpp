// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_MPI_REQUESTS_HPP
#define ERRGROUP_TEST_MPI_REQUESTS_HPP

#include <mpi.h>

namespace support {

/// The nonblocking operations that this process has begun and that MPI has not completed, and the
/// messages that MPI_Improbe has found and that nothing has received, of the library and of the
/// test. requests.cpp counts them with MPI's profiling interface.
[[nodiscard]] long open_requests() noexcept;
/// The nonblocking operations that this process has begun.
[[nodiscard]] long begun_requests() noexcept;

/// While it lives, MPI_Improbe fails with MPI_ERR_OTHER on communicators with the same ranks in the
/// same order as `comm`.
class failing_probe {
 public:
  explicit failing_probe(MPI_Comm comm) noexcept;
  failing_probe(failing_probe const&) = delete;
  failing_probe& operator=(failing_probe const&) = delete;
  ~failing_probe();
};

/// The next `times` calls of MPI_Improbe find nothing on communicators with the same ranks in the
/// same order as `comm`.
void blind_probes(MPI_Comm comm, int times) noexcept;

}  // namespace support

#endif  // ERRGROUP_TEST_MPI_REQUESTS_HPP
