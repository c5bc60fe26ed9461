// SPDX-License-Identifier: Apache-2.0
#include "registry.hpp"
#include <errgroup/mpi/error.hpp>
#include <errgroup/mpi/operation.hpp>

#include <chrono>   // microseconds
#include <thread>   // sleep_for, yield
#include <utility>  // exchange, move

namespace errgroup::inline v1::mpi {
namespace {

// Waits until the operation is complete, or the caller is cancelled.
error finish(MPI_Request& request) {
  for (int times = 0;; ++times) {
    int is_done = 0;
    if (std::error_code const problem = check(MPI_Test(&request, &is_done, MPI_STATUS_IGNORE))) {
      return problem;
    }
    if (is_done != 0) {
      return {};
    }
    if (error e = errgroup::check()) {
      return e;
    }
    if (times > 300) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    } else if (times > 100) {
      std::this_thread::yield();
    }
  }
}

}  // namespace

error wait(MPI_Request& request, std::shared_ptr<void const> memory) {
  error e = finish(request);
  if (request != MPI_REQUEST_NULL && memory != nullptr) {
    detail::registry::get().keep({std::exchange(request, MPI_REQUEST_NULL), std::move(memory)});
  }
  return e;
}

namespace detail {

error begin_send(void const* data, std::size_t size, MPI_Datatype type, int to, int tag,
                 MPI_Comm comm, MPI_Request& request) {
  return check(MPI_Isend(data, static_cast<int>(size), type, to, tag, comm, &request));
}

error receive(void* data, std::size_t size, MPI_Datatype type, int from, int tag, MPI_Comm comm) {
  MPI_Request request = MPI_REQUEST_NULL;
  if (std::error_code const problem =
          check(MPI_Irecv(data, static_cast<int>(size), type, from, tag, comm, &request))) {
    return problem;
  }
  error e = finish(request);
  if (request != MPI_REQUEST_NULL) {
    MPI_Cancel(&request);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
  }
  return e;
}

error begin_broadcast(void* data, std::size_t size, MPI_Datatype type, int root, MPI_Comm comm,
                      MPI_Request& request) {
  return check(MPI_Ibcast(data, static_cast<int>(size), type, root, comm, &request));
}

error begin_reduce(void* data, std::size_t size, MPI_Datatype type, MPI_Op op, MPI_Comm comm,
                   MPI_Request& request) {
  return check(
      MPI_Iallreduce(MPI_IN_PLACE, data, static_cast<int>(size), type, op, comm, &request));
}

}  // namespace detail
}  // namespace errgroup::inline v1::mpi
