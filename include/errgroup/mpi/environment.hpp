// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_MPI_ENVIRONMENT_HPP
#define ERRGROUP_MPI_ENVIRONMENT_HPP

namespace errgroup::inline v1::mpi {

/// MPI, from the begin of `main` to its end.
///
///     int main(int argc, char** argv) {
///       errgroup::mpi::environment mpi(argc, argv);
///
/// A program may as well call MPI_Init_thread and MPI_Finalize itself: groups need MPI with
/// MPI_THREAD_MULTIPLE, and nothing else.
class environment {
 public:
  /// Calls MPI_Init_thread with MPI_THREAD_MULTIPLE. If MPI is initialised, it only looks whether
  /// that was done with MPI_THREAD_MULTIPLE.
  ///
  /// Throws `std::runtime_error`, in words, if MPI does not give MPI_THREAD_MULTIPLE;
  /// `std::logic_error` if MPI is finalised: it cannot begin again.
  environment(int& argc, char**& argv);
  environment(environment const&) = delete;
  environment& operator=(environment const&) = delete;
  /// Calls MPI_Finalize, if the constructor has initialised MPI. Waits for the other ranks to do
  /// the same, also while an exception leaves `main`: the groups of this rank, which were destroyed
  /// before, have told the other ranks.
  ~environment();

 private:
  bool is_mine_ = false;
};

}  // namespace errgroup::inline v1::mpi

#endif  // ERRGROUP_MPI_ENVIRONMENT_HPP
