// Every piece of code in docs/pipelines.md, as functions that compile and run. docs/check.py
// compares the two.

#include <errgroup/errgroup.hpp>

#include <oneapi/tbb/parallel_pipeline.h>  // filter_mode, flow_control, make_filter, ...

#include <chrono>        // seconds
#include <cstddef>       // size_t
#include <cstdio>        // fprintf
#include <iostream>      // cerr
#include <memory>        // make_unique, unique_ptr
#include <optional>      // optional
#include <ranges>        // iota
#include <stop_token>    // stop_token
#include <string>        // string, to_string
#include <system_error>  // error_code
#include <utility>       // move
#include <vector>        // vector

namespace stage = errgroup::stage;
using namespace std::chrono_literals;

namespace {

/// The kinds of things that the recipes carry.
struct block {
  int number = 0;
};
struct packed {
  int number = 0;
};

struct input {
  int left = 100;
  int next_number = 0;

  std::optional<block> next() {
    return left-- > 0 ? std::optional(block{next_number++}) : std::nullopt;
  }
};

struct output {
  std::vector<int> numbers;
  int full_at = -1;

  std::error_code write(packed const& p) {
    if (p.number == full_at) {
      return std::make_error_code(std::errc::no_space_on_device);
    }
    numbers.push_back(p.number);
    return {};
  }
  [[nodiscard]] bool is_in_order(std::size_t count) const {
    bool right = numbers.size() == count;
    for (std::size_t i = 1; i < numbers.size(); ++i) {
      right = right && numbers[i - 1] < numbers[i];
    }
    return right;
  }
};

errgroup::result<packed> deflate(block&& b) { return packed{b.number}; }

bool interesting(block const& b) { return b.number % 3 == 0; }

/// A compressor that needs memory, which is worth keeping.
struct compressor {
  std::vector<char> window = std::vector<char>(1 << 18);

  packed operator()(block const& b) { return {b.number + window.front()}; }
};

// --- read, work, write ---

errgroup::error pack(input& in, output& out) {
  return errgroup::pipeline(
      {.limit = 8, .queue = 24, .timeout = 30s, .name = "pack"},
      stage::source("read", [&]() -> std::optional<block> { return in.next(); }),
      stage::parallel("deflate",
                      [](block&& b) -> errgroup::result<packed> { return deflate(std::move(b)); }),
      stage::in_order("write", [&](packed&& p) -> std::error_code { return out.write(p); }));
}

// --- recipes ---

errgroup::error drop(input& in, output& out) {
  return errgroup::pipeline(stage::source([&] { return in.next(); }),
                            stage::parallel([](block&& b) -> std::optional<packed> {
                              if (!interesting(b)) {
                                return std::nullopt;
                              }
                              return packed{b.number};
                            }),
                            stage::in_order([&](packed&& p) { return out.write(p); }));
}

errgroup::error fan_out(std::vector<std::string> const& lines, std::vector<std::string>& words) {
  return errgroup::pipeline(
      stage::source(lines),
      stage::many("split",
                  [](std::string const& line, stage::emitter<std::string> emit) {
                    std::size_t begin = 0;
                    while (begin < line.size()) {
                      std::size_t const end = std::min(line.find(' ', begin), line.size());
                      emit(line.substr(begin, end - begin));
                      begin = end + 1;
                    }
                  }),
      stage::in_order([&](std::string&& word) { words.push_back(std::move(word)); }));
}

errgroup::error in_batches(int count, long& sum) {
  return errgroup::pipeline(stage::source(std::views::iota(0, count), stage::batches(256)),
                            stage::parallel([](std::vector<int>&& numbers) {
                              long part = 0;
                              for (int n : numbers) {
                                part += n;
                              }
                              return part;
                            }),
                            stage::serial([&](long part) { sum += part; }));
}

errgroup::error with_state(input& in, output& out) {
  return errgroup::pipeline(
      stage::source([&] { return in.next(); }),
      stage::parallel(stage::with_state([] { return compressor(); },
                                        [](compressor& c, block&& b) { return c(b); })),
      stage::in_order([&](packed&& p) { return out.write(p); }));
}

errgroup::error end_early(input& in, output& out) {
  return errgroup::pipeline(stage::source([&] { return in.next(); }),
                            stage::parallel([](block&& b) { return deflate(std::move(b)); }),
                            stage::in_order([&](packed&& p) -> errgroup::error {
                              if (p.number == 10) {
                                return errgroup::no_more;
                              }
                              return out.write(p);
                            }));
}

errgroup::error go_on(input& in, output& out) {
  auto err = errgroup::pipeline(
      {.policy = errgroup::on_error::keep_going, .errors = errgroup::keep::all, .name = "pack"},
      stage::source([&] { return in.next(); }),
      stage::parallel("deflate",
                      [](block&& b) -> errgroup::result<packed> {
                        if (b.number == 4 || b.number == 7) {
                          return errgroup::make_error("bad checksum");
                        }
                        return packed{b.number};
                      }),
      stage::in_order([&](packed&& p) { return out.write(p); }));
  for (errgroup::error const& failed : err.all()) {
    std::cerr << failed.origin().index << " is left out: " << failed.what() << '\n';
  }
  return err;
}

errgroup::error wake(std::stop_token stop, output& out);

/// A queue that a thread may close.
struct mailbox {
  std::optional<block> pop() { return std::nullopt; }
  void close() {}
};

errgroup::error wake(std::stop_token stop, output& out) {
  mailbox box;
  return errgroup::pipeline({.stop = stop},
                            stage::source([&](std::stop_token canceled) -> std::optional<block> {
                              std::stop_callback wakes(canceled, [&] { box.close(); });
                              return box.pop();  // empty when the box is closed
                            }),
                            stage::in_order([&](block&& b) { return out.write({b.number}); }));
}

errgroup::error measured(input& in, output& out, std::string& slowest) {
  errgroup::pipeline_stats stats;
  auto err = errgroup::pipeline(
      {.name = "pack"}, stats, stage::source("read", [&] { return in.next(); }),
      stage::parallel("deflate", [](block&& b) { return deflate(std::move(b)); }),
      stage::in_order("write", [&](packed&& p) { return out.write(p); }));
  if (auto const* limiting = stats.bottleneck()) {
    slowest = limiting->name;
  }
  return err;
}

// --- a stream ---

errgroup::error stream(input& in, output& out) {
  errgroup::stream<packed> packer{{.limit = 8, .queue = 24},
                                  [&](packed&& p) { return out.write(p); }};
  while (auto b = in.next()) {
    packer.run([b = *b]() mutable { return deflate(std::move(b)); });
  }
  return packer.wait();
}

int failures = 0;

void check(bool right, char const* what) {
  if (!right) {
    std::fprintf(stderr, "not as docs/pipelines.md says: %s\n", what);
    ++failures;
  }
}

}  // namespace

int main() {
  {
    input in;
    output out;
    check(!pack(in, out) && out.is_in_order(100), "read, work, write");
  }
  {
    input in;
    output out;
    out.full_at = 17;
    errgroup::error const err = pack(in, out);
    check(err.origin().index == 17 && err.origin().path == "pack/write", "origin");
    check(err.message().starts_with("No space left on device (pack/write, item 17, stage at "),
          "message");
    check(out.is_in_order(17), "a prefix");
  }
  {
    input in;
    output out;
    check(!drop(in, out) && out.is_in_order(34), "drop");
  }
  {
    std::vector<std::string> words;
    check(!fan_out({"a b", "", "c"}, words) && words == std::vector<std::string>{"a", "b", "c"},
          "fan-out");
  }
  {
    long sum = 0;
    check(!in_batches(1000, sum) && sum == 499500, "batches");
  }
  {
    input in;
    output out;
    check(!with_state(in, out) && out.is_in_order(100), "state");
  }
  {
    input in;
    output out;
    check(!end_early(in, out) && out.is_in_order(10), "end early");
  }
  {
    input in;
    output out;
    errgroup::error const err = go_on(in, out);
    check(err.all().size() == 2 && out.is_in_order(98), "keep going");
  }
  {
    output out;
    check(!wake({}, out) && out.is_in_order(0), "a source that blocks");
  }
  {
    input in;
    output out;
    std::string slowest;
    check(!measured(in, out, slowest) && out.is_in_order(100), "statistics");
  }
  {
    input in;
    output out;
    check(!stream(in, out) && out.is_in_order(100), "stream");
  }
  return failures == 0 ? 0 : 1;
}
