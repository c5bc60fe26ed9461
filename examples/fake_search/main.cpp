// fake_search: the search engine of Rob Pike's talk "Go Concurrency Patterns" (2012). Its servers
// for the web, images and videos only sleep; they may fail, or hang.
//
//     $ fake_search --seed 4
//     1.0, one after another: Web 1, Image 1, Video 1 (178 ms)
//     2.0, all at once: Web 1, Image 1, Video 1 (96 ms)
//     2.1, in 80 ms at most: Web 1, Video 1 (80 ms)
//       no images: not in time
//     3.0, of 3 servers each, in 80 ms at most: Web 1, Image 2, Video 3 (42 ms)
//
// It prints which server answered for what. The same seed gives the same servers: server 1 of 1.0
// is server 1 of 3.0.

#include "../support/time_option.hpp"
#include <errgroup/errgroup.hpp>

#include <CLI/CLI.hpp>

#include <array>               // array
#include <chrono>              // duration, duration_cast, milliseconds, nanoseconds, steady_clock
#include <condition_variable>  // condition_variable_any
#include <cstddef>             // size_t
#include <cstdint>             // uint32_t
#include <exception>           // exception
#include <iostream>            // cerr, cout
#include <mutex>               // mutex, unique_lock
#include <random>              // mt19937, seed_seq, uniform_real_distribution
#include <stop_token>          // stop_token
#include <string>              // string, to_string
#include <system_error>        // errc
#include <tuple>               // apply
#include <utility>             // move
#include <vector>              // vector

namespace fake_search {
namespace {

struct arguments {
  std::vector<std::string> versions = {"1.0", "2.0", "2.1", "3.0"};
  int replicas = 3;
  std::chrono::nanoseconds timeout = std::chrono::milliseconds(80);
  std::chrono::nanoseconds most = std::chrono::milliseconds(100);
  double fails = 0;
  double hangs = 0;
  std::uint32_t seed = 0;
};

/// Sleeps, unless it is told to stop.
void sleep(std::chrono::nanoseconds time, std::stop_token const& stop) {
  std::mutex mutex;
  std::unique_lock held(mutex);
  std::condition_variable_any never;
  never.wait_for(held, stop, time, [] { return false; });
}

/// A server, to be called as a task: answers, after a while, with its name.
class server {
 public:
  server(std::string name, arguments const& args, std::mt19937 chance) : name_(std::move(name)) {
    std::uniform_real_distribution<> part(0, 1);
    takes_ = std::chrono::duration_cast<std::chrono::nanoseconds>(args.most * part(chance));
    fails_ = part(chance) < args.fails;
    if (part(chance) < args.hangs) {
      takes_ = std::chrono::hours(1);
    }
  }

  errgroup::result<std::string> operator()(std::stop_token const& stop) const {
    sleep(takes_, stop);
    if (stop.stop_requested()) {
      return errgroup::errc::canceled;  // nobody waits for an answer any more
    }
    if (fails_) {
      return errgroup::make_error(name_ + " is out of order");
    }
    return name_;
  }

 private:
  std::string name_;
  std::chrono::nanoseconds takes_;
  bool fails_;
};

/// The servers for one kind of things.
std::vector<server> servers(std::string const& kind, arguments const& args, std::uint32_t number) {
  std::vector<server> all;
  for (int i = 1; i <= args.replicas; ++i) {
    std::seed_seq numbers{args.seed, number, static_cast<std::uint32_t>(i)};
    all.emplace_back(kind + ' ' + std::to_string(i), args, std::mt19937(numbers));
  }
  return all;
}

using answer = errgroup::result<std::string>;
using answers = std::array<answer, 3>;

answers as_array(std::tuple<answer, answer, answer> found) {
  return std::apply([](auto&... each) { return answers{std::move(each)...}; }, found);
}

/// Asks all of these, and takes the first answer.
auto first_of(std::vector<server> const& replicas) {
  return [&replicas] {
    int const all = static_cast<int>(replicas.size());
    return errgroup::any({.limit = all, .blocking = true}, replicas);
  };
}

class google {
 public:
  explicit google(arguments const& args)
      : args_(args),
        web_(servers("Web", args, 0)),
        image_(servers("Image", args, 1)),
        video_(servers("Video", args, 2)) {}

  /// One after another, or all at once: what differs is a limit. All or nothing: the first failure
  /// ends the search.
  [[nodiscard]] answers search(errgroup::options const& opts) const {
    auto found = errgroup::all(opts, web_.front(), image_.front(), video_.front());
    if (!found) {
      return {found.error(), found.error(), found.error()};
    }
    auto& [web, image, video] = *found;
    return {std::move(web), std::move(image), std::move(video)};
  }
  [[nodiscard]] answers search_1_0() const { return search({.limit = 1}); }
  [[nodiscard]] answers search_2_0() const { return search({.limit = 3, .blocking = true}); }

  /// What there is when time is over.
  [[nodiscard]] answers search_2_1() const {
    return as_array(errgroup::all_settled(in_time(), web_.front(), image_.front(), video_.front()));
  }

  /// The same, of whichever server is the first to answer. The others are told to stop: by `any`,
  /// or, through it, by the end of the time.
  [[nodiscard]] answers search_3_0() const {
    return as_array(
        errgroup::all_settled(in_time(), first_of(web_), first_of(image_), first_of(video_)));
  }

 private:
  /// Each of the three sleeps on a thread of its own.
  [[nodiscard]] errgroup::options in_time() const {
    return {.limit = 3, .timeout = args_.timeout, .blocking = true};
  }

  arguments const& args_;
  std::vector<server> web_, image_, video_;
};

std::string in_ms(std::chrono::nanoseconds time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) +
         " ms";
}

/// Every failure in one line: of three servers that are out of order, each.
std::string reasons(errgroup::error const& err) {
  std::string all;
  for (errgroup::error const& each : err.all()) {
    // A server that was stopped says that it was; the time says that it is over.
    bool const is_late = each == std::errc::operation_canceled || each == std::errc::timed_out;
    all += (all.empty() ? "" : "; ") + (is_late ? "not in time" : each.what());
  }
  return all;
}

/// Runs one version, and tells what it found. True if that is everything.
template <class Search>
bool tell(std::string const& title, Search const& search) {
  auto const begin = std::chrono::steady_clock::now();
  answers const found = search();
  auto const time = std::chrono::steady_clock::now() - begin;
  std::array<char const*, 3> const kinds = {"web pages", "images", "videos"};
  std::string there;
  std::string missing;
  for (std::size_t i = 0; i != found.size(); ++i) {
    if (found[i]) {
      there += (there.empty() ? "" : ", ") + *found[i];
    } else {
      missing += std::string("  no ") + kinds[i] + ": " + reasons(found[i].error()) + '\n';
    }
  }
  std::cout << title << ": " << (there.empty() ? "nothing" : there) << " (" << in_ms(time) << ")\n"
            << missing << std::flush;
  return missing.empty();
}

bool run(arguments const& args) {
  google const it(args);
  std::string const in_time = "in " + in_ms(args.timeout) + " at most";
  bool found_all = true;
  for (std::string const& version : args.versions) {
    if (version == "1.0") {
      found_all &= tell("1.0, one after another", [&] { return it.search_1_0(); });
    } else if (version == "2.0") {
      found_all &= tell("2.0, all at once", [&] { return it.search_2_0(); });
    } else if (version == "2.1") {
      found_all &= tell("2.1, " + in_time, [&] { return it.search_2_1(); });
    } else {
      found_all &= tell("3.0, of " + std::to_string(args.replicas) + " servers each, " + in_time,
                        [&] { return it.search_3_0(); });
    }
  }
  return found_all;
}

}  // namespace
}  // namespace fake_search

int main(int argc, char** argv) {
  fake_search::arguments args;
  CLI::App app(
      "Searches the web, images and videos, in the four ways of \"Go Concurrency Patterns\".",
      "fake_search");
  CLI::Validator const chance = CLI::Range(0.0, 1.0).description("");
  app.add_option("-v,--version", args.versions, "Which of them: 1.0, 2.0, 2.1, 3.0. Default: all")
      ->check(CLI::IsMember({"1.0", "2.0", "2.1", "3.0"}).description(""));
  app.add_option("-r,--replicas", args.replicas, "How many servers there are of each kind, in 3.0")
      ->check(CLI::Range(1, 100).description(""))
      ->capture_default_str();
  add_time_option(app, "-t,--timeout", args.timeout, "Time for 2.1 and for 3.0. Default: 80ms");
  add_time_option(app, "-m,--most", args.most, "What a server takes at most. Default: 100ms");
  app.add_option("-f,--fail", args.fails, "The part of the servers that fail, from 0 to 1")
      ->check(chance);
  app.add_option("-g,--hang", args.hangs, "The part that does not answer for an hour")
      ->check(chance);
  app.add_option("-s,--seed", args.seed, "What the servers' times are drawn with")
      ->capture_default_str();
  app.footer("Exit status: 0 everything was found each time, 1 not everything, 2 wrong usage.");
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    return fake_search::run(args) ? 0 : 1;
  } catch (std::exception const& e) {
    std::cerr << "fake_search: " << e.what() << '\n';
    return 2;
  }
}
