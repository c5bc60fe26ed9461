#include <errgroup/error.hpp>

#include <atomic>   // atomic
#include <new>      // nothrow
#include <ostream>  // ostream

namespace errgroup {
namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] char const* name() const noexcept override { return "errgroup"; }

  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<errc>(value)) {
      case errc::canceled:
        return "the group was cancelled";
      case errc::deadline_exceeded:
        return "the group's deadline passed";
      case errc::would_deadlock:
        return "a group was waited for from inside one of its own tasks";
      case errc::exception:
        return "a task threw an exception";
      case errc::failed:
        return "a task failed";
    }
    return "unknown errgroup error";
  }

  [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override {
    switch (static_cast<errc>(value)) {
      case errc::canceled:
        return std::errc::operation_canceled;
      case errc::deadline_exceeded:
        return std::errc::timed_out;
      case errc::would_deadlock:
        return std::errc::resource_deadlock_would_occur;
      case errc::exception:
      case errc::failed:
        break;
    }
    return {value, *this};
  }
};

// The only way to look at an exception is to throw it again.
std::error_code code_of(std::exception_ptr const& exception) noexcept {
  try {
    std::rethrow_exception(exception);
  } catch (std::system_error const& e) {
    // A system_error may carry a zero code; it was thrown all the same.
    return e.code() ? e.code() : make_error_code(errc::exception);
  } catch (...) {
    return errc::exception;
  }
}

}  // namespace

std::error_category const& error_category() noexcept {
  static constinit category const instance;
  return instance;
}

namespace detail {

struct error_note {
  std::atomic<std::size_t> references{1};
  std::string origin;
};

void error_access::set_origin(error& e, std::string_view group, std::string_view task) noexcept {
  if (e.note_ != nullptr || (group.empty() && task.empty())) {
    return;  // the innermost origin stays
  }
  auto* note = new (std::nothrow) error_note;
  if (note == nullptr) {
    return;
  }
  try {
    note->origin.reserve(group.size() + 1 + task.size());
    note->origin.append(group);
    if (!group.empty() && !task.empty()) {
      note->origin.push_back('/');
    }
    note->origin.append(task);
    e.note_ = note;
  } catch (...) {
    delete note;
  }
}

}  // namespace detail

void error::share_note() const noexcept {
  note_->references.fetch_add(1, std::memory_order_relaxed);
}

void error::drop_note() noexcept {
  // acq_rel: the last one to let go deletes what the others have read.
  if (note_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    delete note_;
  }
  note_ = nullptr;
}

std::error_code error::code() const noexcept {
  return exception_ == nullptr ? code_ : code_.value() != 0 ? code_ : code_of(exception_);
}

std::exception_ptr error::exception() const {
  if (exception_ != nullptr) {
    return exception_;
  }
  return code_.value() == 0 ? nullptr : std::make_exception_ptr(std::system_error(code_));
}

std::string error::message() const {
  std::string text;
  if (note_ != nullptr) {
    text = note_->origin + ": ";
  }
  if (exception_ != nullptr) {
    try {
      std::rethrow_exception(exception_);
    } catch (std::exception const& e) {
      text += e.what();
    } catch (...) {
      text += "a task threw something that is not a std::exception";
    }
  } else if (code_.value() != 0) {
    text += code_.message();
  }
  return text;
}

std::vector<stack_frame> error::stack() const {
  detail::stack_reader const read = detail::read_stack.load(std::memory_order_acquire);
  return read != nullptr && exception_ != nullptr ? read(exception_)
                                                  : std::vector<stack_frame>();
}

void error::raise() const {
  if (*this) {
    std::rethrow_exception(exception());
  }
}

std::ostream& operator<<(std::ostream& out, error const& e) {
  return e ? out << e.message() : out << "success";
}

}  // namespace errgroup
