// A task fails, which it tells by an exception; the program prints why.

#include <tbb/task_group.h>  // task_group

#include <cstdio>        // puts
#include <system_error>  // errc, make_error_code, system_error

int main() {
  tbb::task_group group;
  group.run([] { throw std::system_error(std::make_error_code(std::errc::no_space_on_device)); });
  try {
    group.wait();
  } catch (std::system_error const& error) {
    return std::puts(error.what()) >= 0 && error.code() == std::errc::no_space_on_device ? 0 : 1;
  }
  return 1;
}
