// SPDX-License-Identifier: Apache-2.0
// Functions of MPI that stand before MPI's own, as its profiling interface allows: they count
// requests, and fail if a test wants it.

#include "mpi/requests.hpp"

#include <mpi.h>

#include <algorithm>  // count_if
#include <atomic>     // atomic

namespace {

std::atomic<long> begun{0};
std::atomic<long> completed{0};
std::atomic<MPI_Comm> failing{MPI_COMM_NULL};
std::atomic<MPI_Comm> blind{MPI_COMM_NULL};
std::atomic<int> blind_for{0};

int count_begun(int rc, MPI_Request const* request) {
  if (rc == MPI_SUCCESS && *request != MPI_REQUEST_NULL) {
    ++begun;
  }
  return rc;
}

bool is_like(MPI_Comm comm, MPI_Comm like) {
  int how = MPI_UNEQUAL;
  return like != MPI_COMM_NULL && PMPI_Comm_compare(comm, like, &how) == MPI_SUCCESS &&
         how == MPI_CONGRUENT;
}

}  // namespace

long support::open_requests() noexcept { return begun - completed; }

long support::begun_requests() noexcept { return begun; }

support::failing_probe::failing_probe(MPI_Comm comm) noexcept { failing = comm; }

void support::blind_probes(MPI_Comm comm, int times) noexcept {
  blind = comm;
  blind_for = times;
}

support::failing_probe::~failing_probe() { failing = MPI_COMM_NULL; }

extern "C" {

int MPI_Isend(void const* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request* request) {
  return count_begun(PMPI_Isend(data, count, type, to, tag, comm, request), request);
}

int MPI_Issend(void const* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
               MPI_Request* request) {
  return count_begun(PMPI_Issend(data, count, type, to, tag, comm, request), request);
}

int MPI_Irecv(void* data, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm,
              MPI_Request* request) {
  return count_begun(PMPI_Irecv(data, count, type, from, tag, comm, request), request);
}

int MPI_Imrecv(void* data, int count, MPI_Datatype type, MPI_Message* message,
               MPI_Request* request) {
  ++completed;  // the message
  return count_begun(PMPI_Imrecv(data, count, type, message, request), request);
}

int MPI_Ibcast(void* data, int count, MPI_Datatype type, int root, MPI_Comm comm,
               MPI_Request* request) {
  return count_begun(PMPI_Ibcast(data, count, type, root, comm, request), request);
}

int MPI_Iallreduce(void const* in, void* out, int count, MPI_Datatype type, MPI_Op op,
                   MPI_Comm comm, MPI_Request* request) {
  return count_begun(PMPI_Iallreduce(in, out, count, type, op, comm, request), request);
}

int MPI_Comm_idup(MPI_Comm comm, MPI_Comm* made, MPI_Request* request) {
  return count_begun(PMPI_Comm_idup(comm, made, request), request);
}

int MPI_Test(MPI_Request* request, int* is_done, MPI_Status* status) {
  bool const was_open = *request != MPI_REQUEST_NULL;
  int const rc = PMPI_Test(request, is_done, status);
  if (was_open && *request == MPI_REQUEST_NULL) {
    ++completed;
  }
  return rc;
}

int MPI_Testall(int count, MPI_Request requests[], int* are_done, MPI_Status statuses[]) {
  auto const is_open = [](MPI_Request r) { return r != MPI_REQUEST_NULL; };
  auto const open = std::count_if(requests, requests + count, is_open);
  int const rc = PMPI_Testall(count, requests, are_done, statuses);
  completed += open - std::count_if(requests, requests + count, is_open);
  return rc;
}

int MPI_Wait(MPI_Request* request, MPI_Status* status) {
  bool const was_open = *request != MPI_REQUEST_NULL;
  int const rc = PMPI_Wait(request, status);
  if (was_open && *request == MPI_REQUEST_NULL) {
    ++completed;
  }
  return rc;
}

int MPI_Improbe(int from, int tag, MPI_Comm comm, int* is_there, MPI_Message* message,
                MPI_Status* status) {
  if (is_like(comm, failing)) {
    return MPI_ERR_OTHER;
  }
  if (blind_for > 0 && is_like(comm, blind)) {
    --blind_for;
    *is_there = 0;
    return MPI_SUCCESS;
  }
  int const rc = PMPI_Improbe(from, tag, comm, is_there, message, status);
  if (rc == MPI_SUCCESS && *is_there != 0) {
    ++begun;
  }
  return rc;
}

#ifdef __SANITIZE_ADDRESS__
// Open MPI's plugins stay, so that LeakSanitizer can name them, and lsan.supp can.
int dlclose(void* /*plugin*/) { return 0; }
#endif

}  // extern "C"
