// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_ERROR_HPP
#define ERRGROUP_ERROR_HPP

#include <errgroup/detail/export.hpp>
#include <errgroup/detail/forced_unwind.hpp>
#include <errgroup/stack.hpp>

#include <atomic>           // atomic
#include <cstddef>          // nullptr_t, size_t
#include <exception>        // exception, exception_ptr
#include <iosfwd>           // ostream
#include <memory>           // make_shared, shared_ptr
#include <source_location>  // source_location
#include <span>             // span
#include <string>           // string
#include <string_view>      // string_view
#include <system_error>     // error_code, error_condition, is_error_code_enum
#include <type_traits>      // conditional_t, is_invocable_r_v, is_pointer_v, is_same_v, true_type
#include <utility>          // exchange, move, swap
#include <vector>           // vector
#include <version>          // __cpp_lib_format
#if defined(__cpp_lib_format)
#include <format>  // formatter
#endif

namespace errgroup::inline v1 {

/// The errors of a group itself. A `std::error_code` enum with a category of its own.
///
/// As conditions: `canceled == std::errc::operation_canceled`, `deadline_exceeded ==
/// std::errc::timed_out`, `would_deadlock == std::errc::resource_deadlock_would_occur`.
enum class errc {
  canceled = 1,       ///< the group, or the task or algorithm around it, was cancelled
  deadline_exceeded,  ///< the group's time was up
  would_deadlock,     ///< a task waited for its own group
  exception,          ///< a task threw an exception without a `std::error_code` of its own
  failed,             ///< a task failed with an error of a type of its own
  stop_repeating,     ///< asks `group::run_every` to end; no failure there
  too_few,            ///< fewer tasks succeeded or agreed than the caller asked for
  no_more,            ///< ends the input of an `errgroup::pipeline`; no failure there
};

/// A task of `group::run_every` returns this code to end: `return errgroup::stop_repeating;`.
inline constexpr errc stop_repeating = errc::stop_repeating;

/// A stage of a pipeline returns this code to end the input: `return errgroup::no_more;`.
inline constexpr errc no_more = errc::no_more;

/// The category of `errc`; its name is "errgroup".
[[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::error_category const& error_category() noexcept;

/// The `std::error_code` of `e`, in `error_category`.
[[ERRGROUP_NODISCARD_ANSWER]] inline std::error_code make_error_code(errc e) noexcept {
  return {static_cast<int>(e), error_category()};
}

}  // namespace errgroup::inline v1

template <>
struct std::is_error_code_enum<errgroup::errc> : std::true_type {};

namespace errgroup::inline v1 {

namespace detail {

/// The text of an error of a type of its own: the error itself if it is a string, its `what()` or
/// its `message()`. Otherwise the text of its code.
template <class E>
std::string words_of(E const& e, std::error_code code) {
  std::string words;
  if constexpr (std::is_pointer_v<E> && std::is_convertible_v<E const&, std::string_view>) {
    words = e != nullptr ? std::string_view(e) : std::string_view();
  } else if constexpr (std::is_convertible_v<E const&, std::string_view> &&
                       !std::is_same_v<E, std::nullptr_t>) {
    words = std::string_view(e);
  } else if constexpr (requires { std::string(e.what()); }) {
    if constexpr (std::is_convertible_v<decltype(e.what()), char const*>) {
      char const* const text = e.what();
      words = text != nullptr ? text : "";
    } else {
      words = std::string(e.what());
    }
  } else if constexpr (requires { std::string(e.message()); }) {
    words = std::string(e.message());
  }
  if (words.empty()) {
    words = code == errc::failed ? "a task returned an error of a type of its own" : code.message();
  }
  return words;
}

}  // namespace detail

/// The exception that `error::exception()` holds for an error of a type of its own. It keeps the
/// value whole: the `E` of a `std::expected<T, E>`, or the argument of `make_error`.
///
/// `what()` is the text of the value: the value itself if it is a string, its `what()` or its
/// `message()`. If there is no such text, or it is empty, `what()` is the text of the code. Copies
/// do not throw.
template <class E>
class bad_result : public std::system_error {
 public:
  /// Throws exceptions of moving `value` and of its `what()` or `message()`; `std::bad_alloc`.
  explicit bad_result(E value, std::error_code code = errc::failed)
      : std::system_error(code), kept_(std::make_shared<kept>(std::move(value), code)) {}

  /// The text of the value, see above. Valid as long as this exception, or a copy of it, lives.
  [[ERRGROUP_NODISCARD_ANSWER]] char const* what() const noexcept override {
    return kept_->words.c_str();
  }
  /// The value. Valid as long as this exception, or a copy of it, lives.
  [[ERRGROUP_NODISCARD_ANSWER]] E const& value() const noexcept { return kept_->value; }

 private:
  struct kept {
    kept(E v, std::error_code code) : value(std::move(v)), words(detail::words_of(value, code)) {}

    E const value;
    std::string const words;
  };

  std::shared_ptr<kept const> kept_;  // exceptions are copied, but E may be move-only
};

/// No index; no bound.
inline constexpr std::size_t npos = static_cast<std::size_t>(-1);

/// The task from which an error came. A copy stands alone: it may outlive the error.
struct task_origin {
  /// The name of the task, or empty.
  std::string name = {};
  /// The number of tasks that the group had been given before, since it was made. `npos` for an
  /// error that no task has made. `npos` also for a task that was submitted by another task of the
  /// same group, if the group has no limit: counting such tasks would be dear, and their order is
  /// chance. (If several threads submit at the same moment and some of them are in a task, two
  /// tasks may get the same index.)
  std::size_t index = npos;
  /// The place of the call of `run`, or of another function to which the task was given. Line 0:
  /// unknown.
  std::source_location where = {};
  /// The names of the groups above, the outermost first, and of the task: "job/decode/frame 17".
  /// Groups without a name are left out. If a group was made in a raw oneTBB task or in the body of
  /// an algorithm, the path begins at that group.
  std::string path = {};
  /// True for an item of a pipeline: `index` is the number of the item, and `where` the place of
  /// the stage. Also true if the consumer of a stream failed: the number of the result, and the
  /// place of the stream.
  bool is_item = false;
};

class error;

namespace detail {

struct error_access;

/// For a static_assert in a template that must not be instantiated.
template <class>
inline constexpr bool never = false;

/// The state that the copies of an error share.
struct ERRGROUP_API error_note {
  error_note() = default;
  error_note(error_note const&) = delete;
  error_note& operator=(error_note const&) = delete;
  virtual ~error_note();

  void share() noexcept { references.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;

  std::atomic<std::size_t> references{1};
  error_note* one = this;      // of several errors: the note of the first
  error const* all = nullptr;  // of several errors: the list of them
  std::exception_ptr exception;
  task_origin origin;
  // The contexts of `error::with_context`: inner before the origin was known, outer afterwards.
  std::string inner_context;
  std::string outer_context;
  std::size_t attempts = 0;
};

/// A reference to a note.
class note_ptr {
 public:
  explicit note_ptr(error_note* note) noexcept : note_(note) {}
  note_ptr(note_ptr&& other) noexcept : note_(std::exchange(other.note_, nullptr)) {}
  note_ptr(note_ptr const&) = delete;
  note_ptr& operator=(note_ptr const&) = delete;
  note_ptr& operator=(note_ptr&&) = delete;
  ~note_ptr() {
    if (note_ != nullptr) {
      note_->release();
    }
  }

  [[nodiscard]] error_note* get() const noexcept { return note_; }
  [[nodiscard]] error_note* operator->() const noexcept { return note_; }

 private:
  error_note* note_;
};

/// Makes a note in advance, for a task with a name. Throws `std::bad_alloc`.
[[nodiscard]] ERRGROUP_API note_ptr make_note(std::string_view name, std::source_location where);

}  // namespace detail

/// Asks `error::message` for the stacks, too.
struct with_stack_t {
  /// Only `with_stack` is meant: empty braces are no `with_stack_t`.
  explicit with_stack_t() = default;
};
/// The argument for `error::message`: `err.message(errgroup::with_stack)`.
inline constexpr with_stack_t with_stack{};

/// The reason why a group, or a task, did not succeed. Empty means: every task ran, and succeeded.
///
/// Holds a `std::error_code` or an exception. An error of any other type is kept in a `bad_result`.
/// In addition, the error may have the task from which it came (`origin`), and, in a group with
/// `keep::all`, the other failures (`others`). See docs/errors.md.
///
/// An `error` is a value: copies share their contents, never throw, and cost a code and a reference
/// count. Distinct objects may be used from distinct threads even if they are copies of one
/// another.
///
///     if (auto err = g.wait()) {
///       std::cerr << err << '\n';
///     }
class [[ERRGROUP_NODISCARD_ERROR]] error {
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

  /// A copy shares its contents with `other`.
  error(error const& other) noexcept
      : code_(other.code_),
        exception_(other.exception_),
        note_(other.note_),
        skipped_(other.skipped_),
        others_(other.others_),
        dropped_(other.dropped_),
        echoes_(other.echoes_) {
    if (note_ != nullptr) {
      note_->share();
    }
  }
  /// `other` is success afterwards.
  error(error&& other) noexcept
      : code_(std::exchange(other.code_, {})),
        exception_(std::move(other.exception_)),
        note_(std::exchange(other.note_, nullptr)),
        skipped_(std::exchange(other.skipped_, 0)),
        others_(std::exchange(other.others_, 0)),
        dropped_(std::exchange(other.dropped_, 0)),
        echoes_(std::exchange(other.echoes_, 0)) {}
  /// Copies or moves, as the constructors do.
  error& operator=(error other) noexcept {
    swap(*this, other);
    return *this;
  }
  ~error() {
    if (note_ != nullptr) {
      note_->release();
    }
  }

  /// Exchanges the two errors.
  friend void swap(error& a, error& b) noexcept {
    std::swap(a.code_, b.code_);
    std::swap(a.exception_, b.exception_);
    std::swap(a.note_, b.note_);
    std::swap(a.skipped_, b.skipped_);
    std::swap(a.others_, b.others_);
    std::swap(a.dropped_, b.dropped_);
    std::swap(a.echoes_, b.echoes_);
  }

  /// True for a failure.
  explicit operator bool() const noexcept {
    return code_.value() != 0 || exception_ != nullptr || note_ != nullptr;
  }

  /// The code. For an exception, the code of a `std::system_error` or a thrown `std::error_code`,
  /// otherwise `errc::exception`. For an error of a type of its own, `errc::failed`, or the code
  /// that was given to `make_error`. Zero for success.
  ///
  /// Cost: for an exception that did not come from a task, a rethrow.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::error_code code() const noexcept;

  /// The exception that was thrown. For a code, a `std::system_error`; for an error of a type of
  /// its own, a `bad_result` with the error. Null for success.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::exception_ptr exception() const;

  /// The text of the failure: the exception's `what()` or the code's `message()`, behind the
  /// contexts of `with_context`, and without the origin. Empty for success.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::string what() const;

  /// `what()` with the origin around it, as far as the origin is known:
  ///
  ///     job/decode/frame 17: bad header (task 17, run at decoder.cpp:42)
  ///
  /// With `others()`, each failure has a line, and this failure has the first line. A last line
  /// tells how many more failures there were. Empty for success.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::string message() const;
  /// The same with the `stack()` below each failure, one call a line.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::string message(with_stack_t) const;

  /// This error, with `context` and ": " before its text.
  ///
  ///     errgroup::error publish(std::string const& name) {
  ///       return upload(name).with_context("publish " + name);  // publish x: disk is full
  ///     }
  ///
  /// A context that is added later stands in front: "release 7: publish x: disk is full". The
  /// context stands in `what()`, in `message()`, and in texts that are made of these: `<<`,
  /// `std::format`, the `what()` of an `exception_group`. If there are `others()`, each failure
  /// gets the context. The rest of the error stays as it is: `code()`, `==`, `get_if`, `origin()`,
  /// `stack()`, the counts, `attempts()`. `exception()` stays as it is, too: `raise()` throws the
  /// task's exception without the context.
  ///
  /// Success stays success. An empty context changes nothing.
  ///
  /// Throws: nothing. If there is no memory for the context, the error is returned without it: the
  ///     lack of memory must not take the place of the failure.
  /// Cost: on success, a copy. Even on success, the caller pays for the text, unless the argument
  ///     is a callable; see below.
  [[ERRGROUP_NODISCARD_COPY]] ERRGROUP_API error
  with_context(std::string_view context) const noexcept;
  /// The same with the text that `make()` returns. `make` is called for a failure only, so success
  /// does not pay for the text:
  ///
  ///     return upload(name).with_context([&] { return "publish " + name; });
  ///
  /// If `make` throws, the error is returned without a context.
  template <class F>
    requires std::is_invocable_r_v<std::string, F&>
  [[ERRGROUP_NODISCARD_COPY]] error with_context(F&& make) const noexcept {
    if (*this) {
      try {
        return with_context(std::string_view(std::string(make())));
      } catch (detail::forced_unwind const&) {
        detail::refuse_end_of_thread();
      } catch (...) {
        return *this;
      }
    }
    return *this;
  }

  /// Throws `exception()` for a failure; returns for success.
  ERRGROUP_API void raise() const;
  /// Throws an `exception_group` with this error and all others for a failure; returns for success.
  ERRGROUP_API void raise_all() const;

  /// The first `E` in `all()` that a task threw or returned (in a `std::expected<T, E>`), or null
  /// if there is none. For `std::error_code`, the code if a code was returned; an enum of error
  /// codes is kept as a code, too. A pointer is found only if it was returned. The result is valid
  /// as long as this object, or a copy of it, lives. If the result points to a code, it is valid
  /// only as long as this very object, unless there are `others()`.
  ///
  /// Cost: a rethrow for each exception that is examined.
  ///
  /// For a temporary error, the call does not compile: the pointer would dangle.
  template <class E>
  [[ERRGROUP_NODISCARD_ANSWER]] E const* get_if() const& noexcept {
    for (error const& one : all()) {
      if (E const* const found = one.get_one<E>()) {
        return found;
      }
    }
    return nullptr;
  }
  /// Does not compile: the pointer would dangle.
  template <class E>
  E const* get_if() const&& {
    static_assert(
        detail::never<E>,
        "errgroup: get_if() of a temporary error points to what is gone with it: keep the "
        "error first, `auto const err = g.wait();`, and ask `err.get_if<E>()`");
    return nullptr;
  }

  /// The first error in `all()` for which `pred(error const&)` is true, or null. Valid as long as
  /// `all()`. For a temporary error, the call does not compile either.
  template <class Pred>
  [[ERRGROUP_NODISCARD_ANSWER]] error const* find_if(Pred pred) const& {
    for (error const& one : all()) {
      if (pred(one)) {
        return &one;
      }
    }
    return nullptr;
  }
  /// Does not compile: the pointer would dangle.
  template <class Pred>
  error const* find_if(Pred /*unused*/) const&& {
    static_assert(detail::never<Pred>,
                  "errgroup: find_if() of a temporary error points to what is gone with it: keep "
                  "the error first, `auto const err = g.wait();`, and ask `err.find_if(...)`");
    return nullptr;
  }

  /// The task that failed, as far as the task is known. An error keeps the origin that it got
  /// first: if a task gets an error from an inner group and returns it, the origin is the task of
  /// the inner group.
  ///
  /// Valid as long as this object, or a copy of it, lives. For a temporary error the result is a
  /// copy, so `auto const& from = g.wait().origin();` is fine. Making the copy may throw
  /// `std::bad_alloc`.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API task_origin const& origin() const& noexcept;
  /// The same by value, for a temporary error.
  [[ERRGROUP_NODISCARD_ANSWER]] task_origin origin() const&& { return origin(); }

  /// With `keep::all`: the other failures, in the order in which they happened. Each is a single
  /// failure: an error that has others itself is listed together with its others. (In a group that
  /// keeps the first error only, this error keeps the others with which it came.) Valid as long as
  /// this object, or a copy of it, lives. For a temporary error, the call does not compile, as for
  /// `all()`.
  [[ERRGROUP_NODISCARD_ANSWER]] std::span<error const> others() const& noexcept {
    return others_ != 0 ? std::span(note_->all + 1, others_) : std::span<error const>();
  }
  /// Does not compile: the span would dangle.
  template <class Temporary = error>
  std::span<error const> others() const&& {
    static_assert(
        detail::never<Temporary>,
        "errgroup: others() of a temporary error refers to what is gone with it: keep the "
        "error first, `auto const err = g.wait();`, and go through `err.others()`");
    return {};
  }

  /// Every failure, each alone: this error, without its others and counts, and then its others.
  /// Empty for success.
  ///
  /// Valid as long as `others()`; if there are no others, as long as this very object. For a
  /// temporary error, the call does not compile: in C++20 the error of
  /// `for (auto& e : g.wait().all())` is gone before the loop begins.
  [[ERRGROUP_NODISCARD_ANSWER]] std::span<error const> all() const& noexcept {
    if (others_ != 0) {
      return {note_->all, others_ + 1};
    }
    return {this, *this ? 1U : 0U};
  }
  /// Does not compile: the span would dangle.
  template <class Temporary = error>
  std::span<error const> all() const&& {
    static_assert(detail::never<Temporary>,
                  "errgroup: all() of a temporary error refers to what is gone with it: keep the "
                  "error first, `auto const err = g.wait();`, and go through `err.all()`");
    return {};
  }

  /// As `all`, in the order of the tasks' indices (`origin().index`), whatever the order in which
  /// they failed. Failures without an index are last; failures with the same index keep their
  /// order. Empty for success. (The index of a failure of an inner group is that of the task
  /// there.)
  ///
  /// The result holds copies, so it may be called on a temporary error. Throws `std::bad_alloc`.
  /// Cost: a copy for each failure, and a sort.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::vector<error> by_index() const;

  /// With `keep::all`: the number of failures that are not among `others()`, because there were
  /// more than `options::max_errors`, or no memory.
  [[ERRGROUP_NODISCARD_ANSWER]] std::size_t dropped() const noexcept { return dropped_; }

  /// With `keep::all`: the number of tasks that only echoed the group's own cancellation. They
  /// failed after the cancellation with an error that is `std::errc::operation_canceled`, such as
  /// `errc::canceled`.
  [[ERRGROUP_NODISCARD_ANSWER]] std::size_t echoes() const noexcept { return echoes_; }

  /// The number of tasks that never ran: accepted and then skipped, or refused by `run` because the
  /// group had been stopped. Counted by `wait`, at the moment when it returned.
  [[ERRGROUP_NODISCARD_ANSWER]] std::size_t skipped() const noexcept { return skipped_; }

  /// The number of attempts after which `retry` gave up; 0 for an error that does not come from
  /// `retry`.
  [[ERRGROUP_NODISCARD_ANSWER]] ERRGROUP_API std::size_t attempts() const noexcept;

  /// The stack of the throw of a task's exception, the innermost call first. Empty unless the
  /// program is linked with `errgroup::stacktrace`, and for an error that was not thrown.
  ///
  /// Cost: reads the program's debug information, tens of milliseconds at the first call and a few
  /// at each later one. See docs/stacktrace.md.
  [[ERRGROUP_NODISCARD_ANSWER, gnu::always_inline]] std::vector<stack_frame> stack() const {
    std::vector<stack_frame> calls;
    read_stack(&detail::append_call<std::vector<stack_frame>>, &calls);
    return calls;
  }

  /// Equal if both are success, the same code, or the same exception object.
  friend bool operator==(error const& a, error const& b) noexcept {
    return a.thrown() == b.thrown() && (a.thrown() != nullptr || a.code_ == b.code_);
  }
  /// Equal if `code()` is `b`.
  friend bool operator==(error const& a, std::error_code const& b) noexcept {
    return a.code() == b;
  }
  /// Equal if `code()` matches the condition `b`, such as `std::errc::timed_out`.
  friend bool operator==(error const& a, std::error_condition const& b) noexcept {
    return a.code() == b;
  }
  /// Equal if `code()` is the code `b` of an enum of error codes.
  template <class E>
    requires std::is_error_code_enum_v<E>
  friend bool operator==(error const& a, E b) noexcept {
    return a.code() == std::error_code(b);
  }
  /// Equal if `code()` matches the condition `b` of an enum of conditions, such as `std::errc`.
  template <class E>
    requires std::is_error_condition_enum_v<E>
  friend bool operator==(error const& a, E b) noexcept {
    return a.code() == std::error_condition(b);
  }

  /// Writes `message()`, or "success".
  ERRGROUP_API friend std::ostream& operator<<(std::ostream& out, error const& e);

 private:
  friend struct detail::error_access;

  ERRGROUP_API void read_stack(detail::frame_sink sink, void* to) const;

  /// The exception, which is in the note if there is a note; null for a code.
  [[nodiscard]] std::exception_ptr const& thrown() const noexcept {
    return note_ != nullptr ? note_->one->exception : exception_;
  }

  // A handler's reference to a thrown pointer refers to the handler's own copy.
  struct uncatchable {};
  template <class E>
  using catchable = std::conditional_t<std::is_pointer_v<E>, uncatchable, E>;
  // An abstract type may be the base of a thrown type, but is never returned.
  struct unreturnable {};
  template <class E>
  using returned =
      typename std::conditional_t<std::is_abstract_v<E>, std::type_identity<unreturnable>,
                                  std::type_identity<bad_result<E>>>::type;

  template <class E>
  [[nodiscard]] E const* get_one() const noexcept {
    std::exception_ptr const& exception = thrown();
    if constexpr (std::is_same_v<E, std::error_code>) {
      if (exception == nullptr && code_.value() != 0) {
        return &code_;
      }
    }
    if (exception != nullptr) {
      try {
        std::rethrow_exception(exception);
      } catch (returned<E> const& e) {
        if constexpr (!std::is_abstract_v<E>) {
          return &e.value();
        }
      } catch (catchable<E> const& e) {
        if constexpr (!std::is_pointer_v<E>) {
          return &e;
        }
      } catch (...) {
        return nullptr;
      }
    }
    return nullptr;
  }

  std::error_code code_;
  std::exception_ptr exception_;        // only where there is no note to hold it
  detail::error_note* note_ = nullptr;  // shared by copies
  std::size_t skipped_ = 0;
  std::size_t others_ = 0;  // how many in the note are visible here
  std::size_t dropped_ = 0;
  std::size_t echoes_ = 0;
};

/// Makes an error of a text, or of a value of any other type. Its code is `code`.
///
///     if (free_blocks == 0) return errgroup::make_error("disk is full");
///
/// A text is kept as a `std::string`, and `what()` is the text. The text of a `char const*` or of a
/// `std::string_view` is copied, so the argument may be a temporary. `get_if<std::string>()` finds
/// the text.
///
/// A value of another type is kept whole: `get_if<E>()` returns the value, and `what()` is its text
/// (see `bad_result`). For `result_traits`:
///
///     static errgroup::error to_error(my::status&& s) {
///       std::error_code const code = s.code();
///       return errgroup::make_error(std::move(s), code);
///     }
///
/// Throws exceptions of moving `value`; `std::bad_alloc`. In a task such an exception becomes the
/// error.
template <class E>
[[ERRGROUP_NODISCARD_MADE]] error make_error(E value, std::error_code code = errc::failed);

/// Several failures as one error: the first failure, with the other failures as `error::others`.
/// Successes are left out; if no failure is left, returns success. Failures beyond `most` are
/// counted as `dropped`.
///
/// Throws: nothing; failures without memory are counted as dropped.
[[ERRGROUP_NODISCARD_MADE]] ERRGROUP_API error combine(std::span<error const> errors,
                                                       std::size_t most = npos) noexcept;

/// `errc::canceled` if the task or algorithm in which the caller runs was cancelled; success
/// otherwise, and outside of any task.
///
/// oneTBB's algorithms give up quietly when the task around them is cancelled: a `parallel_reduce`
/// then returns a wrong number without a word. A call of `check` right after the algorithm turns
/// such a number into an error:
///
///     double sum = tbb::parallel_reduce(…);
///     if (auto err = errgroup::check()) return err;
///
/// Threads: any. Cost: a few loads.
[[ERRGROUP_NODISCARD_CHECK]] ERRGROUP_API error check() noexcept;

namespace detail {

/// The library's own way into an `error`.
struct error_access {
  struct layout;  // for debuggers: layout.cpp

  /// An exception whose code is known, or chosen.
  static error make(std::error_code code, std::exception_ptr exception) noexcept {
    error e(std::move(exception));
    e.code_ = code;
    return e;
  }

  static void set_skipped(error& e, std::size_t n) noexcept { e.skipped_ = n; }
  static void set_others(error& e, std::size_t others, std::size_t dropped,
                         std::size_t echoes) noexcept {
    e.others_ = others;
    e.dropped_ = dropped;
    e.echoes_ = echoes;
  }

  static error_note* note_of(error const& e) noexcept { return e.note_; }
  static void read_stack(error const& e, frame_sink sink, void* to) { e.read_stack(sink, to); }
  static std::exception_ptr const& thrown(error const& e) noexcept { return e.thrown(); }
  /// Makes `e` share a note that has the exception of `e`.
  static void share_note(error& e, error_note& note) noexcept {
    note.share();
    if (e.note_ != nullptr) {
      e.note_->release();
    }
    e.note_ = &note;
    e.exception_ = nullptr;
  }
  /// The first of several errors, without the others.
  ERRGROUP_API static error alone(error const& e) noexcept;
  /// Without memory, `e` does not keep the number.
  ERRGROUP_API static void set_attempts(error& e, std::size_t n) noexcept;
  /// Gives `e` the name of its task, for a later call of `group_core::described`. An error that has
  /// an origin from a task further in keeps that origin. Without memory, `e` does not keep the
  /// name.
  static void set_name(error& e, std::string_view name) noexcept;
  /// Gives `e` a note, which takes the exception of `e`. `e` keeps its others.
  static void give_note(error& e, error_note& note) noexcept;
  /// The single failure `one` with one more context. Throws `std::bad_alloc`.
  static error in_context(error const& one, std::string_view context);
};

}  // namespace detail

namespace detail {

/// An error that keeps `value` as an `E`.
template <class E>
error make_whole(E value, std::error_code code = errc::failed) {
  if (!code) {
    code = errc::failed;
  }
  return error_access::make(code, std::make_exception_ptr(bad_result<E>(std::move(value), code)));
}

}  // namespace detail

template <class E>
error make_error(E value, std::error_code code) {
  if constexpr (std::is_same_v<E, char const*> || std::is_same_v<E, char*>) {
    return detail::make_whole(std::string(value != nullptr ? value : ""), code);
  } else if constexpr (std::is_same_v<E, std::string_view>) {
    return detail::make_whole(std::string(value), code);
  } else {
    return detail::make_whole(std::move(value), code);
  }
}

}  // namespace errgroup::inline v1

#if defined(__cpp_lib_format)
/// `message()`, or "success", with the format of a string: `std::format("{:>60}", err)`.
template <>
struct std::formatter<errgroup::error> : std::formatter<std::string_view> {
  template <class Context>
  auto format(errgroup::error const& e, Context& context) const {
    return std::formatter<std::string_view>::format(e ? e.message() : std::string("success"),
                                                    context);
  }
};
#endif

#endif  // ERRGROUP_ERROR_HPP
