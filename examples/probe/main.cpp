// probe: connects to some endpoints now and then, and tells which are up.

#include "../support/tcp.hpp"
#include "../support/time_option.hpp"
#include "../treesum/interrupt.hpp"
#include <errgroup/errgroup.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>     // all_of, max, min
#include <chrono>        // duration, nanoseconds, seconds, steady_clock
#include <cstdint>       // uint64_t
#include <deque>         // deque
#include <exception>     // exception
#include <iomanip>       // fixed, setprecision
#include <iostream>      // cerr, cout
#include <limits>        // numeric_limits
#include <mutex>         // mutex, scoped_lock
#include <optional>      // optional
#include <random>        // random_device, uniform_int_distribution
#include <stop_token>    // stop_token
#include <string>        // string
#include <system_error>  // errc, error_code
#include <utility>       // move
#include <vector>        // vector

namespace probe {
namespace {

using milliseconds = std::chrono::duration<double, std::milli>;

struct arguments {
  std::vector<std::string> endpoints;
  std::chrono::nanoseconds every = std::chrono::seconds(1);
  std::chrono::nanoseconds timeout = std::chrono::seconds(1);
  std::optional<std::chrono::nanoseconds> all;
  std::uint64_t count = std::numeric_limits<std::uint64_t>::max();
  int limit = 16;
};

/// An endpoint, and what is known of it. Its probes follow each other, so it needs no lock.
struct watched {
  std::string name;
  net::address where;
  std::uint64_t probes = 0;
  std::uint64_t up = 0;
  std::optional<std::error_code> last = {};  // of the last probe, if there was one
  milliseconds least = milliseconds::max();
  milliseconds most{};
  milliseconds sum{};
};

/// Probes some endpoints until all have been probed as often as they should, time is over, or
/// `stop` says so.
class monitor {
 public:
  monitor(arguments const& args, std::stop_token stop)
      : args_(args),
        group_(
            {.limit = args.limit, .stop = std::move(stop), .timeout = args.all, .blocking = true}) {
  }

  /// Not all at once: when an endpoint is probed first is left to chance, and from then on it is
  /// every second, or what `every` is.
  void watch(std::string const& name, net::address const& where) {
    watched& it = all_.emplace_back(watched{name, where});
    std::uniform_int_distribution<std::chrono::nanoseconds::rep> spread(0, args_.every.count());
    std::chrono::nanoseconds const first(spread(random_));
    group_.run_after(first, [this, &it] {
      probe(it);
      if (it.probes < args_.count) {
        group_.run_every(args_.every, [this, &it]() -> errgroup::error {
          probe(it);
          return it.probes < args_.count ? errgroup::error() : errgroup::stop_repeating;
        });
      }
    });
  }

  /// Returns when it is over. Interrupted, or out of time, is an end like any other.
  [[nodiscard]] errgroup::error wait() {
    auto const wakes = group_.on_cancel([this] { cancelled_.ring(); });
    errgroup::error err = group_.wait();
    bool const is_end = err == errgroup::errc::canceled || err == errgroup::errc::deadline_exceeded;
    return is_end ? errgroup::error() : err;
  }

  [[nodiscard]] std::deque<watched> const& all() const noexcept { return all_; }

 private:
  void probe(watched& it) {
    auto const begin = std::chrono::steady_clock::now();
    std::error_code const ec = net::connection(cancelled_).open(it.where, args_.timeout);
    milliseconds const time = std::chrono::steady_clock::now() - begin;
    if (group_.is_canceling()) {
      return;  // who knows how it would have ended
    }
    ++it.probes;
    if (!ec) {
      ++it.up;
      it.least = std::min(it.least, time);
      it.most = std::max(it.most, time);
      it.sum += time;
    }
    if (it.last != ec) {  // also if there was none
      std::scoped_lock const held(output_);
      std::cout << it.name << (ec ? " down: " + ec.message() : " up");
      if (!ec) {
        std::cout << ' ' << time.count() << " ms";
      }
      std::cout << std::endl;
    }
    it.last = ec;
  }

  arguments const& args_;
  std::mt19937_64 random_{std::random_device()()};
  net::bell cancelled_;
  std::mutex output_;
  std::deque<watched> all_;  // does not move what it holds
  errgroup::group group_;    // the last member: its tasks use the others
};

void summarize(watched const& it) {
  std::cout << it.name << ": " << it.probes << " probes, " << it.up << " up";
  if (it.up != 0) {
    std::cout << ", " << it.least.count() << '/' << it.sum.count() / static_cast<double>(it.up)
              << '/' << it.most.count() << " ms (least, mean, most)";
  }
  std::cout << '\n';
}

int run(arguments const& args, treesum::interrupt const& interrupted) {
  std::cout << std::fixed << std::setprecision(2);
  monitor probes(args, interrupted.token());
  for (std::string const& endpoint : args.endpoints) {
    probes.watch(endpoint, net::resolve(endpoint));
  }
  if (errgroup::error const err = probes.wait()) {
    std::cerr << "probe: " << err << '\n';
    return 1;
  }
  for (watched const& it : probes.all()) {
    summarize(it);
  }
  std::cout.flush();
  bool const all_up = std::all_of(probes.all().begin(), probes.all().end(), [](watched const& it) {
    return it.last == std::error_code();  // and not: none
  });
  return all_up && std::cout ? 0 : 1;
}

}  // namespace
}  // namespace probe

int main(int argc, char** argv) {
  probe::arguments args;
  CLI::App app(
      "Connects to each ENDPOINT now and then, tells when it goes up or down, and sums up at the\n"
      "end: after so many probes, after so much time, or when it is interrupted (Ctrl-C).",
      "probe");
  app.add_option("ENDPOINT", args.endpoints, "HOST:PORT, for TCP")->required();
  add_time_option(app, "-e,--every", args.every,
                  "Time from probe to probe: 1s, 500ms. Default: 1s");
  add_time_option(app, "-t,--timeout", args.timeout, "Time for a connection. Default: 1s");
  add_time_option(app, "-f,--for", args.all, "Time for everything");
  app.add_option("-n,--count", args.count, "How often to probe each ENDPOINT")
      ->check(
          CLI::Range(std::uint64_t{1}, std::numeric_limits<std::uint64_t>::max()).description(""));
  app.add_option("-l,--limit", args.limit, "How many connections to wait for at once")
      ->check(CLI::Range(1, 1000).description(""))
      ->capture_default_str();
  app.footer("Exit status: 0 all were up in the end, 1 not all, 2 wrong usage.");
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    treesum::interrupt const interrupted;  // before there are other threads
    return probe::run(args, interrupted);
  } catch (std::exception const& e) {
    std::cerr << "probe: " << e.what() << '\n';
    return 2;
  }
}
