// treesum: SHA-256 sums of whole trees, in parallel, as sha256sum writes them.

#include "../support/paths_among.hpp"
#include "checksum_list.hpp"
#include "interrupt.hpp"
#include "line_reader.hpp"
#include "ordered_jobs.hpp"
#include "path_error.hpp"
#include "progress.hpp"
#include "tree_walk.hpp"
#include <errgroup/trace.hpp>

#include <CLI/CLI.hpp>
#include <fcntl.h>            // fcntl, open
#include <oneapi/tbb/info.h>  // default_concurrency
#include <unistd.h>           // STDIN_FILENO, ...

#include <cstdio>         // fprintf, printf
#include <exception>      // exception
#include <iostream>       // cout
#include <limits>         // numeric_limits
#include <optional>       // optional
#include <string>         // string
#include <unordered_set>  // unordered_set
#include <vector>         // vector

namespace treesum {
namespace {

constexpr int exit_usage = 2;

struct arguments {
  ordered_jobs::settings how = {.jobs = tbb::info::default_concurrency(), .keep_going = false};
  bool follow_links = false;
  std::string list;   // with --check
  std::string trace;  // with --trace
  std::vector<std::string> paths;
};

/// Calls `file(path)` for each file of the trees, and tells `work` the files and directories that
/// cannot be read.
template <class File>
void for_each_file(arguments const& args, std::optional<file_id> left_out, ordered_jobs& work,
                   File file) {
  for (std::string const& root : args.paths) {
    if (root == "-") {  // to sha256sum, in a list too, this is standard input
      work.add_problem({root, "standard input is no tree; a file of this name is ./-"});
      continue;
    }
    tree_walk walk(root, args.follow_links, left_out);
    while (!work.stopped()) {
      try {
        auto path = walk.next();
        if (!path) {
          break;
        }
        file(*std::move(path));
      } catch (path_error const& problem) {
        work.add_problem(problem);
      }
    }
  }
}

/// Writes the sum of each file.
void sum_trees(arguments const& args, ordered_jobs& work) {
  for_each_file(args, regular_file_id(STDOUT_FILENO), work, [&](std::string path) {
    std::string const name = path;
    work.add(name, [path = std::move(path)](file_hasher& hasher, std::stop_token const& stop) {
      auto const sum = hasher.sum(path, stop);
      return sum ? list_line(*sum, path) : std::string();
    });
  });
}

/// Compares each file in the list with its sum there, and then each file of the trees with the
/// list. Lines that are empty or begin with a `#` are comments, as to sha256sum.
void check_list(arguments const& args, interrupt const& interrupted, ordered_jobs& work) {
  line_reader list(args.list, interrupted);
  std::unordered_set<std::string> listed;  // filled only if there are trees
  bool anything = false;
  while (!work.stopped()) {
    auto const line = list.next();
    if (!line) {
      break;
    }
    if (line->empty() || line->starts_with('#')) {
      continue;
    }
    anything = true;
    auto entry = parse_list_line(*line);
    if (!entry) {
      work.add_problem(
          {list.path(), "line " + std::to_string(list.number()) + " is not a line of sha256sum's"});
      continue;
    }
    if (!args.paths.empty()) {
      listed.insert(entry->path);
    }
    std::string const name = entry->path;
    work.add(name, [entry = *std::move(entry)](file_hasher& hasher, std::stop_token const& stop) {
      auto const sum = hasher.sum(entry.path, stop);
      if (sum && *sum != entry.sum) {
        throw path_error(entry.path, "differs from the list");
      }
      return std::string();
    });
  }
  if (!anything && !work.stopped()) {
    work.add_problem({list.path(), "there is no checksum in it"});
  }
  for_each_file(args, regular_file_id(list.fd()), work, [&](std::string const& path) {
    if (!listed.contains(path)) {
      work.add_problem({path, "is not in the list"});
    }
  });
}

/// "3 files, all as listed", in words and by exit status.
int tell_success(progress& done) {
  bool written = false;
  done.aside([&] {
    written = std::printf("%s, all as listed\n", number_of_files(done.files()).c_str()) >= 0 &&
              std::fflush(stdout) == 0;
  });
  if (!written) {
    done.say(path_error("standard output", last_error()).what());
  }
  return written ? 0 : 1;
}

int run(arguments const& args) {
  std::optional<errgroup::trace> recording;  // its destructor writes the file
  if (!args.trace.empty()) {
    recording.emplace(args.trace);
  }
  interrupt const interrupted;
  progress done;
  ordered_jobs work(args.how, interrupted, done);
  if (args.list.empty()) {
    sum_trees(args, work);
    return work.finish();
  }
  try {
    check_list(args, interrupted, work);
  } catch (path_error const& problem) {  // the list itself cannot be read
    work.add_problem(problem);
  }
  int const status = work.finish();
  return status == 0 ? tell_success(done) : status;
}

/// Sees to it that no file opened here becomes standard input, output or error because the caller
/// closed those: what is then written to them fails, or is lost, as it should be.
void hold_standard_streams() {
  for (int const fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) == -1) {
      (void)::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);  // the lowest: fd
    }
  }
}

/// The arguments, or the status with which to exit at once.
std::optional<int> parse(int argc, char** argv, arguments& args) {
  CLI::App app(
      "Writes the SHA-256 sum of each PATH, and of each file below those that are directories, in\n"
      "the format and for the use of sha256sum --check. Files are summed up in parallel and\n"
      "written in the same order every time.",
      "treesum PATH...");
  app.allow_extras();
  app.add_option("-j,--jobs", args.how.jobs, "How many files to work on, and hold open, at once")
      ->check(CLI::Range(1, std::numeric_limits<int>::max()).description(""))
      ->option_text("N (default: " + std::to_string(args.how.jobs) + ")");
  app.add_flag("-k,--keep-going", args.how.keep_going,
               "Tell every problem, rather than stop at the first");
  auto const* const list =
      app.add_option("-c,--check", args.list,
                     "Compare the files in the list FILE (-: standard input) with their\n"
                     "sums there. What is below a PATH has to be in it")
          ->option_text("FILE");
  app.add_flag("-L,--follow", args.follow_links,
               "Follow links below a PATH; without this they are left out");
  auto const* const trace =
      app.add_option("--trace", args.trace,
                     "Write a timeline of the work to FILE, for https://ui.perfetto.dev")
          ->option_text("FILE");
  app.footer(
      "Exit status: 0 all is well, 1 a file cannot be read or differs, 2 wrong usage, 130 "
      "interrupted.");
  try {
    app.parse(argc, argv);
    args.paths = paths_among(app.remaining());
    if (list->count() == 0 && args.paths.empty()) {
      throw CLI::RequiredError("PATH");
    }
    if (list->count() != 0 && args.list.empty()) {
      throw CLI::ValidationError("--check", "the name of the list is empty");
    }
    if (trace->count() != 0 && args.trace.empty()) {
      throw CLI::ValidationError("--trace", "the name of the file is empty");
    }
  } catch (CLI::CallForHelp const&) {
    std::cout << app.help();
    return 0;
  } catch (CLI::ParseError const& wrong) {
    std::fprintf(stderr, "treesum: %s (treesum --help tells more)\n",
                 printable(wrong.what()).c_str());
    return exit_usage;
  }
  return std::nullopt;
}

}  // namespace
}  // namespace treesum

int main(int argc, char** argv) {
  treesum::hold_standard_streams();
  treesum::arguments args;
  if (auto const status = treesum::parse(argc, argv, args)) {
    return *status;
  }
  try {
    return treesum::run(args);
  } catch (std::exception const& problem) {
    std::fprintf(stderr, "treesum: %s\n", problem.what());
    return 1;
  }
}
