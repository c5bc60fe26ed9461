// docs/cookbook.md: Read, work, write in order.

#include <errgroup/errgroup.hpp>

#include <iostream>      // cerr, cin, cout
#include <istream>       // istream
#include <optional>      // nullopt, optional
#include <ostream>       // ostream
#include <string>        // getline, stoul, string, to_string
#include <system_error>  // errc, error_code, make_error_code

namespace stage = errgroup::stage;

errgroup::result<std::string> factors_of(std::string const& line) {
  if (line.empty() || line.size() > 9 ||
      line.find_first_not_of("0123456789") != std::string::npos) {
    return errgroup::make_error("'" + line + "' is not a number of at most nine digits");
  }
  unsigned long rest = std::stoul(line);
  std::string text = line + ':';
  for (unsigned long divisor = 2; divisor * divisor <= rest; ++divisor) {
    for (; rest % divisor == 0; rest /= divisor) {
      text += ' ' + std::to_string(divisor);
    }
  }
  return rest > 1 ? text + ' ' + std::to_string(rest) : text;
}

errgroup::error factorise(std::istream& in, std::ostream& out) {
  return errgroup::pipeline(
      {.limit = 4, .queue = 100, .name = "factorise"},
      stage::source("read",
                    [&]() -> std::optional<std::string> {
                      std::string line;
                      return std::getline(in, line) ? std::optional(line) : std::nullopt;
                    }),
      stage::parallel("work", [](std::string&& line) { return factors_of(line); }),
      stage::in_order("write", [&](std::string&& text) {
        out << text << '\n';
        return std::make_error_code(out ? std::errc() : std::errc::io_error);
      }));
}

int main() {
  if (auto err = factorise(std::cin, std::cout)) {
    std::cerr << err << '\n';
    return 1;
  }
}
