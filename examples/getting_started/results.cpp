#include <errgroup/errgroup.hpp>

#include <iostream>      // cout
#include <string>        // stoi, string
#include <system_error>  // errc, make_error_code
#include <vector>        // vector

// Reads a number, or tells why there is none.
errgroup::result<int> parse(std::string const& text) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) {
    return errgroup::make_error("'" + text + "' is not a number");
  }
  return std::stoi(text);
}

int main() {
  // A value for each element, in the order of the elements.
  std::vector<std::string> const texts = {"17", "21", "19"};
  errgroup::result<std::vector<int>> numbers = errgroup::transform({.limit = 2}, texts, parse);
  if (!numbers) {
    std::cout << numbers.error() << '\n';
    return 1;
  }
  std::cout << "transform: " << numbers->size() << " numbers, the first is " << numbers->front()
            << '\n';

  // Something done to each element.
  auto err = errgroup::for_each(*numbers, [](int& n) { n *= 2; });
  std::cout << "for_each: " << err << ", now the first is " << numbers->front() << '\n';

  // Different things at the same time, each with a value.
  auto both = errgroup::all([] { return parse("22"); }, [] { return std::string("Oslo"); });
  if (both) {
    auto const& [degrees, city] = *both;
    std::cout << "all: " << degrees << " degrees in " << city << '\n';
  }

  // A failure takes the place of the values.
  auto wrong = errgroup::transform(std::vector<std::string>{"17", "2o"}, parse);
  std::cout << "transform: " << wrong.error() << '\n';
}
