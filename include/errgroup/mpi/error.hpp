// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_MPI_ERROR_HPP
#define ERRGROUP_MPI_ERROR_HPP

#include <errgroup/detail/compiler.hpp>
#include <errgroup/error.hpp>

#include <exception>     // exception_ptr, make_exception_ptr, rethrow_exception
#include <memory>        // make_shared, shared_ptr
#include <string>        // string, to_string
#include <string_view>   // string_view
#include <system_error>  // error_code, error_category, is_error_code_enum, system_error
#include <type_traits>   // true_type
#include <utility>       // move
#include <vector>        // vector

namespace errgroup::inline v1::mpi {

/// The errors of a group over ranks. A `std::error_code` enum with a category of its own.
enum class errc {
  lost_rank = 1,  ///< a rank did not come to `wait` within `options::patience`
  left,           ///< the group of a rank was destroyed without a wait
  out_of_order,   ///< the ranks have come for different calls
};

/// The category of `errc`; its name is "errgroup.mpi".
[[ERRGROUP_NODISCARD_ANSWER]] std::error_category const& error_category() noexcept;
/// The `std::error_code` of `e`, in `error_category`.
[[ERRGROUP_NODISCARD_ANSWER]] inline std::error_code make_error_code(errc e) noexcept {
  return {static_cast<int>(e), error_category()};
}

/// The category of the numbers that MPI functions return; its name is "mpi".
[[ERRGROUP_NODISCARD_ANSWER]] std::error_category const& mpi_category() noexcept;

/// The number that an MPI function has returned, as a code: `return mpi::check(MPI_Send(…));`.
/// MPI_SUCCESS is success. MPI ends the program at an error, unless the communicator has another
/// error handler, such as MPI_ERRORS_RETURN.
[[ERRGROUP_NODISCARD_ANSWER]] inline std::error_code check(int rc) noexcept {
  return {rc, mpi_category()};
}

/// The exception of an error that came from another rank. `error::get_if<mpi::remote_error>()`
/// finds it.
///
/// `code()` is the code on the other rank. The categories "generic", "system", "errgroup",
/// "errgroup.mpi", "mpi", "iostream" and "future" are this rank's own. Any other category is
/// a category with the same name, whose message for the code is the message on the other rank, and
/// whose codes equal the same `std::errc`. `what()` is the text of the error on the other rank,
/// without its origin. Copies do not throw.
class remote_error : public std::system_error {
 public:
  /// For errgroup.
  remote_error(std::error_code code, int rank, std::string words, std::string stack)
      : std::system_error(code),
        kept_(std::make_shared<kept const>(kept{rank, std::move(words), std::move(stack)})) {}

  /// The text of the error on the other rank. Valid as long as this object, or a copy of it.
  [[ERRGROUP_NODISCARD_ANSWER]] char const* what() const noexcept override {
    return kept_->words.c_str();
  }
  /// The rank that has failed.
  [[ERRGROUP_NODISCARD_ANSWER]] int rank() const noexcept { return kept_->rank; }
  /// The stack of the throw on the other rank as text, one call a line. Empty unless the program is
  /// linked with errgroup::stacktrace. Valid as long as this object, or a copy of it.
  [[ERRGROUP_NODISCARD_ANSWER]] std::string const& stack() const noexcept { return kept_->stack; }

 private:
  struct kept {
    int rank;
    std::string words;
    std::string stack;
  };

  std::shared_ptr<kept const> kept_;
};

/// The ranks that did not come to `wait` in time. `error::get_if<mpi::lost_ranks>()` finds them in
/// an error with the code `errc::lost_rank`.
struct lost_ranks {
  std::vector<int> ranks;  ///< in ascending order

  /// "ranks 1, 3 did not come to wait in time; the result is not the same on all ranks".
  [[ERRGROUP_NODISCARD_ANSWER, gnu::always_inline]] std::string message() const {
    std::string text;
    for (int const rank : ranks) {
      text.append(text.empty() ? "" : ", ").append(std::to_string(rank));
    }
    return (ranks.size() == 1 ? "rank " : "ranks ") + text +
           " did not come to wait in time; the result is not the same on all ranks";
  }
};

/// The rank on which `e` has come about, or -1 if `e` is not of a group over ranks: the number in
/// the first part of the origin's path, "rank 3/solve".
[[ERRGROUP_NODISCARD_ANSWER]] int rank_of(error const& e) noexcept;

/// How an error of type E goes to other ranks. Specialise the template for your type, and call
/// `carry<E>()` on every rank.
///
///     template <>
///     struct errgroup::mpi::error_traits<disk_full> {
///       static constexpr std::string_view name = "disk_full";  // the same on all ranks
///       static std::string pack(disk_full const& e);
///       static disk_full unpack(std::string_view bytes);
///     };
///
/// `pack` returns at most 16 KiB; with more, the error arrives as a `remote_error`. So it does if
/// `pack` or `unpack` throws, and on a rank that has not called `carry<E>()`.
template <class E>
struct error_traits;

namespace detail {

/// What `carry` registers: how to pack and unpack one type. Plain functions.
struct carrier {
  std::string_view name;
  /// Packs `e`, if it holds the type. `is_thrown`: the type itself was thrown.
  bool (*pack)(error const& e, std::string& bytes, bool& is_thrown);
  std::exception_ptr (*unpack)(std::string_view bytes, bool is_thrown, std::error_code code);
};

void add_carrier(carrier const& c);

}  // namespace detail

/// From now on, errors that hold an `E`, thrown or returned, arrive as themselves on other ranks:
/// `get_if<E>()` finds the `E` there. See `error_traits`. Throws `std::bad_alloc`. Threads: any.
template <class E>
void carry() {
  detail::add_carrier({error_traits<E>::name,
                       [](error const& e, std::string& bytes, bool& is_thrown) {
                         try {
                           e.raise();
                         } catch (bad_result<E> const& x) {
                           is_thrown = false;
                           bytes = error_traits<E>::pack(x.value());
                           return true;
                         } catch (E const& x) {
                           is_thrown = true;
                           bytes = error_traits<E>::pack(x);
                           return true;
                         } catch (...) {
                           return false;
                         }
                         return false;
                       },
                       [](std::string_view bytes, bool is_thrown, std::error_code code) {
                         E value = error_traits<E>::unpack(bytes);
                         return is_thrown ? std::make_exception_ptr(std::move(value))
                                          : std::make_exception_ptr(
                                                bad_result<E>(std::move(value), code));
                       }});
}

}  // namespace errgroup::inline v1::mpi

template <>
struct std::is_error_code_enum<errgroup::mpi::errc> : std::true_type {};

#endif  // ERRGROUP_MPI_ERROR_HPP
