#include <errgroup/errgroup.hpp>

#include <iostream>   // cerr, cout
#include <map>        // map
#include <stdexcept>  // invalid_argument
#include <string>     // stoi, string

// Reads a number. A failure is an exception.
int parse(std::string const& text) {
  if (text.find_first_not_of("0123456789") != std::string::npos) {
    throw std::invalid_argument("'" + text + "' is not a number");
  }
  return std::stoi(text);
}

int main() {
  std::map<std::string, std::string> const texts = {{"Bergen", "17"}, {"Oslo", "2o"}};
  std::map<std::string, int> numbers = {{"Bergen", 0}, {"Oslo", 0}};
  errgroup::group g{{.name = "temperatures"}};
  for (auto const& [city, text] : texts) {
    g.run(city, [&text, &number = numbers.at(city)] { number = parse(text); });
  }
  if (auto err = g.wait()) {
    std::cerr << err << '\n';
    if (err.get_if<std::invalid_argument>() != nullptr) {
      std::cerr << "Please correct the text for " << err.origin().name << ".\n";
    }
    return 1;
  }
  std::cout << "all texts are numbers\n";
}
