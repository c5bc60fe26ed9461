// Every piece of C++ in docs/from_go.md, as functions that compile and run. docs/check.py compares
// the two.

#include <errgroup/errgroup.hpp>
#include <errgroup/testing.hpp>  // test_clock

#include <unistd.h>  // getpid

#include <atomic>        // atomic
#include <chrono>        // seconds
#include <cstddef>       // size_t
#include <cstdint>       // int64_t, uint64_t
#include <cstdio>        // fprintf
#include <exception>     // exception
#include <filesystem>    // create_directories, path, recursive_directory_iterator, ...
#include <fstream>       // ifstream, ofstream
#include <istream>       // istream
#include <iterator>      // istreambuf_iterator
#include <latch>         // latch
#include <map>           // map
#include <optional>      // nullopt, optional
#include <sstream>       // istringstream
#include <stop_token>    // stop_source, stop_token
#include <string>        // getline, string
#include <system_error>  // errc, error_code, make_error_code
#include <utility>       // move
#include <vector>        // vector

namespace {

namespace fs = std::filesystem;
namespace stage = errgroup::stage;
using errgroup::on_error;

std::atomic<int> calls = 0;

// --- the first program ---------------------------------------------------------------------------

std::error_code convert(std::string const& file, std::stop_token stop) {
  ++calls;
  return std::make_error_code(stop.stop_requested() ? std::errc::operation_canceled
                              : file.empty()        ? std::errc::invalid_argument
                                                    : std::errc{});
}

errgroup::error convert_all(std::stop_token above, std::vector<std::string> const& files) {
  errgroup::group g{{.limit = 8, .queue = 0, .stop = std::move(above)}};
  for (std::string const& file : files) {
    g.run([&file](std::stop_token stop) { return convert(file, std::move(stop)); });
  }
  return g.wait();
}

// --- only errors ---------------------------------------------------------------------------------

std::error_code check_host(std::string const& host) {
  ++calls;
  return std::make_error_code(host.empty() ? std::errc::invalid_argument : std::errc{});
}

namespace literally {

errgroup::error check_all(std::vector<std::string> const& hosts) {
  errgroup::group g{{.policy = on_error::keep_going}};
  for (std::string const& host : hosts) {
    g.run([&host] { return check_host(host); });
  }
  return g.wait();
}

}  // namespace literally

errgroup::error check_all(std::vector<std::string> const& hosts) {
  return errgroup::for_each({.policy = on_error::keep_going}, hosts, check_host);
}

// --- results in order ----------------------------------------------------------------------------

using answer = std::string;

struct source {
  std::string name;

  [[nodiscard]] errgroup::result<answer> ask(std::string const& query, std::stop_token stop) const {
    if (stop.stop_requested()) {
      return errgroup::errc::canceled;
    }
    if (name == "broken") {
      return std::make_error_code(std::errc::connection_refused);
    }
    return name + ": " + query;
  }
};

namespace literally {

errgroup::result<std::vector<answer>> ask_all(std::stop_token above,
                                              std::vector<source> const& sources,
                                              std::string const& query) {
  std::vector<answer> answers(sources.size());  // before the group, which waits for its tasks first
  errgroup::group g{{.stop = std::move(above)}};
  for (std::size_t i = 0; i != sources.size(); ++i) {
    g.run([&, i](std::stop_token stop) -> errgroup::error {
      auto found = sources[i].ask(query, std::move(stop));
      if (!found) {
        return found.error();
      }
      answers[i] = *std::move(found);
      return {};
    });
  }
  if (auto err = g.wait()) {
    return err;
  }
  return answers;
}

}  // namespace literally

errgroup::result<std::vector<answer>> ask_all(std::stop_token above,
                                              std::vector<source> const& sources,
                                              std::string const& query) {
  return errgroup::transform(
      {.stop = std::move(above)}, sources,
      [&](source const& s, std::stop_token stop) { return s.ask(query, std::move(stop)); });
}

// --- a pipeline ----------------------------------------------------------------------------------

struct sum {
  fs::path path;
  std::uint64_t hash;
};

errgroup::result<sum> digest(fs::path const& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return std::make_error_code(std::errc::io_error);
  }
  std::uint64_t hash = 0xcbf29ce484222325;
  for (auto c = std::istreambuf_iterator<char>(in); c != std::istreambuf_iterator<char>(); ++c) {
    hash = (hash ^ static_cast<unsigned char>(*c)) * 0x100000001b3;
  }
  return sum{path, hash};
}

errgroup::result<std::map<fs::path, std::uint64_t>> digest_all(fs::path const& root) {
  std::error_code ec;
  fs::recursive_directory_iterator files(root, ec);  // with `ec` it does not throw
  if (ec) {
    return ec;
  }
  std::map<fs::path, std::uint64_t> all;
  auto err = errgroup::pipeline(
      {.limit = 20}, stage::source(std::move(files)),
      stage::parallel([](fs::directory_entry&& e) -> std::optional<fs::path> {
        return e.is_regular_file() ? std::optional(e.path()) : std::nullopt;  // empty: left out
      }),
      stage::parallel([](fs::path&& path) { return digest(path); }),
      stage::serial([&](sum&& s) { all.emplace(std::move(s.path), s.hash); }));
  if (err) {
    return err;
  }
  return all;
}

// --- a limit -------------------------------------------------------------------------------------

std::error_code load(std::string const& line) { return check_host(line); }

errgroup::error load_all(std::istream& in) {
  errgroup::group g{{.limit = 4, .queue = 0, .policy = on_error::keep_going}};
  for (std::string line; std::getline(in, line);) {
    g.run([line] { return load(line); });  // a copy: the next getline changes `line`
  }
  return g.wait();
}

std::size_t offer(errgroup::group& g, std::vector<std::string> const& lines) {
  std::size_t refused = 0;
  for (std::string const& line : lines) {
    if (!g.try_run([line] { return load(line); })) {
      ++refused;
    }
  }
  return refused;
}

// --- a weighted semaphore ------------------------------------------------------------------------

struct chunk {
  std::string name;
  std::int64_t megabytes;
};

struct layer {
  std::vector<chunk> chunks;
};

std::atomic<std::int64_t> megabytes_in_use = 0;
std::atomic<bool> too_many = false;

std::error_code cache(chunk const& c, std::stop_token stop) {
  too_many = too_many || (megabytes_in_use += c.megabytes) > 64;
  megabytes_in_use -= c.megabytes;
  return stop.stop_requested() ? std::make_error_code(std::errc::operation_canceled)
                               : check_host(c.name);
}

errgroup::error cache_layers(std::stop_token above, std::vector<layer> const& layers) {
  errgroup::limiter megabytes(64);
  errgroup::group g{{.stop = std::move(above), .limiter = &megabytes}};
  for (layer const& l : layers) {
    for (chunk const& c : l.chunks) {
      g.run({.name = c.name, .weight = c.megabytes},
            [&c](std::stop_token stop) { return cache(c, std::move(stop)); });
    }
  }
  return g.wait();
}

// --- tasks that submit tasks ---------------------------------------------------------------------

struct node {
  std::string name;
  std::vector<node> children;
};

void visit_below(errgroup::group& g, node const& n) {
  for (node const& child : n.children) {
    g.run([&g, &child] {
      visit_below(g, child);  // runs a waiting task itself where Go's Go would block for ever
      return check_host(child.name);
    });
  }
}

errgroup::error visit(node const& root) {
  errgroup::group g{{.limit = 2, .queue = 0, .policy = on_error::keep_going}};
  visit_below(g, root);
  return g.wait();
}

// --- conc's pool ---------------------------------------------------------------------------------

errgroup::result<std::size_t> measure(std::string const& name) {
  if (auto err = check_host(name)) {
    return err;
  }
  return name.size();
}

errgroup::result<std::vector<std::size_t>> measure_all(std::vector<std::string> const& names) {
  return errgroup::transform({.limit = 4}, names, measure);
}

errgroup::result<std::vector<std::size_t>> measure_lines(std::istream& in) {
  std::vector<std::size_t> sizes;
  errgroup::stream<std::size_t> pool{{.limit = 4}, [&](std::size_t n) { sizes.push_back(n); }};
  for (std::string line; std::getline(in, line);) {
    pool.run([line] { return measure(line); });
  }
  if (auto err = pool.wait()) {
    return err;
  }
  return sizes;
}

// --- schedgroup ----------------------------------------------------------------------------------

errgroup::error count_down(std::vector<int>& said) {
  errgroup::group g{{.limit = 1}};  // one at a time: they share `said`
  for (int n = 1; n <= 3; ++n) {
    g.run_after(std::chrono::seconds(4 - n), [&said, n] { said.push_back(n); });
  }
  return g.wait();
}

// --- the program ---------------------------------------------------------------------------------

int failures = 0;

void check(bool holds, char const* what) {
  if (!holds) {
    std::fprintf(stderr, "from_go: %s\n", what);
    ++failures;
  }
}

/// A directory with two files, one of them below another directory.
class tree {
 public:
  tree() : root_(fs::temp_directory_path() / ("errgroup_from_go." + std::to_string(getpid()))) {
    fs::create_directories(root_ / "below");
    std::ofstream(root_ / "a") << "abc";
    std::ofstream(root_ / "below" / "b") << "abc";
  }
  tree(tree const&) = delete;
  tree& operator=(tree const&) = delete;
  ~tree() {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }

  [[nodiscard]] fs::path const& root() const { return root_; }

 private:
  fs::path root_;
};

void check_errors() {
  check(!convert_all({}, {"a", "b"}) && calls == 2, "the first program");
  check(convert_all({}, {"a", ""}) == std::errc::invalid_argument, "the first program fails");
  std::stop_source stopped;
  stopped.request_stop();
  calls = 0;
  check(convert_all(stopped.get_token(), {"a", "b"}) == errgroup::errc::canceled && calls == 0,
        "the first program is cancelled from above");
  std::vector<std::string> const hosts{"a", "", "b", "c"};
  check(literally::check_all(hosts) == std::errc::invalid_argument && calls == 4,
        "each task runs, and the first error is told");
  calls = 0;
  check(check_all(hosts) == std::errc::invalid_argument && calls == 4,
        "for_each calls it for each element");
}

void check_results() {
  std::vector<source> const good{{"web"}, {"image"}, {"video"}};
  std::vector<answer> const expected{"web: x", "image: x", "video: x"};
  check(literally::ask_all({}, good, "x") == expected, "answers in order");
  check(ask_all({}, good, "x") == expected, "answers in order, by transform");
  std::vector<source> const bad{{"web"}, {"broken"}};
  check(literally::ask_all({}, bad, "x").error() == std::errc::connection_refused, "the cause");
  check(ask_all({}, bad, "x").error() == std::errc::connection_refused, "the cause, by transform");
  std::stop_source stopped;
  stopped.request_stop();
  check(literally::ask_all(stopped.get_token(), good, "x").error() == errgroup::errc::canceled,
        "cancelled from above");
  check(ask_all(stopped.get_token(), good, "x").error() == errgroup::errc::canceled,
        "cancelled from above, by transform");
}

void check_limits() {
  calls = 0;
  std::istringstream lines("a\nb\nc\nd\ne\nf\n");
  check(!load_all(lines) && calls == 6, "a limit and a queue");

  errgroup::group g{{.limit = 1}};
  std::latch done(1);
  g.run([&done] { done.wait(); });
  check(offer(g, {"a", "b"}) == 2, "no slot is free");
  done.count_down();
  check(!g.wait() && offer(g, {"a"}) == 0 && !g.wait(), "a slot is free");

  calls = 0;
  std::vector<layer> layers{{{{"a", 40}, {"b", 1}}}, {{{"c", 64}, {"d", 20}, {"e", 30}}}};
  check(!cache_layers({}, layers) && calls == 5 && !too_many, "weights");
  layers[1].chunks[0].name.clear();
  check(cache_layers({}, layers) == std::errc::invalid_argument, "a chunk that fails");
  std::stop_source stopped;
  stopped.request_stop();
  check(cache_layers(stopped.get_token(), layers) == errgroup::errc::canceled,
        "weights, cancelled from above");

  calls = 0;
  node const root{"root", {{"a", {{"b", {}}, {"c", {{"d", {}}}}}}, {"e", {{"f", {}}}}}};
  check(!visit(root) && calls == 6, "tasks that submit tasks");
}

}  // namespace

int main() try {
  check_errors();
  check_results();
  check_limits();

  tree const files;
  auto const sums = digest_all(files.root());
  check(sums && sums->size() == 2 && sums->begin()->second == 0xe71fa2190541574b, "a pipeline");
  check(digest_all(files.root() / "nowhere").error() == std::errc::no_such_file_or_directory,
        "a directory that does not exist is an error");

  std::vector<std::size_t> const sizes{3, 1, 2};
  check(measure_all({"abc", "d", "ef"}) == sizes, "conc's pool with results");
  std::istringstream lines("abc\nd\nef\n");
  check(measure_lines(lines) == sizes, "a pool that is fed by a loop");

  errgroup::testing::test_clock clock(errgroup::testing::time_moves::when_nothing_else_is_left);
  std::vector<int> said;
  check(!count_down(said) && said == std::vector<int>{3, 2, 1}, "schedgroup");
  return failures == 0 ? 0 : 1;
} catch (std::exception const& e) {
  std::fprintf(stderr, "from_go: %s\n", e.what());
  return 1;
}
