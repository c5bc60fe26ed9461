// mirrors: gets a file from the first of several mirrors that delivers it.
//
//     $ mirrors --sha256 5891b5b5…be03 -o list http://a.example/list http://b.example/list
//     mirrors: http://b.example/list delivered 6 bytes at attempt 2 (214 ms)
//
// All mirrors are asked at once, each again and again, after pauses, until it has delivered, or has
// failed for good. If none delivers, it prints why not, each:
//
//     $ mirrors --within 5s http://a.example/list http://b.example/nope
//     mirrors: http://b.example/nope: 404 Not Found
//     mirrors: http://a.example/list: Connection refused (4 attempts)

#include "../support/time_option.hpp"
#include "../treesum/interrupt.hpp"
#include "fetch.hpp"
#include <errgroup/errgroup.hpp>

#include <CLI/CLI.hpp>

#include <chrono>      // duration_cast, milliseconds, nanoseconds, seconds, steady_clock
#include <cstddef>     // size_t
#include <exception>   // exception
#include <fstream>     // ofstream
#include <iostream>    // cerr, cout
#include <mutex>       // mutex, scoped_lock
#include <optional>    // optional
#include <stop_token>  // stop_token
#include <string>      // string
#include <utility>     // move
#include <vector>      // vector

namespace mirrors {
namespace {

struct arguments {
  std::vector<std::string> urls;
  std::string sha256;
  std::string output;
  std::optional<std::chrono::nanoseconds> within;
  errgroup::retry_policy policy = {.attempts = 4,
                                   .max_delay = std::chrono::seconds(10),
                                   .jitter = 0.5,
                                   .timeout = std::chrono::seconds(30)};
  bool tells_more = false;
};

struct delivery {
  std::size_t mirror;
  std::size_t attempt;
  std::string content;
};

/// A mirror, to be called as a task as often as it takes: gets the file from there.
class mirror {
 public:
  mirror(arguments const& args, std::size_t number)
      : sha256_(args.sha256), from_(parse_url(args.urls[number])), number_(number) {}

  errgroup::result<delivery> operator()(std::stop_token const& stop) {
    ++attempts_;
    return fetch(from_, stop).and_then([this](std::string&& content) {
      if (!sha256_.empty() && sha256_of(content) != sha256_) {
        return errgroup::result<delivery>(
            errgroup::make_error(refusal{"is another file: its SHA-256 sum differs", true}));
      }
      return errgroup::result<delivery>(delivery{number_, attempts_, std::move(content)});
    });
  }

 private:
  std::string sha256_;
  url from_;
  std::size_t number_;
  std::size_t attempts_ = 0;
};

/// How often, and after what, a mirror is asked again.
errgroup::retry_policy policy_for(arguments const& args, std::string const& url,
                                  std::mutex& output) {
  errgroup::retry_policy policy = args.policy;
  policy.retry_if = [&args, &url, &output](errgroup::error const& err) {
    auto const* const refused = err.get_if<refusal>();
    bool const tries_again = refused == nullptr || !refused->is_final;
    if (args.tells_more && tries_again) {
      std::scoped_lock const held(output);
      std::cerr << "mirrors: " << url << ": " << err.what() << ", will try again\n";
    }
    return tries_again;
  };
  return policy;
}

errgroup::result<delivery> get(arguments const& args, std::stop_token stop) {
  std::mutex output;
  std::vector<errgroup::retrying<mirror>> all;
  for (std::size_t i = 0; i != args.urls.size(); ++i) {
    all.emplace_back(policy_for(args, args.urls[i], output), mirror(args, i));
  }
  return errgroup::any({.limit = static_cast<int>(all.size()),  // all at once
                        .stop = std::move(stop),
                        .timeout = args.within,
                        .blocking = true},
                       all);
}

/// Why no mirror has delivered. Each failure of a mirror has its index, and how often it was asked;
/// an error without is about all of them: time was over, or it was interrupted.
void tell(errgroup::error const& err, arguments const& args) {
  for (errgroup::error const& each : err.all()) {
    std::cerr << "mirrors: ";
    if (each.attempts() != 0) {
      std::cerr << args.urls[each.origin().index] << ": ";
    }
    std::cerr << each.what();
    if (each.attempts() > 1) {
      std::cerr << " (" << each.attempts() << " attempts)";
    }
    std::cerr << '\n';
  }
}

bool write(std::string const& content, std::string const& path) {
  if (path.empty()) {
    return static_cast<bool>(std::cout << content << std::flush);
  }
  std::ofstream file(path, std::ios::binary);
  return static_cast<bool>(file << content << std::flush);
}

int run(arguments const& args, treesum::interrupt const& interrupted) {
  auto const begin = std::chrono::steady_clock::now();
  auto const got = get(args, interrupted.token());
  auto const time = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begin);
  if (!got) {
    tell(got.error(), args);
    return interrupted.signal() != 0 ? 128 + interrupted.signal() : 1;
  }
  if (!write(got->content, args.output)) {
    std::cerr << "mirrors: " << (args.output.empty() ? "standard output" : args.output)
              << ": could not be written\n";
    return 1;
  }
  std::cerr << "mirrors: " << args.urls[got->mirror] << " delivered " << got->content.size()
            << " bytes at attempt " << got->attempt << " (" << time.count() << " ms)\n";
  return 0;
}

}  // namespace
}  // namespace mirrors

int main(int argc, char** argv) {
  mirrors::arguments args;
  CLI::App app(
      "Gets a file from the first of several mirrors that delivers it, and tells which it was; or\n"
      "of each, why not.",
      "mirrors");
  app.add_option("URL", args.urls, "http://HOST[:PORT]/PATH")
      ->required()
      ->expected(1, 100)
      ->check([](std::string const& text) -> std::string {
        try {
          (void)mirrors::parse_url(text);
          return "";
        } catch (std::exception const& e) {
          return e.what();
        }
      });
  app.add_option("-o,--output", args.output, "The file to write. Default: standard output");
  app.add_option("-s,--sha256", args.sha256, "Only a file with this SHA-256 sum will do")
      ->check([](std::string const& sum) {
        bool const is_sum =
            sum.size() == 64 && sum.find_first_not_of("0123456789abcdef") == std::string::npos;
        return is_sum ? "" : "Not 64 digits of 0123456789abcdef";
      });
  app.add_option("-n,--attempts", args.policy.attempts, "How often to ask a mirror at most")
      ->check(CLI::Range(1, 1000).description(""))
      ->capture_default_str();
  add_time_option(app, "-d,--delay", args.policy.delay,
                  "The pause after the first attempt; the next are twice as long each.\n"
                  "Default: 100ms");
  add_time_option(app, "-t,--timeout", args.policy.timeout, "Time for an attempt. Default: 30s");
  add_time_option(app, "-w,--within", args.within, "Time for everything. Default: any");
  app.add_flag("-v,--verbose", args.tells_more, "Tell of attempts that failed");
  app.footer("Exit status: 0 delivered, 1 not, 2 wrong usage, 130 interrupted.");
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    treesum::interrupt const interrupted;  // before there are other threads
    return mirrors::run(args, interrupted);
  } catch (std::exception const& e) {
    std::cerr << "mirrors: " << e.what() << '\n';
    return 2;
  }
}
