// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_MPI_REDUCE_HPP
#define ERRGROUP_MPI_REDUCE_HPP

#include <errgroup/detail/bulk.hpp>
#include <errgroup/detail/compiler.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/error.hpp>
#include <errgroup/mpi/detail/work.hpp>
#include <errgroup/mpi/options.hpp>
#include <errgroup/reduce.hpp>
#include <errgroup/result.hpp>
#include <errgroup/task.hpp>

#include <mpi.h>

#include <algorithm>        // all_of, min
#include <array>            // array
#include <bit>              // bit_cast
#include <concepts>         // invocable
#include <cstddef>          // byte, size_t
#include <functional>       // invoke
#include <optional>         // optional
#include <source_location>  // source_location
#include <stop_token>       // stop_token
#include <string>           // string
#include <string_view>      // string_view
#include <type_traits>      // invoke_result_t, is_trivially_copyable_v, remove_cvref_t, ...
#include <utility>          // forward, in_place, move
#include <vector>           // vector

namespace errgroup::inline v1::mpi {
namespace detail {

/// The cells of a reduce: each cell is folded by one thread, from its first element to its last.
/// Their number depends on the number of elements only, so the result does not depend on the
/// number of ranks and threads.
inline constexpr std::size_t most_cells = 4096;

/// Values on their way to rank 0: the number of the first cell, the number of cells, and the
/// values. A chunk that has failed has no values.
template <class U>
std::string pack_cells(part const& cells, std::vector<std::optional<U>> const& values) {
  std::string bytes(reinterpret_cast<char const*>(&cells), sizeof cells);
  for (std::optional<U> const& v : values) {
    bytes.append(reinterpret_cast<char const*>(&*v), sizeof(U));
  }
  return bytes;
}

template <class U>
U unpack_value(std::string_view bytes) {
  std::array<std::byte, sizeof(U)> raw;
  bytes.copy(reinterpret_cast<char*>(raw.data()), sizeof(U));
  return std::bit_cast<U>(raw);
}

/// Puts the values of a packet where they belong. Returns the number of cells in the packet.
template <class U>
std::size_t unpack_cells(std::string_view bytes, std::vector<std::optional<U>>& values) {
  part cells{0, 0};
  bytes.copy(reinterpret_cast<char*>(&cells), sizeof cells);
  bytes.remove_prefix(sizeof cells);
  if (!bytes.empty()) {
    for (std::size_t i = cells.first; i != cells.last; ++i) {
      values[i].emplace(unpack_value<U>(bytes));
      bytes.remove_prefix(sizeof(U));
    }
  }
  return cells.size();
}

/// One call of `reduce`.
template <class Identity, class F, class Combine>
class reduction {
  using reducer = errgroup::detail::reducer<Identity, F, Combine>;
  using value = typename reducer::value;

 public:
  reduction(MPI_Comm comm, options const& opts, std::size_t count, Identity const& identity,
            F const& f, Combine const& combine, std::source_location where)
      : inner_(options_of_chunk(opts)),
        count_(count),
        cells_(std::min(count, most_cells)),
        identity_(identity),
        f_(f),
        combine_(combine),
        where_(where),
        work_(comm, opts, count, cells_, where) {}

  result<value> run() {
    error e = work_.run([this](part cells) { return fold(cells); },
                        [this] { return work_.rank() == 0 ? put_together() : receive_result(); });
    if (e) {
      return result<value>(std::move(e));
    }
    return result<value>(std::in_place, *std::move(result_));
  }

 private:
  // Folds the elements of each cell, in parallel, and sends the values to rank 0.
  error fold(part const& cells) {
    namespace core = errgroup::detail;
    core::bulk b(inner_, where_);
    std::stop_token const token = b.token<core::takes_with_token<F, value, std::size_t>>();
    reducer const r{b, identity_, f_, combine_, token};
    core::counted_source<std::size_t> const all{count_};
    std::vector<std::optional<value>> values(cells.size());
    b.split(core::counted_source<std::size_t>{cells.size()},
            [&](core::pace& mine, std::size_t first, std::size_t last, auto const&) {
              for (std::size_t i = first; i != last && !b.is_canceling(); ++i) {
                part const elements = part_of(count_, cells_, cells.first + i);
                r.fold(values[i], mine, elements.first, elements.last, all);
              }
            });
    error e = b.finish(part_of(count_, cells_, cells.last - 1).last -
                       part_of(count_, cells_, cells.first).first);
    if (e) {
      values.clear();
    }
    work_.send(pack_cells(cells, values), 0);
    return e;
  }

  // On rank 0: waits for the values of all cells, combines them in order, and sends the result.
  error put_together() {
    std::vector<std::optional<value>> values(cells_);
    std::string bytes;
    for (std::size_t there = 0; there != cells_;) {
      if (error e = work_.receive(bytes)) {
        return e;
      }
      there += unpack_cells(std::string_view(bytes), values);
    }
    if (!std::all_of(values.begin(), values.end(), [](auto const& v) { return v.has_value(); })) {
      work_.send({}, -1);  // under on_error::keep_going: a chunk has failed, which `wait` tells
      return {};
    }
    value all = cells_ == 0 ? errgroup::detail::identity_of<Identity>::make(identity_)
                            : *std::move(values.front());
    for (std::size_t i = 1; i < cells_; ++i) {
      auto&& returned = std::invoke(combine_, std::move(all), *std::move(values[i]));
      using R = decltype(returned);
      if constexpr (task_result<std::remove_cvref_t<R>>) {
        if (errgroup::detail::is_failure(returned)) {
          work_.cancel(errgroup::detail::to_error(std::forward<R>(returned)));
          return errgroup::errc::canceled;
        }
        all = *std::forward<R>(returned);
      } else {
        all = std::forward<R>(returned);
      }
    }
    work_.send({reinterpret_cast<char const*>(&all), sizeof all}, -1);
    result_.emplace(std::move(all));
    return {};
  }

  error receive_result() {
    std::string bytes;
    error e = work_.receive(bytes);
    if (!e && !bytes.empty()) {
      result_.emplace(unpack_value<value>(bytes));
    }
    return e;
  }

  errgroup::options const inner_;
  std::size_t const count_;
  std::size_t const cells_;
  Identity const& identity_;
  F const& f_;
  Combine const& combine_;
  std::source_location const where_;
  std::optional<value> result_;
  work work_;
};

}  // namespace detail

/// Folds the numbers from 0 to `count - 1` into one value, on all ranks of `comm`. Every rank gets
/// the value.
///
///     auto const energy = errgroup::mpi::reduce(
///         MPI_COMM_WORLD, {.name = "energy"}, cells.size(), 0.0,
///         [&](double sum, std::size_t i) { return sum + cells[i].energy(); }, std::plus<>());
///
/// The callables are as for `errgroup::reduce`. The result has the same bits for any number of
/// ranks and threads, also if `combine` rounds: the elements are divided into at most 4096 cells,
/// by their number only. A thread folds the elements of a cell in their order; rank 0 combines the
/// values of the cells in their order, and sends the result to the other ranks.
///
/// The value is of a trivially copyable type, and the same type on all ranks: its bytes are sent.
///
/// The rest, and the error of an element, is as for `mpi::for_each`. With `on_error::keep_going`,
/// too, a failure is the result.
///
/// Throws: as `mpi::for_each`.
/// Threads: any, tasks of a group included.
/// Cost: as `mpi::for_each`, and a message with the values of each chunk. Rank 0 keeps the values
///     of all cells.
template <class Identity, class F, class Combine>
[[ERRGROUP_NODISCARD_RESULT]] auto reduce(
    MPI_Comm comm, options const& opts, std::size_t count, Identity&& identity, F&& f,
    Combine&& combine, std::source_location where = std::source_location::current()) {
  namespace core = errgroup::detail;
  using made = std::remove_cvref_t<Identity>;
  using callable = std::remove_reference_t<F>;
  using combiner = std::remove_reference_t<Combine>;
  using value = typename core::identity_of<made>::type;
  core::require_reduce<std::size_t, value, callable, combiner>();
  static_assert(std::is_trivially_copyable_v<value>,
                "errgroup: mpi::reduce sends the bytes of values to other ranks, so their type has "
                "to be trivially copyable");
  if (core::is_null(f) || core::is_null(combine)) {
    core::refuse_argument("errgroup: reduce with an empty function");
  }
  if constexpr (std::invocable<made const&>) {
    if (core::is_null(identity)) {
      core::refuse_argument("errgroup: reduce with an empty function for the identity");
    }
  }
  detail::reduction<made, callable, combiner> all(comm, opts, count, identity, f, combine, where);
  return all.run();
}

}  // namespace errgroup::inline v1::mpi

#endif  // ERRGROUP_MPI_REDUCE_HPP
