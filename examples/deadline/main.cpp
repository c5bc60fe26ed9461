// deadline: searches the files of some trees for a text, and answers with what it has found when
// its time is over.

#include "../support/time_option.hpp"
#include "../treesum/file_descriptor.hpp"
#include <errgroup/errgroup.hpp>

#include <CLI/CLI.hpp>
#include <fcntl.h>            // open
#include <oneapi/tbb/info.h>  // default_concurrency
#include <unistd.h>           // read

#include <algorithm>     // max, min, sort
#include <array>         // array
#include <atomic>        // atomic
#include <cerrno>        // errno
#include <chrono>        // nanoseconds
#include <cstddef>       // size_t
#include <cstdint>       // uint64_t
#include <exception>     // exception
#include <filesystem>    // directory_iterator, status
#include <iomanip>       // setw
#include <iostream>      // cerr, cout
#include <limits>        // numeric_limits
#include <mutex>         // mutex, scoped_lock
#include <optional>      // optional
#include <span>          // span
#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // error_code, generic_category
#include <utility>       // move
#include <vector>        // vector

namespace deadline {
namespace {

namespace fs = std::filesystem;

struct arguments {
  std::string text;
  std::vector<std::string> paths;
  std::optional<std::chrono::nanoseconds> within;
  int jobs = tbb::info::default_concurrency();
  std::size_t best = 10;
};

/// Counts a text in a file that comes block by block, also where it lies in two of them.
class counter {
 public:
  explicit counter(std::string_view text) : text_(text) {}

  void add(std::string_view block) {
    rest_.append(block);
    std::size_t end = 0;
    for (std::size_t at = 0; (at = rest_.find(text_, end)) != std::string::npos;) {
      ++matches_;
      end = at + text_.size();
    }
    // Another match may have begun in what is left.
    rest_.erase(0, std::max(end, rest_.size() - std::min(rest_.size(), text_.size() - 1)));
  }

  [[nodiscard]] std::uint64_t matches() const noexcept { return matches_; }

 private:
  std::string_view text_;
  std::string rest_;
  std::uint64_t matches_ = 0;
};

struct found {
  std::string path;
  std::uint64_t matches;
  bool is_all;  // the file was searched to its end
};

/// A search in trees. Each file and each directory is a task whose name is its path, so that
/// whatever is not searched in time has been counted: by the group, as skipped.
class search {
 public:
  explicit search(arguments const& args)
      : text_(args.text),
        group_({.limit = args.jobs,
                .policy = errgroup::on_error::keep_going,  // what cannot be read ends nothing
                .errors = errgroup::keep::all,
                .timeout = args.within}) {}

  /// A link is followed here, and left out below, where it could lead in a circle.
  void add_tree(std::string const& root) {
    group_.run(root, [this, root] {
      std::error_code ec;
      fs::file_type const type = fs::status(root, ec).type();
      if (ec) {
        return ec;
      }
      return type == fs::file_type::directory ? list(root) : read(root);
    });
  }

  /// The end of the search, or of its time. What failed; `deadline_exceeded` may be among it.
  [[nodiscard]] errgroup::error finish() { return group_.wait(); }

  /// The best first, equal ones by their names.
  [[nodiscard]] std::vector<found> ranked() {
    std::sort(found_.begin(), found_.end(), [](found const& a, found const& b) {
      return a.matches != b.matches ? a.matches > b.matches : a.path < b.path;
    });
    return std::move(found_);
  }

  [[nodiscard]] std::uint64_t searched() const noexcept { return searched_; }
  /// Files and directories in whose middle time was over.
  [[nodiscard]] std::uint64_t cut() const noexcept { return cut_; }

 private:
  std::error_code list(std::string const& directory) {
    std::error_code ec;
    for (fs::directory_iterator it(directory, ec), end; !ec && it != end; it.increment(ec)) {
      if (group_.is_canceling()) {
        ++cut_;
        break;
      }
      fs::file_type const type = it->symlink_status(ec).type();
      std::string const path = it->path().native();
      if (ec) {
        group_.run(path, [ec] { return ec; });
        ec.clear();
      } else if (type == fs::file_type::directory) {
        group_.run(path, [this, path] { return list(path); });
      } else if (type == fs::file_type::regular) {
        group_.run(path, [this, path] { return read(path); });
      }
    }
    return ec;
  }

  std::error_code read(std::string const& path) {
    treesum::file_descriptor const file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
      return {errno, std::generic_category()};
    }
    counter matches(text_);
    std::array<char, 65536> block;  // NOLINT(*-member-init): it is read into
    ::ssize_t size = 0;
    while (!group_.is_canceling() && (size = ::read(file.get(), block.data(), block.size())) > 0) {
      matches.add({block.data(), static_cast<std::size_t>(size)});
    }
    if (size < 0) {
      return {errno, std::generic_category()};
    }
    bool const is_all = size == 0 && !group_.is_canceling();
    ++(is_all ? searched_ : cut_);
    if (matches.matches() != 0) {
      std::scoped_lock const held(lock_);
      found_.push_back({path, matches.matches(), is_all});
    }
    return {};
  }

  std::string text_;
  std::atomic<std::uint64_t> searched_ = 0;
  std::atomic<std::uint64_t> cut_ = 0;
  std::mutex lock_;
  std::vector<found> found_;
  errgroup::group group_;  // the last member: its tasks use the others
};

std::string number_of(std::uint64_t n, std::string const& what) {
  return std::to_string(n) + ' ' + what + (n == 1 ? "" : "s");
}

/// Tells what could not be read; how much that was.
std::size_t tell_failures(errgroup::error const& err) {
  std::size_t failures = err.dropped();
  for (errgroup::error const& each : err.all()) {
    if (each != errgroup::errc::deadline_exceeded) {
      std::cerr << "deadline: " << each.origin().name << ": " << each.what() << '\n';
      ++failures;
    }
  }
  return failures;
}

int run(arguments const& args) {
  search work(args);
  for (std::string const& path : args.paths) {
    work.add_tree(path);
  }
  errgroup::error const err = work.finish();

  std::size_t const failures = tell_failures(err);
  std::vector<found> const answer = work.ranked();
  for (found const& each : std::span(answer).first(std::min(answer.size(), args.best))) {
    std::cout << std::setw(8) << each.matches << (each.is_all ? "  " : "+ ") << each.path << '\n';
  }
  std::cout.flush();
  std::cerr << "deadline: " << number_of(work.searched(), "file") << " searched, "
            << number_of(answer.size(), "file") << " with matches\n";
  // The time may also have been over when everything was done.
  bool const is_complete = work.cut() == 0 && err.skipped() == 0;
  if (!is_complete) {
    std::cerr << "deadline: incomplete: time was over in " << work.cut() << " and before "
              << err.skipped() << " more files and directories\n";
  }
  if (!std::cout || failures != 0) {
    return 2;
  }
  return !is_complete ? 3 : answer.empty() ? 1 : 0;
}

}  // namespace
}  // namespace deadline

int main(int argc, char** argv) {
  deadline::arguments args;
  CLI::App app(
      "Searches each PATH, and each file below those that are directories, for TEXT. Lists the\n"
      "files with the most matches; those that it has found when time is over.",
      "deadline");
  app.add_option("TEXT", args.text, "What to search for")
      ->required()
      ->check([](std::string const& text) { return text.empty() ? "is empty" : ""; });
  app.add_option("PATH", args.paths, "Files, and directories with all files below them")
      ->required();
  add_time_option(app, "-w,--within", args.within, "How much time there is: 50ms, 2s");
  app.add_option("-j,--jobs", args.jobs, "How many files to work on at once")
      ->check(CLI::Range(1, std::numeric_limits<int>::max()).description(""))
      ->capture_default_str();
  app.add_option("-b,--best", args.best, "How many files to list at most")->capture_default_str();
  app.footer(
      "Exit status: 0 something was found, 1 nothing was, 2 wrong usage or a file that could not\n"
      "be read, 3 time was over before all was searched.");
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    return deadline::run(args);
  } catch (std::exception const& e) {
    std::cerr << "deadline: " << e.what() << '\n';
    return 2;
  }
}
