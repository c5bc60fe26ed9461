// A task fails; the program prints why.

#include <errgroup/group.hpp>  // group

#include <cstdio>        // puts
#include <system_error>  // errc, make_error_code

int main() {
  errgroup::group group;
  group.run([] { return std::make_error_code(std::errc::no_space_on_device); });
  errgroup::error const error = group.wait();
  return std::puts(error.message().c_str()) >= 0 && error == std::errc::no_space_on_device ? 0 : 1;
}
