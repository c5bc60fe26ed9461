// all_errors: validates every file of some trees, and lists every failure.

#include "validate.hpp"
#include <errgroup/errgroup.hpp>

#include <CLI/CLI.hpp>
#include <oneapi/tbb/info.h>  // default_concurrency

#include <algorithm>     // sort
#include <cstddef>       // size_t
#include <cstdint>       // uint64_t
#include <exception>     // exception
#include <filesystem>    // directory_iterator, status
#include <iostream>      // cerr, cout
#include <limits>        // numeric_limits
#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // error_code, generic_category
#include <vector>        // vector

namespace all_errors {
namespace {

namespace fs = std::filesystem;

struct arguments {
  int jobs = tbb::info::default_concurrency();
  std::size_t max_errors = 100;
  std::vector<std::string> paths;
};

/// Walks trees, and has the files in them validated meanwhile. What fails, the walk itself
/// included, is an error of the group, of a task whose name is the path.
class validation {
 public:
  explicit validation(arguments const& args)
      : group_({.limit = args.jobs,
                .queue = 4096,  // then the walk works, too: so many paths are in memory
                .policy = errgroup::on_error::keep_going,
                .errors = errgroup::keep::all,
                .max_errors = args.max_errors}) {}

  /// A link is followed here, and left out below, where it could lead in a circle.
  void add_tree(std::string const& root) {
    std::error_code ec;
    fs::file_type const type = fs::status(root, ec).type();
    if (!ec && type != fs::file_type::directory && type != fs::file_type::regular) {
      ec = std::make_error_code(std::errc::not_supported);
    }
    if (ec) {
      add_failure(root, ec);
    } else {
      add(root, type);
    }
  }

  /// All that failed: the first, which has the others.
  [[nodiscard]] errgroup::error finish() { return group_.wait(); }

  [[nodiscard]] std::uint64_t files() const noexcept { return files_; }
  [[nodiscard]] std::uint64_t unknown() const noexcept { return unknown_; }

 private:
  void add(std::string const& path, fs::file_type type) {
    if (type == fs::file_type::directory) {
      add_directory(path);
    } else if (type == fs::file_type::regular) {
      add_file(path);
    }
  }

  // Calls itself no deeper than paths can be: the system knows none of more than 4096 bytes.
  void add_directory(std::string const& path) {
    std::vector<fs::directory_entry> entries;
    std::error_code ec;
    fs::directory_iterator it(path, ec);
    while (!ec && it != fs::directory_iterator()) {
      entries.push_back(*it);
      it.increment(ec);
    }
    if (ec) {
      add_failure(path, ec);
    }
    std::sort(entries.begin(), entries.end());
    for (fs::directory_entry const& entry : entries) {
      fs::file_type const type = entry.symlink_status(ec).type();
      if (ec) {
        add_failure(entry.path().native(), ec);
      } else {
        add(entry.path().native(), type);
      }
    }
  }

  void add_file(std::string const& path) {
    validator const valid = validator_for(path);
    if (valid == nullptr) {
      ++unknown_;
      return;
    }
    ++files_;
    group_.run(path, [path, valid] { return validate(path, valid); });
  }

  void add_failure(std::string const& path, std::error_code ec) {
    group_.run(path, [ec] { return ec; });
  }

  std::uint64_t files_ = 0;
  std::uint64_t unknown_ = 0;
  errgroup::group group_;
};

/// Without the control characters that would make two lines of one, or talk to the terminal.
std::string one_line(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string line;
  for (char const c : text) {
    auto const byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      line.append("\\x").append({digits[byte >> 4U], digits[byte & 0xfU]});
    } else {
      line += c;
    }
  }
  return line;
}

std::string number_of(std::uint64_t n, std::string const& what) {
  return std::to_string(n) + ' ' + what + (n == 1 ? "" : "s");
}

/// A line for each failure, in the order of the walk: that is what the index of a task says.
void list(errgroup::error const& err) {
  for (errgroup::error const& failure : err.by_index()) {
    std::cout << one_line(failure.origin().name) << ": " << one_line(failure.what()) << '\n';
  }
}

int run(arguments const& args) {
  validation work(args);
  for (std::string const& path : args.paths) {
    work.add_tree(path);
  }
  errgroup::error const err = work.finish();
  list(err);
  std::cout.flush();
  std::uint64_t const failures = err.all().size() + err.dropped();
  std::cerr << "all_errors: " << number_of(work.files(), "file") << " validated, "
            << number_of(work.unknown(), "file") << " of unknown kind, "
            << number_of(failures, "failure");
  if (err.dropped() != 0) {
    std::cerr << ", " << err.dropped() << " of them not listed (see --max-errors)";
  }
  std::cerr << '\n';
  return err || !std::cout ? 1 : 0;
}

}  // namespace
}  // namespace all_errors

int main(int argc, char** argv) {
  all_errors::arguments args;
  CLI::App app(
      "Validates each PATH, and each file below those that are directories, by what its name "
      "says:\n"
      "JSON, gzip, UTF-8 text. Lists every failure, not only the first.",
      "all_errors");
  app.add_option("PATH", args.paths, "Files, and directories with all files below them")
      ->required();
  app.add_option("-j,--jobs", args.jobs, "How many files to work on at once")
      ->check(CLI::Range(1, std::numeric_limits<int>::max()).description(""))
      ->capture_default_str();
  app.add_option("-m,--max-errors", args.max_errors, "How many failures to list at most")
      ->check(CLI::Range(std::size_t{1}, std::numeric_limits<std::size_t>::max()).description(""))
      ->capture_default_str();
  app.footer("Exit status: 0 every file is valid, 1 there are failures, 2 wrong usage.");
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    return all_errors::run(args);
  } catch (std::exception const& e) {
    std::cerr << "all_errors: " << e.what() << '\n';
    return 1;
  }
}
