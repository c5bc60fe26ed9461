#include "count.hpp"

#include "../treesum/file_descriptor.hpp"
#include "../treesum/path_error.hpp"

#include <fcntl.h>      // open
#include <sys/types.h>  // ssize_t
#include <unistd.h>     // read

#include <array>         // array
#include <cstddef>       // size_t
#include <filesystem>    // directory_iterator, status
#include <iterator>      // make_move_iterator
#include <string_view>   // string_view
#include <system_error>  // errc, error_code
#include <utility>       // move, swap

namespace wordcount {
namespace {

namespace fs = std::filesystem;

/// The character as it is counted; 0 for what is in no word.
char in_word(char c) noexcept {
  if (c >= 'A' && c <= 'Z') {
    return static_cast<char>(c - 'A' + 'a');
  }
  bool const belongs = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  return belongs || static_cast<unsigned char>(c) >= 0x80 ? c : '\0';
}

/// Adds the words of a text that comes block by block, also those that lie in two of them.
class word_counter {
 public:
  explicit word_counter(counts& to) noexcept : to_(to) {}
  word_counter(word_counter const&) = delete;
  word_counter& operator=(word_counter const&) = delete;

  void add(std::string_view block) {
    for (char const c : block) {
      if (char const letter = in_word(c)) {
        word_ += letter;
        continue;
      }
      to_.lines += c == '\n' ? 1U : 0U;
      end_word();
    }
  }

  void end_word() {
    if (!word_.empty()) {
      ++to_.words[word_];
      word_.clear();
    }
  }

 private:
  counts& to_;
  std::string word_;
};

}  // namespace

void add_file(counts& to, std::string const& path) {
  treesum::file_descriptor const file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    throw treesum::path_error(path, treesum::last_error());
  }
  word_counter words(to);
  std::array<char, 65536> block;  // NOLINT(*-member-init): it is read into
  for (bool is_first = true;; is_first = false) {
    ::ssize_t const size = ::read(file.get(), block.data(), block.size());
    if (size < 0) {
      throw treesum::path_error(path, treesum::last_error());
    }
    std::string_view const text(block.data(), static_cast<std::size_t>(size));
    if (is_first && text.find('\0') != std::string_view::npos) {
      ++to.others;
      return;
    }
    if (size == 0) {
      words.end_word();
      ++to.files;
      return;
    }
    words.add(text);
  }
}

counts merge(counts left, counts right) {
  if (left.words.size() < right.words.size()) {
    std::swap(left, right);
  }
  for (auto const& [word, count] : right.words) {
    left.words[word] += count;
  }
  left.lines += right.lines;
  left.files += right.files;
  left.others += right.others;
  left.problems.insert(left.problems.end(), std::make_move_iterator(right.problems.begin()),
                       std::make_move_iterator(right.problems.end()));
  return left;
}

listing list(std::string const& path) {
  listing found;
  std::error_code ec;
  fs::file_type const type = fs::status(path, ec).type();
  if (type == fs::file_type::regular) {
    found.files.push_back(path);
    return found;
  }
  if (!ec && type != fs::file_type::directory) {
    throw treesum::path_error(path, "is neither a file nor a folder");
  }
  for (fs::directory_iterator it(path, ec), end; !ec && it != end; it.increment(ec)) {
    fs::file_type const of_entry = it->symlink_status(ec).type();
    if (of_entry == fs::file_type::directory) {
      found.folders.push_back(it->path().native());
    } else if (of_entry == fs::file_type::regular) {
      found.files.push_back(it->path().native());
    }
  }
  if (ec) {
    throw treesum::path_error(path, ec);
  }
  return found;
}

}  // namespace wordcount
