// SPDX-License-Identifier: Apache-2.0
#include <errgroup/mpi/error.hpp>

#include <mpi.h>

#include <charconv>  // from_chars

// The categories of errors over ranks.

namespace errgroup::inline v1::mpi {
namespace {

class own_category final : public std::error_category {
 public:
  [[nodiscard]] char const* name() const noexcept override { return "errgroup.mpi"; }
  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<errc>(value)) {
      case errc::lost_rank:
        return "a rank did not come to wait in time";
      case errc::left:
        return "the group of a rank was destroyed without a wait";
      case errc::out_of_order:
        return "the ranks have come for different calls";
    }
    return "unknown errgroup.mpi error";
  }
};

class numbers_category final : public std::error_category {
 public:
  [[nodiscard]] char const* name() const noexcept override { return "mpi"; }
  [[nodiscard]] std::string message(int value) const override {
    int is_initialized = 0;
    int is_finalized = 0;
    MPI_Initialized(&is_initialized);
    MPI_Finalized(&is_finalized);
    char text[MPI_MAX_ERROR_STRING];
    int size = 0;
    if (is_initialized != 0 && is_finalized == 0 &&
        MPI_Error_string(value, text, &size) == MPI_SUCCESS) {
      return {text, static_cast<std::size_t>(size)};
    }
    return "MPI error " + std::to_string(value);
  }
};

}  // namespace

std::error_category const& error_category() noexcept {
  static own_category const instance;
  return instance;
}

std::error_category const& mpi_category() noexcept {
  static numbers_category const instance;
  return instance;
}

int rank_of(error const& e) noexcept {
  constexpr std::string_view begin = "rank ";
  std::string_view path = e.origin().path;
  if (!path.starts_with(begin)) {
    return -1;
  }
  path.remove_prefix(begin.size());
  int rank = -1;
  auto const [end, problem] = std::from_chars(path.data(), path.data() + path.size(), rank);
  bool const is_whole = end == path.data() + path.size() || *end == '/';
  return problem == std::errc() && is_whole ? rank : -1;
}

}  // namespace errgroup::inline v1::mpi
