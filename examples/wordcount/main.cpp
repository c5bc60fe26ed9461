// wordcount: counts the words of all text files below some folders, and lists the most frequent.
//
//     $ wordcount --best 3 /usr/include
//       800005  typename
//       786646  type
//       644376  const
//     wordcount: 24499 files, 314598 different words, 6380775 lines
//
// A file or folder that cannot be read is an error, and ends everything; with --keep-going it is
// told, and left out:
//
//     $ wordcount --keep-going notes nowhere
//     wordcount: nowhere: No such file or directory
//
// With --progress it shows how many files it has counted, five times a second, on one line:
//
//     $ wordcount --progress /usr/include >words
//     10,412 of 24,499 (42 %), 5,206/s, 3 s left

#include "../treesum/path_error.hpp"
#include "count.hpp"
#include <errgroup/errgroup.hpp>

#include <CLI/CLI.hpp>
#include <oneapi/tbb/info.h>  // default_concurrency

#include <algorithm>    // min, partial_sort, sort
#include <cstddef>      // ptrdiff_t, size_t
#include <cstdint>      // uint64_t
#include <exception>    // exception
#include <iomanip>      // setw
#include <iostream>     // cerr, cout
#include <iterator>     // make_move_iterator
#include <limits>       // numeric_limits
#include <optional>     // optional
#include <sstream>      // ostringstream
#include <string>       // string, to_string
#include <string_view>  // string_view
#include <utility>      // move, pair
#include <vector>       // vector

namespace wordcount {
namespace {

struct arguments {
  std::vector<std::string> paths;
  int jobs = tbb::info::default_concurrency();
  std::size_t best = 10;
  bool keeps_going = false;
  bool shows_progress = false;
};

/// Rewrites one line on standard error; the final one stays.
void show(errgroup::progress_view const& done) {
  std::ostringstream line;  // so that it is written at once
  line << '\r' << std::left << std::setw(60) << done << (done.is_final ? "\n" : "");
  std::cerr << line.str();
}

template <class T>
void append(std::vector<T>& to, std::vector<T>&& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

class counting {
 public:
  explicit counting(arguments const& args)
      : keeps_going_(args.keeps_going),
        shows_progress_(args.shows_progress),
        options_({.limit = args.jobs}) {}

  /// The files of some trees, one level of folders after the other. (What cannot be read is in
  /// `problems` if it is kept going.)
  [[nodiscard]] errgroup::result<listing> files_below(std::vector<std::string> folders) const {
    listing all;
    while (!folders.empty()) {
      auto level = errgroup::transform(options_, folders, [this](std::string const& path) {
        listing found;
        attempt([&] { found = list(path); }, found);
        return found;
      });
      if (!level) {
        return level.error();
      }
      folders.clear();
      for (listing& each : *level) {
        append(all.files, std::move(each.files));
        append(all.problems, std::move(each.problems));
        append(folders, std::move(each.folders));
      }
    }
    return all;
  }

  /// Each thread counts on its own; what two have counted is put together when both are there.
  [[nodiscard]] errgroup::result<counts> words_in(std::vector<std::string> const& files) const {
    std::optional<errgroup::progress> progress;
    errgroup::options opts = options_;
    if (shows_progress_) {
      opts.progress = &progress.emplace(files.size(), show);  // its destructor shows the last line
    }
    return errgroup::reduce(
        opts, files, counts(),
        [this](counts so_far, std::string const& path) {
          attempt([&] { add_file(so_far, path); }, so_far);
          return so_far;
        },
        merge);
  }

 private:
  /// What is thrown here is the error of the whole. (No sum is given then, which would lack
  /// something.)
  template <class F, class Sum>
  void attempt(F const& f, Sum& sum) const {
    try {
      f();
    } catch (treesum::path_error const& e) {
      if (!keeps_going_) {
        throw;
      }
      sum.problems.emplace_back(e.what());
    }
  }

  bool keeps_going_;
  bool shows_progress_;
  errgroup::options options_;
};

std::string number_of(std::uint64_t n, std::string const& what) {
  return std::to_string(n) + ' ' + what + (n == 1 ? "" : "s");
}

void tell(counts const& found, std::size_t best) {
  using entry = std::pair<std::string_view, std::uint64_t>;
  std::vector<entry> words(found.words.begin(), found.words.end());
  auto const end = words.begin() + static_cast<std::ptrdiff_t>(std::min(best, words.size()));
  std::partial_sort(words.begin(), end, words.end(), [](entry const& a, entry const& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  for (auto it = words.begin(); it != end; ++it) {
    std::cout << std::setw(8) << it->second << "  " << it->first << '\n';
  }
  std::cout.flush();
  std::cerr << "wordcount: " << number_of(found.files, "file") << ", "
            << number_of(words.size(), "different word") << ", " << number_of(found.lines, "line");
  if (found.others != 0) {
    std::cerr << "; " << number_of(found.others, "file") << (found.others == 1 ? " is" : " are")
              << " no text";
  }
  std::cerr << '\n';
}

int run(arguments const& args) {
  counting const it(args);
  auto files = it.files_below(args.paths);
  auto const found = files.and_then([&it](listing const& l) { return it.words_in(l.files); });
  if (!found) {
    std::cerr << "wordcount: " << found.error().what() << '\n';
    return 2;
  }
  std::vector<std::string> problems = std::move(files->problems);
  problems.insert(problems.end(), found->problems.begin(), found->problems.end());
  std::sort(problems.begin(), problems.end());
  for (std::string const& problem : problems) {
    std::cerr << "wordcount: " << problem << '\n';
  }
  tell(*found, args.best);
  return !std::cout || !problems.empty() ? 2 : found->words.empty() ? 1 : 0;
}

}  // namespace
}  // namespace wordcount

int main(int argc, char** argv) {
  wordcount::arguments args;
  CLI::App app(
      "Counts the words of each PATH, and of each text file below those that are folders. Lists\n"
      "the most frequent.",
      "wordcount");
  app.add_option("PATH", args.paths, "Files, and folders with all files below them")->required();
  app.add_option("-b,--best", args.best, "How many words to list at most")->capture_default_str();
  app.add_option("-j,--jobs", args.jobs, "How many files to work on at once")
      ->check(CLI::Range(1, std::numeric_limits<int>::max()).description(""))
      ->capture_default_str();
  app.add_flag("-k,--keep-going", args.keeps_going,
               "Tell of what cannot be read, and count the rest");
  app.add_flag("-p,--progress", args.shows_progress, "Show on standard error how far it has come");
  app.footer(
      "Exit status: 0 there are words, 1 there is none, 2 wrong usage or something could not be\n"
      "read.");
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    return wordcount::run(args);
  } catch (std::exception const& e) {
    std::cerr << "wordcount: " << e.what() << '\n';
    return 2;
  }
}
