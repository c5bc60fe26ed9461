#include <errgroup/errgroup.hpp>

#include <charconv>      // from_chars
#include <cstddef>       // size_t
#include <iostream>      // cerr, cout
#include <string>        // string
#include <system_error>  // errc, error_code, make_error_code
#include <vector>        // vector

// Reads a number. A failure is a std::error_code that is not zero.
std::error_code parse(std::string const& text, int& number) {
  char const* const end = text.data() + text.size();
  auto const read = std::from_chars(text.data(), end, number);
  return std::make_error_code(read.ptr == end ? read.ec : std::errc::invalid_argument);
}

int main() {
  std::vector<std::string> const texts = {"17", "21", "2o", "19"};  // the third one is wrong
  std::vector<int> numbers(texts.size());
  errgroup::group g;
  for (std::size_t i = 0; i != texts.size(); ++i) {
    g.run([&, i] { return parse(texts[i], numbers[i]); });
  }
  if (auto err = g.wait()) {
    std::cerr << err << '\n';
    return 1;
  }
  std::cout << "all texts are numbers\n";
}
