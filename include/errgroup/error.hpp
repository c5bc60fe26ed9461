#ifndef ERRGROUP_ERROR_HPP
#define ERRGROUP_ERROR_HPP

#include <errgroup/detail/export.hpp>
#include <errgroup/stack.hpp>

#include <cstddef>       // size_t
#include <exception>     // exception, exception_ptr
#include <iosfwd>        // ostream
#include <memory>        // make_shared, shared_ptr
#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // error_code, error_condition, is_error_code_enum
#include <type_traits>   // is_same_v, true_type
#include <utility>       // exchange, move, swap
#include <vector>        // vector

namespace errgroup {

/// Errors that a group itself has to tell. A `std::error_code` enum with a category of its own.
///
/// As conditions: `canceled == std::errc::operation_canceled`, `deadline_exceeded ==
/// std::errc::timed_out`, `would_deadlock == std::errc::resource_deadlock_would_occur`.
enum class errc {
  canceled = 1,       ///< the group, or what it was made in, was cancelled
  deadline_exceeded,  ///< the group's time was up
  would_deadlock,     ///< a group was waited for from inside one of its own tasks
  exception,          ///< a task threw something that has no `std::error_code` of its own
  failed,             ///< a task failed with an error of a type of its own
};

/// The category of `errc`; its name is "errgroup".
[[nodiscard]] ERRGROUP_API std::error_category const& error_category() noexcept;

[[nodiscard]] inline std::error_code make_error_code(errc e) noexcept {
  return {static_cast<int>(e), error_category()};
}

}  // namespace errgroup

template <>
struct std::is_error_code_enum<errgroup::errc> : std::true_type {};

namespace errgroup {

/// What `error::exception()` holds for an error that a task returned as a type of its own:
/// the `E` of a `std::expected<T, E>`, kept whole.
template <class E>
class bad_result : public std::exception {
 public:
  explicit bad_result(E value) : value_(std::make_shared<E const>(std::move(value))) {}

  [[nodiscard]] char const* what() const noexcept override {
    return "a task returned an error of a type of its own";
  }
  [[nodiscard]] E const& value() const noexcept { return *value_; }

 private:
  std::shared_ptr<E const> value_;  // an exception is copied, and E may be one that is moved only
};

namespace detail {

struct error_note;
struct error_access;

}  // namespace detail

/// Why a group, or a task, did not succeed. Empty means: every task ran, and succeeded.
///
/// Holds a `std::error_code`, or an exception; an error of any other type is kept as a
/// `bad_result` of it. An `error` is a value: copies share what they hold, never throw, and cost
/// a code and a reference count for what is there. Distinct objects may be used from distinct
/// threads even if they are copies of one another.
///
///     if (auto err = g.wait()) {
///       std::cerr << err << '\n';
///     }
class [[nodiscard]] error {
 public:
  /// Success.
  error() noexcept = default;

  /// A code; a zero code is success. Implicit, so that a task may `return ec;`.
  error(std::error_code code) noexcept : code_(code) {}

  /// The code of an enum such as `errc` or the user's own: `return errc::canceled;`.
  template <class E>
    requires std::is_error_code_enum_v<E>
  error(E e) noexcept : code_(e) {}

  /// An exception; a null pointer is success.
  error(std::exception_ptr exception) noexcept : exception_(std::move(exception)) {}

  error(error const& other) noexcept;
  error(error&& other) noexcept
      : code_(std::exchange(other.code_, {})),
        exception_(std::move(other.exception_)),
        note_(std::exchange(other.note_, nullptr)),
        skipped_(std::exchange(other.skipped_, 0)) {}
  error& operator=(error other) noexcept {
    swap(*this, other);
    return *this;
  }
  ~error() {
    if (note_ != nullptr) {
      drop_note();
    }
  }

  friend void swap(error& a, error& b) noexcept {
    std::swap(a.code_, b.code_);
    std::swap(a.exception_, b.exception_);
    std::swap(a.note_, b.note_);
    std::swap(a.skipped_, b.skipped_);
  }

  /// True if this is a failure.
  explicit operator bool() const noexcept { return code_.value() != 0 || exception_ != nullptr; }

  /// The code: the one given; of an exception, a `std::system_error`'s own, else
  /// `errc::exception`; of an error of a type of its own, `errc::failed`. Zero for success.
  ///
  /// Cost: for an exception that did not come from a task, a rethrow.
  [[nodiscard]] ERRGROUP_API std::error_code code() const noexcept;

  /// The exception: the one thrown; of a code, a `std::system_error`; of an error of a type of
  /// its own, a `bad_result` of it. Null for success.
  [[nodiscard]] ERRGROUP_API std::exception_ptr exception() const;

  /// The exception's `what()` or the code's `message()`, after the name of the task and of its
  /// group where they have one: `job/decode frame 17: No such file or directory`. Empty for
  /// success.
  [[nodiscard]] ERRGROUP_API std::string message() const;

  /// Throws `exception()` if this is a failure, else returns.
  ERRGROUP_API void raise() const;

  /// The `E` that a task threw or returned (in a `std::expected<T, E>`), or null if this is
  /// something else. For `std::error_code`, the code if a code was returned. The pointer is
  /// valid as long as this object, or a copy of it, lives.
  ///
  /// Cost: a rethrow.
  template <class E>
  [[nodiscard]] E const* get_if() const noexcept {
    if constexpr (std::is_same_v<E, std::error_code>) {
      if (exception_ == nullptr && code_.value() != 0) {
        return &code_;
      }
    }
    if (exception_ != nullptr) {
      try {
        std::rethrow_exception(exception_);
      } catch (bad_result<E> const& e) {
        return &e.value();
      } catch (E const& e) {
        return &e;
      } catch (...) {
        return nullptr;
      }
    }
    return nullptr;
  }

  /// How many tasks never ran: accepted and then skipped, or refused by `run` because the group
  /// had been stopped. Counted by `wait`, at the moment it returned.
  [[nodiscard]] std::size_t skipped() const noexcept { return skipped_; }

  /// The stack of the place that threw what a task threw, the innermost call first. Empty unless
  /// the program is linked with `errgroup::stacktrace`, and for what was not thrown.
  ///
  /// Cost: reads the program's debug information, milliseconds at the first call.
  [[nodiscard]] ERRGROUP_API std::vector<stack_frame> stack() const;

  /// Equal if both are success, the same code, or the same exception object.
  friend bool operator==(error const& a, error const& b) noexcept {
    return a.exception_ == b.exception_ && (a.exception_ != nullptr || a.code_ == b.code_);
  }
  friend bool operator==(error const& a, std::error_code const& b) noexcept {
    return a.code() == b;
  }
  friend bool operator==(error const& a, std::error_condition const& b) noexcept {
    return a.code() == b;
  }
  template <class E>
    requires std::is_error_code_enum_v<E>
  friend bool operator==(error const& a, E b) noexcept {
    return a.code() == std::error_code(b);
  }
  template <class E>
    requires std::is_error_condition_enum_v<E>
  friend bool operator==(error const& a, E b) noexcept {
    return a.code() == std::error_condition(b);
  }

  /// Writes `message()`, or "success".
  ERRGROUP_API friend std::ostream& operator<<(std::ostream& out, error const& e);

 private:
  friend struct detail::error_access;

  ERRGROUP_API void share_note() const noexcept;
  ERRGROUP_API void drop_note() noexcept;

  std::error_code code_;
  std::exception_ptr exception_;
  detail::error_note* note_ = nullptr;  // who failed; shared by copies
  std::size_t skipped_ = 0;
};

inline error::error(error const& other) noexcept
    : code_(other.code_),
      exception_(other.exception_),
      note_(other.note_),
      skipped_(other.skipped_) {
  if (note_ != nullptr) {
    share_note();
  }
}

/// `errc::canceled` if what the caller runs in was cancelled; success otherwise, and outside of
/// any task.
///
/// oneTBB's algorithms give up quietly when the task they run in is cancelled: a
/// `parallel_reduce` then returns a wrong number without a word. Called right after one, `check`
/// turns that into the error it is:
///
///     double sum = tbb::parallel_reduce(…);
///     if (auto err = errgroup::check()) return err;
///
/// Threads: any. Cost: a few loads.
[[nodiscard]] ERRGROUP_API error check() noexcept;

namespace detail {

/// The library's own way into an `error`.
struct error_access {
  /// An exception whose code is known, or chosen.
  static error make(std::error_code code, std::exception_ptr exception) noexcept {
    error e(std::move(exception));
    e.code_ = code;
    return e;
  }

  static void set_skipped(error& e, std::size_t n) noexcept { e.skipped_ = n; }

  /// Puts `group/task` in front of the message. Keeps the error as it is if there is no memory
  /// for that: a failure without its name is better than no failure.
  ERRGROUP_API static void set_origin(error& e, std::string_view group,
                                      std::string_view task) noexcept;
};

}  // namespace detail
}  // namespace errgroup

#endif  // ERRGROUP_ERROR_HPP
