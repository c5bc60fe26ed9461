// Tasks of one group that fail in four ways, and what their caller gets: the code, the words, and
// the error itself by its type. test/result_traits_test.cpp has more specialisations to copy.

#include <errgroup/errgroup.hpp>

#include <iostream>      // cout
#include <stdexcept>     // out_of_range
#include <string>        // string, to_string
#include <system_error>  // errc, error_category, error_code
#include <utility>       // move
#include <variant>       // variant
#include <vector>        // vector

// --- a status of our own, which errgroup does not know ---

struct http_status {
  int number = 200;
  std::string url = {};

  [[nodiscard]] bool ok() const { return number < 400; }
  [[nodiscard]] std::string message() const { return url + ": " + std::to_string(number); }
};

class http_category final : public std::error_category {
 public:
  [[nodiscard]] char const* name() const noexcept override { return "http"; }
  [[nodiscard]] std::string message(int number) const override {
    return number == 404 ? "not found" : "status " + std::to_string(number);
  }
  [[nodiscard]] std::error_condition default_error_condition(int number) const noexcept override {
    if (number == 404) {
      return std::errc::no_such_file_or_directory;
    }
    return {number, *this};
  }
};
http_category const http;

// What is a failure, and what becomes of it: an error with this code, with what its message() says,
// and with the status itself for get_if<http_status>().
template <>
struct errgroup::result_traits<http_status> {
  static bool failed(http_status const& s) { return !s.ok(); }
  static errgroup::error to_error(http_status&& s) {
    std::error_code const code(s.number, http);
    return errgroup::make_error(std::move(s), code);
  }
};

// --- something like std::expected: errgroup goes by has_value() and error() ---

template <class T, class E>
class result {
 public:
  result(T value) : content_(std::move(value)) {}
  result(E error) : content_(std::move(error)) {}
  [[nodiscard]] bool has_value() const { return content_.index() == 0; }
  [[nodiscard]] E& error() & { return std::get<1>(content_); }
  [[nodiscard]] E&& error() && { return std::get<1>(std::move(content_)); }

 private:
  std::variant<T, E> content_;
};

struct parse_error {
  int line;
  [[nodiscard]] std::string message() const { return "bad line " + std::to_string(line); }
};

// --- the tasks ---

namespace {

std::error_code save() { return std::make_error_code(std::errc::no_space_on_device); }
http_status fetch() { return {404, "example.org/list"}; }
result<double, parse_error> parse() { return parse_error{12}; }
int look_up() { return std::vector<int>(3).at(7); }

}  // namespace

int main() {
  // All errors; and one task at a time, only to see them in this order.
  errgroup::group g{
      {.limit = 1, .policy = errgroup::on_error::keep_going, .errors = errgroup::keep::all}};
  g.run("returns std::error_code", save);
  g.run("returns http_status", fetch);
  g.run("returns result<double, parse_error>", parse);
  g.run("throws std::out_of_range", [] { (void)look_up(); });
  errgroup::error const err = g.wait();

  for (errgroup::error const& failure : err.all()) {  // the first one in front
    std::cout << failure.origin().name << "\n  code: " << failure.code() << " ("
              << failure.code().message() << ")\n  what: " << failure.what() << '\n';
  }

  // By type: the first of that type, whichever it is of all of them.
  std::cout << "get_if\n";
  if (auto const* code = err.get_if<std::error_code>()) {
    std::cout << "  std::error_code: " << code->message() << '\n';
  }
  if (auto const* status = err.get_if<http_status>()) {
    std::cout << "  http_status: " << status->number << " for " << status->url << '\n';
  }
  if (auto const* bad = err.get_if<parse_error>()) {
    std::cout << "  parse_error: in line " << bad->line << '\n';
  }
  if (auto const* thrown = err.get_if<std::out_of_range>()) {
    std::cout << "  std::out_of_range: " << thrown->what() << '\n';
  }

  // By condition, whoever's code it is.
  auto const missing = [](errgroup::error const& e) {
    return e == std::errc::no_such_file_or_directory;
  };
  if (errgroup::error const* found = err.find_if(missing)) {
    std::cout << "find_if\n  no such file or directory: " << found->what() << '\n';
  }
}
