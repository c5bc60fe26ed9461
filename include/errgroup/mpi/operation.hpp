// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_MPI_OPERATION_HPP
#define ERRGROUP_MPI_OPERATION_HPP

#include <errgroup/detail/compiler.hpp>
#include <errgroup/error.hpp>

#include <mpi.h>

#include <algorithm>    // copy
#include <cstddef>      // byte, size_t
#include <memory>       // make_shared, shared_ptr
#include <span>         // span
#include <type_traits>  // is_same_v, remove_cv_t
#include <vector>       // vector

// Operations of MPI for tasks. A blocking function of MPI does not notice that its group is
// cancelled, and may wait for ever for a rank that has given up. These functions notice it.

namespace errgroup::inline v1::mpi {

/// Waits for a nonblocking operation, as MPI_Wait does, but ends with `errgroup::errc::canceled` if
/// the task or algorithm around the caller is cancelled. Otherwise returns success, or the error of
/// MPI (`mpi::check`), and `request` is MPI_REQUEST_NULL.
///
///     std::vector<double> halo(n);
///     MPI_Request request;
///     MPI_Irecv(halo.data(), n, MPI_DOUBLE, left, 0, comm, &request);
///     if (auto err = errgroup::mpi::wait(request)) return err;
///
/// When it was cancelled, the operation goes on. Without `memory`, `request` and the buffer of the
/// operation are still the caller's: the buffer has to stay until the operation is complete
/// (MPI_Cancel and MPI_Wait end a receive). With `memory`, the library takes the operation over:
/// it keeps `memory`, which owns the buffer, until the operation is complete, and `request` is
/// MPI_REQUEST_NULL. An operation that never completes is left behind.
///
/// If ranks give up a collective operation on a communicator, later collective operations on that
/// communicator may meet it: give each group that may fail a communicator of its own for its
/// collective operations.
///
/// Threads: any. The thread waits with pauses of up to 100 us; it runs no other task. Throws
/// `std::bad_alloc`.
[[ERRGROUP_NODISCARD_ERROR]] error wait(MPI_Request& request,
                                        std::shared_ptr<void const> memory = {});

/// The MPI_Datatype of an arithmetic type.
template <class T>
MPI_Datatype datatype_of() {
  using V = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<V, char>) {
    return MPI_CHAR;
  } else if constexpr (std::is_same_v<V, signed char>) {
    return MPI_SIGNED_CHAR;
  } else if constexpr (std::is_same_v<V, unsigned char>) {
    return MPI_UNSIGNED_CHAR;
  } else if constexpr (std::is_same_v<V, std::byte>) {
    return MPI_BYTE;
  } else if constexpr (std::is_same_v<V, short>) {
    return MPI_SHORT;
  } else if constexpr (std::is_same_v<V, unsigned short>) {
    return MPI_UNSIGNED_SHORT;
  } else if constexpr (std::is_same_v<V, int>) {
    return MPI_INT;
  } else if constexpr (std::is_same_v<V, unsigned>) {
    return MPI_UNSIGNED;
  } else if constexpr (std::is_same_v<V, long>) {
    return MPI_LONG;
  } else if constexpr (std::is_same_v<V, unsigned long>) {
    return MPI_UNSIGNED_LONG;
  } else if constexpr (std::is_same_v<V, long long>) {
    return MPI_LONG_LONG;
  } else if constexpr (std::is_same_v<V, unsigned long long>) {
    return MPI_UNSIGNED_LONG_LONG;
  } else if constexpr (std::is_same_v<V, float>) {
    return MPI_FLOAT;
  } else if constexpr (std::is_same_v<V, double>) {
    return MPI_DOUBLE;
  } else {
    static_assert(std::is_same_v<V, long double>,
                  "errgroup: MPI has no datatype for this type: send its members, or its bytes");
    return MPI_LONG_DOUBLE;
  }
}

namespace detail {

error begin_send(void const* data, std::size_t size, MPI_Datatype type, int to, int tag,
                 MPI_Comm comm, MPI_Request& request);
error receive(void* data, std::size_t size, MPI_Datatype type, int from, int tag, MPI_Comm comm);
error begin_broadcast(void* data, std::size_t size, MPI_Datatype type, int root, MPI_Comm comm,
                      MPI_Request& request);
error begin_reduce(void* data, std::size_t size, MPI_Datatype type, MPI_Op op, MPI_Comm comm,
                   MPI_Request& request);

}  // namespace detail

/// As MPI_Send of `data`, but ends with `errgroup::errc::canceled` as `wait` does. The data is
/// copied, so the buffer is the caller's again in any case. Throws `std::bad_alloc`.
template <class T>
[[ERRGROUP_NODISCARD_ERROR]] error send(std::span<T const> data, int to, int tag, MPI_Comm comm) {
  auto const copy = std::make_shared<std::vector<T>>(data.begin(), data.end());
  MPI_Request request = MPI_REQUEST_NULL;
  if (error e = detail::begin_send(copy->data(), copy->size(), datatype_of<T>(), to, tag, comm,
                                   request)) {
    return e;
  }
  return mpi::wait(request, copy);
}

/// As MPI_Recv into `data`, which has to be large enough, but ends with `errgroup::errc::canceled`
/// as `wait` does: then the receive is cancelled, and the buffer is the caller's again.
template <class T>
[[ERRGROUP_NODISCARD_ERROR]] error recv(std::span<T> data, int from, int tag, MPI_Comm comm) {
  return detail::receive(data.data(), data.size(), datatype_of<T>(), from, tag, comm);
}

/// As MPI_Bcast of `data`, but ends with `errgroup::errc::canceled` as `wait` does; then `data` is
/// as before. The data is copied. Throws `std::bad_alloc`.
template <class T>
[[ERRGROUP_NODISCARD_ERROR]] error bcast(std::span<T> data, int root, MPI_Comm comm) {
  auto const copy = std::make_shared<std::vector<T>>(data.begin(), data.end());
  MPI_Request request = MPI_REQUEST_NULL;
  error e =
      detail::begin_broadcast(copy->data(), copy->size(), datatype_of<T>(), root, comm, request);
  if (!e) {
    e = mpi::wait(request, copy);
  }
  if (!e) {
    std::copy(copy->begin(), copy->end(), data.begin());
  }
  return e;
}

/// As MPI_Allreduce of `data` in place, but ends with `errgroup::errc::canceled` as `wait` does;
/// then `data` is as before. The data is copied. Throws `std::bad_alloc`.
template <class T>
[[ERRGROUP_NODISCARD_ERROR]] error allreduce(std::span<T> data, MPI_Op op, MPI_Comm comm) {
  auto const copy = std::make_shared<std::vector<T>>(data.begin(), data.end());
  MPI_Request request = MPI_REQUEST_NULL;
  error e = detail::begin_reduce(copy->data(), copy->size(), datatype_of<T>(), op, comm, request);
  if (!e) {
    e = mpi::wait(request, copy);
  }
  if (!e) {
    std::copy(copy->begin(), copy->end(), data.begin());
  }
  return e;
}

}  // namespace errgroup::inline v1::mpi

#endif  // ERRGROUP_MPI_OPERATION_HPP
