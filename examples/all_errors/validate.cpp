#include "validate.hpp"

#include <fcntl.h>  // open
#include <nlohmann/json.hpp>
#include <unistd.h>  // close, read
#include <zlib.h>    // inflate

#include <algorithm>  // min
#include <cerrno>     // EINTR, errno
#include <cstddef>    // size_t
#include <cstdint>    // uint64_t
#include <cstdio>     // sscanf
#include <istream>    // istream
#include <memory>     // make_unique_for_overwrite, unique_ptr
#include <new>        // bad_alloc
#include <span>       // span
#include <streambuf>  // streambuf
#include <utility>    // pair

namespace all_errors {

namespace {

constexpr std::size_t block_size = 64 * 1024;

std::error_code last_error() { return {errno, std::generic_category()}; }

std::string line_and_column(std::uint64_t line, std::uint64_t column) {
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

}  // namespace

/// A file, block by block.
class input {
 public:
  // Not to wait if the file has been replaced by a pipe.
  explicit input(std::string const& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)) {}
  input(input const&) = delete;
  input& operator=(input const&) = delete;
  ~input() {
    if (is_open()) {
      ::close(fd_);
    }
  }

  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }

  /// The next bytes, valid until the next call; none at the end. Throws `std::system_error`.
  [[nodiscard]] std::span<unsigned char> next() {
    ssize_t got = 0;
    do {
      got = ::read(fd_, block_.get(), block_size);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
      throw std::system_error(last_error());
    }
    return {block_.get(), static_cast<std::size_t>(got)};
  }

 private:
  int fd_;
  std::unique_ptr<unsigned char[]> block_ =
      std::make_unique_for_overwrite<unsigned char[]>(block_size);
};

namespace {

// --- UTF-8 text ---

void validate_text(input& file) {
  std::uint64_t line = 1;
  std::uint64_t column = 0;
  int to_come = 0;  // bytes of a character, the next one of which is within these bounds
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  auto const check = [&](bool ok, char const* what) {
    if (!ok) {
      throw invalid(what, line_and_column(line, column));
    }
  };
  for (auto block = file.next(); !block.empty(); block = file.next()) {
    for (unsigned char const byte : block) {
      if (to_come != 0) {
        check(low <= byte && byte <= high, "not UTF-8");
        --to_come;
        low = 0x80;
        high = 0xbf;
        continue;
      }
      ++column;
      if (byte < 0x80) {
        check(byte != 0, "a NUL in a text");
        if (byte == '\n') {
          ++line;
          column = 0;
        }
        continue;
      }
      check(0xc2 <= byte && byte <= 0xf4, "not UTF-8");
      to_come = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
      // No longer than it has to be, no half of a pair, not beyond the last character there is.
      low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
      high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    }
  }
  check(to_come == 0, "ends in the middle of a character");
}

// --- JSON ---

// The parser keeps what it read since the last word, for its messages: memory goes by the longest
// word or gap, not by the file.

/// What the parser reads: a file as a stream that throws if it cannot be read.
class stream_of : public std::streambuf {
 public:
  explicit stream_of(input& file) : file_(file) {}

 private:
  int_type underflow() override {
    auto const block = file_.next();
    auto* const begin = reinterpret_cast<char*>(block.data());
    setg(begin, begin, begin + block.size());
    return block.empty() ? traits_type::eof() : traits_type::to_int_type(*begin);
  }

  input& file_;
};

/// Builds nothing of what the parser finds.
class json_events : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool /*value*/) override { return true; }
  bool number_integer(number_integer_t /*value*/) override { return true; }
  bool number_unsigned(number_unsigned_t /*value*/) override { return true; }
  bool number_float(number_float_t /*value*/, string_t const& /*text*/) override { return true; }
  bool string(string_t& /*value*/) override { return true; }
  bool binary(binary_t& /*value*/) override { return true; }
  bool start_object(std::size_t /*size*/) override { return true; }
  bool key(string_t& /*value*/) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t /*size*/) override { return true; }
  bool end_array() override { return true; }

  /// "[json.exception.parse_error.101] parse error at line 1, column 2: what; last read: '…'"
  bool parse_error(std::size_t position, std::string const& /*last_token*/,
                   nlohmann::json::exception const& e) override {
    std::string what = e.what();
    std::string where = "byte " + std::to_string(position);
    what.erase(0, what.find("] ") + 2);
    unsigned long long line = 0;
    unsigned long long column = 0;
    int length = 0;
    if (std::sscanf(what.c_str(), "parse error at line %llu, column %llu: %n", &line, &column,
                    &length) == 2 &&
        length != 0) {
      what.erase(0, static_cast<std::size_t>(length));
      where = line_and_column(line, column);
    }
    what.erase(std::min({what.size(), what.find("; last read"), std::size_t{200}}));
    throw invalid(what, where);
  }
};

void validate_json(input& file) {
  stream_of buffer(file);
  std::istream stream(&buffer);
  json_events events;
  (void)nlohmann::json::sax_parse(stream, &events);  // false never comes back: it throws
}

// --- gzip ---

void validate_gzip(input& file) {
  ::z_stream z{};
  if (::inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) {  // 16: gzip and nothing else
    throw std::bad_alloc();
  }
  auto const end = [](::z_stream* s) { ::inflateEnd(s); };
  std::unique_ptr<::z_stream, decltype(end)> const ended_by(&z, end);
  auto const out = std::make_unique_for_overwrite<unsigned char[]>(block_size);

  std::uint64_t read = 0;
  bool complete = false;  // up to here
  for (auto block = file.next(); !block.empty(); block = file.next()) {
    read += block.size();
    z.next_in = block.data();
    z.avail_in = static_cast<unsigned>(block.size());
    do {
      if (complete) {
        ::inflateReset(&z);  // one more file in the same, as `cat` makes them
      }
      z.next_out = out.get();
      z.avail_out = block_size;
      int const result = ::inflate(&z, Z_NO_FLUSH);
      complete = result == Z_STREAM_END;
      if (!complete && result != Z_OK && result != Z_BUF_ERROR) {
        throw invalid(z.msg != nullptr ? z.msg : ::zError(result),
                      "byte " + std::to_string(read - z.avail_in));
      }
    } while (z.avail_in != 0 || (z.avail_out == 0 && !complete));
  }
  if (!complete) {
    throw invalid("unexpected end", "byte " + std::to_string(read));
  }
}

constexpr std::pair<std::string_view, validator> validators[] = {
    {".json", validate_json}, {".gz", validate_gzip},   {".tgz", validate_gzip},
    {".txt", validate_text},  {".md", validate_text},   {".rst", validate_text},
    {".c", validate_text},    {".cc", validate_text},   {".cpp", validate_text},
    {".h", validate_text},    {".hpp", validate_text},  {".cmake", validate_text},
    {".py", validate_text},   {".sh", validate_text},   {".js", validate_text},
    {".css", validate_text},  {".html", validate_text}, {".xml", validate_text},
    {".csv", validate_text},  {".toml", validate_text}, {".yml", validate_text},
};

}  // namespace

validator validator_for(std::string_view name) noexcept {
  for (auto const& [suffix, valid] : validators) {
    if (name.ends_with(suffix)) {
      return valid;
    }
  }
  return nullptr;
}

std::error_code validate(std::string const& path, validator valid) {
  input file(path);
  if (!file.is_open()) {
    return last_error();
  }
  valid(file);
  return {};
}

}  // namespace all_errors
