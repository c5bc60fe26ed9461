// SPDX-License-Identifier: Apache-2.0
#include "packing.hpp"

#include "places.hpp"
#include <errgroup/mpi/error.hpp>

#include <algorithm>     // min
#include <cstdint>       // uint64_t, uint8_t
#include <cstring>       // memcpy
#include <future>        // future_category
#include <ios>           // iostream_category
#include <map>           // map
#include <memory>        // make_unique, unique_ptr
#include <mutex>         // mutex, scoped_lock
#include <new>           // bad_alloc
#include <optional>      // optional
#include <sstream>       // ostringstream
#include <system_error>  // error_category, error_code, error_condition, generic_category
#include <utility>       // move, pair
#include <vector>        // vector

// Errors on their way from rank to rank. The bytes of an error:
//
//     version, number of failures, dropped, echoes, then for each failure:
//     category, value, condition, message of the code, words, contexts, origin, attempts, stack,
//     and the name and bytes of its own type, if it has `error_traits`
//
// All ranks run the same program on machines of the same kind, as MPI programs do: numbers are
// copied as they are.

namespace errgroup::inline v1::mpi::detail {
namespace {

constexpr std::uint8_t version = 1;

// The longest texts: together less than `most_bytes`.
constexpr std::size_t longest_words = std::size_t{12} << 10U;
constexpr std::size_t longest_stack = std::size_t{12} << 10U;
constexpr std::size_t longest_value = std::size_t{16} << 10U;
constexpr std::size_t longest_text = std::size_t{2} << 10U;

// --- numbers and texts as bytes
// --------------------------------------------------------------------

void put(std::string& to, std::uint64_t n) {
  char bytes[sizeof n];
  std::memcpy(bytes, &n, sizeof n);
  to.append(bytes, sizeof n);
}

void put(std::string& to, std::string_view text, std::size_t most) {
  text = text.substr(0, most);
  put(to, text.size());
  to.append(text);
}

/// Reads what `put` has written. After bytes that are too few, everything is empty.
class reader {
 public:
  explicit reader(std::string_view bytes) noexcept : rest_(bytes) {}

  std::uint64_t number() noexcept {
    std::uint64_t n = 0;
    if (rest_.size() < sizeof n) {
      fail();
    } else {
      std::memcpy(&n, rest_.data(), sizeof n);
      rest_.remove_prefix(sizeof n);
    }
    return n;
  }
  std::string_view text() noexcept {
    std::uint64_t const size = number();
    if (size > rest_.size()) {
      fail();
      return {};
    }
    std::string_view const t = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return t;
  }
  [[nodiscard]] bool has_failed() const noexcept { return has_failed_; }

 private:
  void fail() noexcept {
    has_failed_ = true;
    rest_ = {};
  }

  std::string_view rest_;
  bool has_failed_ = false;
};

// --- categories
// --------------------------------------------------------------------------------------

/// A category of another rank that this rank knows only by name.
class remote_category final : public std::error_category {
 public:
  explicit remote_category(std::string name) : name_(std::move(name)) {}

  [[nodiscard]] char const* name() const noexcept override { return name_.c_str(); }
  [[nodiscard]] std::string message(int value) const override {
    std::scoped_lock const held(lock_);
    auto const found = known_.find(value);
    return found == known_.end() ? "error " + std::to_string(value) : found->second.message;
  }
  [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override {
    std::scoped_lock const held(lock_);
    auto const found = known_.find(value);
    if (found == known_.end() || found->second.condition == 0) {
      return {value, *this};
    }
    return {found->second.condition, std::generic_category()};
  }

  /// Keeps the message of a code, and the value of its generic condition or 0.
  void learn(int value, std::string_view message, int condition) {
    std::scoped_lock const held(lock_);
    known_.try_emplace(value, meaning{std::string(message), condition});
  }

 private:
  struct meaning {
    std::string message;
    int condition;
  };

  std::string name_;
  mutable std::mutex lock_;
  std::map<int, meaning> known_;
};

std::error_category const* known_category(std::string_view name) noexcept {
  for (auto const* const category :
       {&std::generic_category(), &std::system_category(), &errgroup::error_category(),
        &mpi::error_category(), &mpi::mpi_category(), &std::iostream_category(),
        &std::future_category()}) {
    if (name == category->name()) {
      return category;
    }
  }
  return nullptr;
}

std::error_code code_of(std::string_view category, int value, std::string_view message,
                        int condition) {
  if (auto const* const known = known_category(category)) {
    return {value, *known};
  }
  // Never destroyed: codes refer to the categories until the process ends.
  static auto& lock = *new std::mutex;
  static auto& categories =
      *new std::map<std::string, std::unique_ptr<remote_category>, std::less<>>;
  remote_category* mine = nullptr;
  {
    std::scoped_lock const held(lock);
    auto found = categories.find(category);
    if (found == categories.end()) {
      std::string name(category);
      auto made = std::make_unique<remote_category>(name);
      found = categories.emplace(std::move(name), std::move(made)).first;
    }
    mine = found->second.get();
  }
  mine->learn(value, message, condition);
  return {value, *mine};
}

int condition_of(std::error_code code) noexcept {
  std::error_condition const condition = code.default_error_condition();
  return condition.category() == std::generic_category() ? condition.value() : 0;
}

// --- types of the program
// ----------------------------------------------------------------------------

struct carriers {
  std::mutex lock;
  std::vector<carrier> list;

  static carriers& get() {
    static auto& all = *new carriers;
    return all;
  }
  std::optional<carrier> find(std::string_view name) {
    std::scoped_lock const held(lock);
    for (carrier const& c : list) {
      if (c.name == name) {
        return c;
      }
    }
    return std::nullopt;
  }
};

struct packed_value {
  std::string_view type;
  std::string bytes;
  bool is_thrown = false;
};

packed_value value_of(error const& alone) {
  std::vector<carrier> list;
  {
    carriers& all = carriers::get();
    std::scoped_lock const held(all.lock);
    list = all.list;
  }
  for (carrier const& c : list) {
    packed_value value;
    try {
      if (c.pack(alone, value.bytes, value.is_thrown) && value.bytes.size() <= longest_value) {
        value.type = c.name;
        return value;
      }
    } catch (...) {
      // `pack` has thrown: the error goes as a `remote_error`.
    }
  }
  return {};
}

// --- failures
// ----------------------------------------------------------------------------------------

/// The contexts of an error, and its words without them.
struct parts {
  std::string_view outer;
  std::string_view inner;
  std::string words;
};

parts parts_of(error const& e) {
  parts p;
  p.words = e.what();
  if (errgroup::detail::error_note const* const note = errgroup::detail::error_access::note_of(e)) {
    p.outer = note->one->outer_context;
    p.inner = note->one->inner_context;
  }
  for (std::string_view const context : {p.outer, p.inner}) {
    if (!context.empty()) {
      p.words.erase(0, context.size() + 2);  // the context and ": "
    }
  }
  return p;
}

std::string stack_of(error const& e) {
  std::ostringstream text;
  for (stack_frame const& frame : e.stack()) {
    text << frame << '\n';
  }
  return std::move(text).str();
}

std::string pack_one(error const& e) {
  std::error_code const code = e.code();
  parts const p = parts_of(e);
  task_origin const& from = e.origin();
  packed_value const value = value_of(e);
  std::string to;
  put(to, code.category().name(), longest_text);
  put(to, static_cast<std::uint64_t>(code.value()));
  put(to, static_cast<std::uint64_t>(condition_of(code)));
  put(to, code.message(), longest_text);
  put(to, p.words, longest_words);
  put(to, p.outer, longest_text);
  put(to, p.inner, longest_text);
  put(to, from.name, longest_text);
  put(to, from.path, longest_text);
  put(to, from.index);
  put(to, from.is_item ? 1U : 0U);
  put(to, from.where.line() != 0 ? from.where.file_name() : "", longest_text);
  put(to, from.where.line() != 0 ? from.where.function_name() : "", longest_text);
  put(to, from.where.line());
  put(to, from.where.column());
  put(to, e.attempts());
  put(to, stack_of(e), longest_stack);
  put(to, value.type, longest_text);
  put(to, value.is_thrown ? 1U : 0U);
  put(to, value.bytes, longest_value);
  return to;
}

std::string with_rank(int rank, std::string_view path) {
  std::string text = "rank " + std::to_string(rank);
  if (!path.empty()) {
    text.append("/").append(path);
  }
  return text;
}

struct contents {
  std::error_code code;
  std::exception_ptr exception;
  task_origin origin;
  std::string outer;
  std::string inner;
  std::size_t attempts = 0;
};

error assemble(contents&& c) {
  errgroup::detail::note_ptr const note(new errgroup::detail::error_note);
  note->exception = c.exception;
  note->origin = std::move(c.origin);
  note->outer_context = std::move(c.outer);
  note->inner_context = std::move(c.inner);
  note->attempts = c.attempts;
  error e = errgroup::detail::error_access::make(c.code, c.exception);
  errgroup::detail::error_access::share_note(e, *note.get());
  return e;
}

std::exception_ptr exception_of(std::string_view type, std::string_view bytes, bool is_thrown,
                                std::error_code code) {
  if (type.empty()) {
    return nullptr;
  }
  auto const c = carriers::get().find(type);
  if (!c) {
    return nullptr;
  }
  try {
    return c->unpack(bytes, is_thrown, code);
  } catch (...) {
    return nullptr;  // the error arrives as a `remote_error`
  }
}

error unpack_one(reader& from, int rank) {
  contents c;
  std::string_view const category = from.text();
  int const value = static_cast<int>(from.number());
  int const condition = static_cast<int>(from.number());
  c.code = code_of(category, value, from.text(), condition);
  std::string words(from.text());
  c.outer = from.text();
  c.inner = from.text();
  c.origin.name = from.text();
  std::string_view const path = from.text();
  c.origin.path = with_rank(rank, path.empty() ? c.origin.name : path);
  c.origin.index = from.number();
  c.origin.is_item = from.number() != 0;
  std::string_view const file = from.text();
  std::string_view const function = from.text();
  auto const line = static_cast<std::uint_least32_t>(from.number());
  auto const column = static_cast<std::uint_least32_t>(from.number());
  c.origin.where = place_of(file, function, line, column);
  c.attempts = from.number();
  std::string stack(from.text());
  std::string_view const type = from.text();
  bool const is_thrown = from.number() != 0;
  std::string_view const bytes = from.text();
  if (from.has_failed()) {
    return {};
  }
  if (!c.code) {
    c.code = errgroup::errc::failed;
  }
  c.exception = exception_of(type, bytes, is_thrown, c.code);
  if (c.exception == nullptr) {
    c.exception =
        std::make_exception_ptr(remote_error(c.code, rank, std::move(words), std::move(stack)));
  }
  return assemble(std::move(c));
}

}  // namespace

void add_carrier(carrier const& c) {
  carriers& all = carriers::get();
  std::scoped_lock const held(all.lock);
  for (carrier& known : all.list) {
    if (known.name == c.name) {
      known = c;
      return;
    }
  }
  all.list.push_back(c);
}

std::string pack(error const& e) {
  constexpr std::size_t head = 4 * sizeof(std::uint64_t);
  std::string failures;
  std::size_t count = 0;
  std::size_t dropped = e.dropped();
  for (error const& one : e.all()) {
    std::string const bytes = pack_one(one);
    if (head + failures.size() + bytes.size() <= most_bytes) {
      failures += bytes;
      ++count;
    } else {
      ++dropped;
    }
  }
  std::string to;
  put(to, version);
  put(to, count);
  put(to, dropped);
  put(to, e.echoes());
  return to += failures;
}

error unpack(std::string_view bytes, int rank) {
  reader from(bytes);
  bool const is_known = from.number() == version;
  std::size_t const count = is_known ? from.number() : 0;
  std::size_t const dropped = from.number();
  std::size_t const echoes = from.number();
  std::vector<error> list;
  while (list.size() < count && !from.has_failed()) {
    if (error e = unpack_one(from, rank)) {
      list.push_back(std::move(e));
    }
  }
  if (list.empty()) {
    contents c;
    c.code = errgroup::errc::failed;
    c.origin.path = with_rank(rank, "");
    c.exception = std::make_exception_ptr(remote_error(
        c.code, rank, "the rank has failed with an error that this rank cannot read", ""));
    return assemble(std::move(c));
  }
  error all = combine(list);
  errgroup::detail::error_access::set_others(all, all.others().size(), dropped, echoes);
  return all;
}

error on_rank(error const& e, int rank) {
  std::vector<error> list;
  for (error const& one : e.all()) {
    contents c;
    parts p = parts_of(one);
    c.exception = errgroup::detail::error_access::thrown(one);
    c.code = one.code();
    c.origin = one.origin();
    c.origin.path = with_rank(rank, c.origin.path.empty() ? c.origin.name : c.origin.path);
    c.outer = p.outer;
    c.inner = p.inner;
    c.attempts = one.attempts();
    list.push_back(assemble(std::move(c)));
  }
  error all = combine(list);
  errgroup::detail::error_access::set_others(all, all.others().size(), e.dropped(), e.echoes());
  errgroup::detail::error_access::set_skipped(all, e.skipped());
  return all;
}

}  // namespace errgroup::inline v1::mpi::detail
