// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_MPI_REGISTRY_HPP
#define ERRGROUP_SRC_MPI_REGISTRY_HPP

#include "channel.hpp"
#include <errgroup/clock.hpp>

#include <mpi.h>

#include <atomic>              // atomic
#include <chrono>              // milliseconds, nanoseconds
#include <condition_variable>  // condition_variable
#include <list>                // list
#include <memory>              // shared_ptr
#include <mutex>               // mutex, once_flag
#include <thread>              // thread
#include <vector>              // vector

namespace errgroup::inline v1::mpi::detail {

/// A nonblocking operation that a task has given up, and the memory that it uses until its end.
struct given_up {
  MPI_Request request = MPI_REQUEST_NULL;
  std::shared_ptr<void const> memory;
};

/// All channels of the process, and the thread that watches them.
///
/// The watcher looks while a channel is busy, with a pause after each look, and sleeps otherwise.
/// MPI_Finalize ends it: an attribute of MPI_COMM_SELF, which MPI deletes first, has a function
/// that closes all channels.
class registry {
 public:
  static registry& get();

  /// Throws what starting a thread and MPI throw.
  void add(std::shared_ptr<channel> const& c, MPI_Comm parent);
  [[nodiscard]] std::shared_ptr<channel> find(MPI_Comm parent);
  /// Wakes the watcher if it sleeps because nothing was busy.
  void wake() noexcept;
  void set_poll(std::chrono::nanoseconds pause) noexcept;
  /// Completes the operation some time, and then gives the memory back.
  void keep(given_up operation);

  registry(registry const&) = delete;
  registry& operator=(registry const&) = delete;

 private:
  registry() = default;
  ~registry() = default;

  void make_keys();
  void start_watcher();
  void watch();
  void close_all() noexcept;
  void test_given_up() noexcept;
  static int on_communicator_freed(MPI_Comm comm, int key, void* value, void* extra);
  static int on_finalize(MPI_Comm comm, int key, void* value, void* extra);

  std::mutex lock_;
  std::condition_variable woken_;
  bool is_ending_ = false;
  bool is_awake_ = false;
  std::vector<std::shared_ptr<channel>> channels_;
  std::list<given_up> given_up_;
  std::once_flag keys_made_;
  std::atomic<int> key_{MPI_KEYVAL_INVALID};
  std::atomic<std::chrono::nanoseconds> pause_{std::chrono::milliseconds(5)};
  std::thread watcher_;
};

}  // namespace errgroup::inline v1::mpi::detail

#endif  // ERRGROUP_SRC_MPI_REGISTRY_HPP
