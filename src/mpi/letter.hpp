// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_SRC_MPI_LETTER_HPP
#define ERRGROUP_SRC_MPI_LETTER_HPP

#include <cstdint>      // uint32_t, uint64_t
#include <cstring>      // memcpy
#include <string>       // string
#include <string_view>  // string_view

namespace errgroup::inline v1::mpi::detail {

/// The kinds of messages between the ranks of a group.
enum class kind : std::uint32_t {
  failure = 1,    ///< an error of the sender, which cancels the receiver; more errors may follow
  last_failure,   ///< all errors of the sender, which cancel the receiver
  quiet_failure,  ///< all errors of a sender that keeps going, as the receiver does
  asks,           ///< has the receiver come to `wait`?
  has_come,       ///< the answer: it has
  has_not_come,   ///< the answer: it has not
  takes,          ///< which chunk of the work is next? To rank 0; the body is the size of the work
  gives,          ///< the answer: the number of the chunk
  parcel,         ///< a part of the result of the work; see `work`
};

/// A message from one rank to another, of one group and one round.
struct letter {
  kind what = kind::failure;
  std::uint32_t round = 0;
  std::uint64_t generation = 0;
  int from = -1;
  std::string body;
};

/// The bytes of a letter, without the sender.
inline std::string seal(kind what, std::uint64_t generation, std::uint32_t round,
                        std::string_view body) {
  struct {
    std::uint32_t what;
    std::uint32_t round;
    std::uint64_t generation;
  } const head{static_cast<std::uint32_t>(what), round, generation};
  std::string bytes(reinterpret_cast<char const*>(&head), sizeof head);
  return bytes.append(body);
}

/// The letter in `bytes`. A letter of no kind if the bytes are none of a letter.
inline letter open(std::string_view bytes, int from) {
  letter l;
  std::uint32_t what = 0;
  constexpr std::size_t head = 2 * sizeof what + sizeof l.generation;
  if (bytes.size() >= head) {
    std::memcpy(&what, bytes.data(), sizeof what);
    std::memcpy(&l.round, bytes.data() + sizeof what, sizeof l.round);
    std::memcpy(&l.generation, bytes.data() + 2 * sizeof what, sizeof l.generation);
    l.body = bytes.substr(head);
  }
  l.what = static_cast<kind>(what);
  l.from = from;
  return l;
}

}  // namespace errgroup::inline v1::mpi::detail

#endif  // ERRGROUP_SRC_MPI_LETTER_HPP
