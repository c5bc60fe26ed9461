// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_MPI_RANKS_HPP
#define ERRGROUP_TEST_MPI_RANKS_HPP

#include <mpi.h>

#include <cstddef>  // size_t
#include <set>      // set
#include <string>   // string
#include <vector>   // vector

namespace support {

inline int world_rank() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}
inline int world_size() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

/// A new communicator with all ranks, the last rank first. The caller frees it. Collective.
inline MPI_Comm reversed_world() {
  MPI_Comm made = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, 0, -world_rank(), &made);
  return made;
}

/// The texts of all ranks, which are the same text if the set has one element. Collective.
inline std::set<std::string> texts_of_all(std::string const& mine) {
  int const size = static_cast<int>(mine.size());
  std::vector<int> sizes(static_cast<std::size_t>(world_size()));
  MPI_Allgather(&size, 1, MPI_INT, sizes.data(), 1, MPI_INT, MPI_COMM_WORLD);
  std::vector<int> begins;
  int sum = 0;
  for (int const s : sizes) {
    begins.push_back(sum);
    sum += s;
  }
  std::string all(static_cast<std::size_t>(sum), ' ');
  MPI_Allgatherv(mine.data(), size, MPI_CHAR, all.data(), sizes.data(), begins.data(), MPI_CHAR,
                 MPI_COMM_WORLD);
  std::set<std::string> texts;
  for (std::size_t i = 0; i != sizes.size(); ++i) {
    texts.insert(
        all.substr(static_cast<std::size_t>(begins[i]), static_cast<std::size_t>(sizes[i])));
  }
  return texts;
}

/// Waits for all ranks. Collective.
inline void meet() { MPI_Barrier(MPI_COMM_WORLD); }

}  // namespace support

#endif  // ERRGROUP_TEST_MPI_RANKS_HPP
