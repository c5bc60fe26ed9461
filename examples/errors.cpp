// Every piece of code in docs/errors.md, in functions that compile and run. docs/check.py compares
// the two.

#include <errgroup/errgroup.hpp>

#include <algorithm>     // count
#include <cstddef>       // size_t
#include <cstdio>        // fprintf
#include <cstdlib>       // abort
#include <iostream>      // cerr
#include <ostream>       // ostream
#include <sstream>       // ostringstream
#include <stdexcept>     // runtime_error
#include <stop_token>    // stop_token
#include <string>        // string, to_string
#include <syncstream>    // osyncstream
#include <system_error>  // errc, error_code
#include <utility>       // move
#include <vector>        // vector

namespace lib {

/// A status as other libraries have it.
class status {
 public:
  status() = default;
  status(std::errc code, std::string words) : code_(code), words_(std::move(words)) {}
  [[nodiscard]] bool ok() const { return code_ == std::errc(); }
  [[nodiscard]] std::error_code code() const { return std::make_error_code(code_); }
  [[nodiscard]] std::string const& message() const { return words_; }

 private:
  std::errc code_ = {};
  std::string words_;
};

}  // namespace lib

template <>
struct errgroup::result_traits<lib::status> {
  static bool failed(lib::status const& s) { return !s.ok(); }
  static errgroup::error to_error(lib::status&& s) {
    std::error_code const code = s.code();
    return errgroup::make_error(std::move(s), code);
  }
};

namespace {

using errgroup::errc;

struct page {
  int number = 0;
};

struct bad_page : std::runtime_error {
  explicit bad_page(page p) : std::runtime_error("bad page"), number(p.number) {}
  int number;
};

bool ok = true;

void expect(bool met, char const* what) {
  if (!met) {
    std::fprintf(stderr, "not so: %s\n", what);
    ok = false;
  }
}

std::error_code scan(page p) {
  if (p.number % 2 != 0) {
    throw bad_page(p);
  }
  return p.number == 4 ? std::make_error_code(std::errc::io_error) : std::error_code();
}

namespace texts {

errgroup::error reserve(std::size_t blocks, std::size_t free_blocks) {
  if (blocks > free_blocks) {
    return errgroup::make_error("disk is full");
  }
  return {};
}

void check() {
  errgroup::group g;
  g.run([] { return reserve(8, 7); });
  errgroup::error const err = g.wait();
  expect(err.what() == "disk is full", "a text is what the error says");
  expect(err == errc::failed, "... and has a code");
  expect(!reserve(7, 7), "enough room is success");
}

}  // namespace texts

namespace contexts {

errgroup::error upload(std::string const& name) {
  return name == "b.txt" ? errgroup::make_error("the shelf is full") : errgroup::error();
}

errgroup::error publish(std::string const& name) {
  return upload(name).with_context("publish " + name);
}

errgroup::error release(std::vector<std::string> const& names) {
  return errgroup::for_each(names, publish).with_context([&] {
    return "release of " + std::to_string(names.size()) + " files";
  });
}

void check() {
  errgroup::error const err = release({"a.txt", "b.txt"});
  expect(err.what() == "release of 2 files: publish b.txt: the shelf is full",
         "each caller says what it was doing");
  expect(*err.get_if<std::string>() == "the shelf is full", "what failed is what it was");
  expect(!release({"a.txt"}), "success stays success");
}

}  // namespace contexts

namespace own_types {

void check() {
  errgroup::group g;
  g.run([] { return lib::status(std::errc::io_error, "block 7 is gone"); });
  errgroup::error const err = g.wait();
  expect(err == std::errc::io_error, "a status has its code");
  expect(err.what() == "block 7 is gone", "... its words");
  auto const* const whole = err.get_if<lib::status>();
  expect(whole != nullptr && whole->message() == "block 7 is gone", "... and is kept whole");
  g.reset();
  g.run([] { return lib::status(); });
  expect(!g.wait(), "a status that is ok is success");
}

}  // namespace own_types

namespace every_failure {

errgroup::error scan_all(std::vector<page> const& pages) {
  errgroup::group g{{.policy = errgroup::on_error::keep_going,
                     .errors = errgroup::keep::all,
                     .max_errors = 20,
                     .name = "scan"}};
  for (page p : pages) {
    g.run("page " + std::to_string(p.number), [p] { return scan(p); });
  }
  return g.wait();
}

void tell(errgroup::error const& err) {
  for (errgroup::error const& one : err.all()) {  // the first one in front; none, if none failed
    std::cerr << one.origin().name << ": " << one.what() << '\n';
  }
  std::cerr << "and " << err.dropped() << " more\n";
}

void check() {
  std::vector<page> pages;
  for (int i = 0; i < 100; ++i) {
    pages.push_back({i});
  }
  errgroup::error const err = scan_all(pages);
  tell(err);
  expect(err.all().size() == 20 && err.dropped() == 51 - 20, "51 failures, 20 of them kept");
  expect(err.echoes() == 0 && err.skipped() == 0, "nothing was cancelled");
  expect(err.origin().path.starts_with("scan/page "), "the path names the group and the task");

  auto const* const first = err.get_if<bad_page>();
  expect(first != nullptr && first->number % 2 != 0, "get_if finds what was thrown");
}

}  // namespace every_failure

namespace a_budget {

errgroup::error scan_some(std::vector<page> const& pages, std::ostream& log) {
  errgroup::group g{{.policy = errgroup::on_error::keep_going,
                     .errors = errgroup::keep::all,
                     .name = "scan",
                     .max_failures = 10}};
  auto const logged = g.on_failure([&log](errgroup::error const& e) {
    std::osyncstream(log) << e << '\n';  // several tasks may fail at the same time
  });
  for (page p : pages) {
    g.run("page " + std::to_string(p.number), [p] { return scan(p); });
  }
  return g.wait();
}

void list(errgroup::error const& err) {
  for (errgroup::error const& one : err.by_index()) {
    std::cerr << one.origin().index << ": " << one.what() << '\n';
  }
}

void check() {
  std::ostringstream log;
  errgroup::error const few = scan_some({{4}, {3}, {2}, {1}, {0}}, log);
  list(few);
  std::vector<errgroup::error> const sorted = few.by_index();
  expect(sorted.size() == 3 && sorted[0].origin().index == 0 && sorted[1].origin().index == 1 &&
             sorted[2].origin().index == 3,
         "pages 4, 3 and 1, in the order of their tasks");
  std::string const text = log.str();
  expect(std::count(text.begin(), text.end(), '\n') == 3, "each failure is logged");

  expect(scan_some(std::vector<page>(10'000, {1}), log).skipped() > 0, "too many failures cancel");
}

}  // namespace a_budget

namespace by_type {

bool worth_another_try(errgroup::error const& err) {
  if (auto const* bad = err.get_if<bad_page>()) {
    return bad->number == 0;
  }
  return err == std::errc::io_error || err == std::errc::timed_out;
}

void check() {
  expect(worth_another_try(std::make_error_code(std::errc::io_error)), "an io_error is");
  expect(!worth_another_try(std::make_exception_ptr(bad_page({3}))), "a bad page is not");
  expect(!worth_another_try(errc::canceled), "a cancellation is not");
}

}  // namespace by_type

namespace as_exceptions {

void scan_all(std::vector<page> const& pages) {
  errgroup::group g{{.policy = errgroup::on_error::keep_going, .errors = errgroup::keep::all}};
  for (page p : pages) {
    g.run([p] { return scan(p); });
  }
  g.wait().raise_all();
}

std::size_t failures(std::vector<page> const& pages) {
  try {
    scan_all(pages);
    return 0;
  } catch (errgroup::exception_group const& all) {
    return all.error().all().size() + all.error().dropped();
  }
}

void check() {
  expect(failures({{0}, {1}, {2}, {3}, {4}}) == 3, "pages 1, 3 and 4");
  expect(failures({{0}}) == 0, "no failure, no exception");
}

}  // namespace as_exceptions

namespace lost {

void make_lost_errors_fatal() {
  errgroup::set_lost_error_handler([](errgroup::error const& e) {
    std::cerr << "lost: " << e << '\n';
    std::abort();
  });
}

void check() {
  make_lost_errors_fatal();
  {
    errgroup::group g;
    g.run([](std::stop_token const&) { return std::error_code(); });
    g.cancel();
  }
  expect(errgroup::set_lost_error_handler(nullptr) != nullptr, "a cancellation is not lost");
}

}  // namespace lost

}  // namespace

int main() {
  texts::check();
  contexts::check();
  own_types::check();
  every_failure::check();
  a_budget::check();
  by_type::check();
  as_exceptions::check();
  lost::check();
  return ok ? 0 : 1;
}
