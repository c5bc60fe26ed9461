#include <errgroup/errgroup.hpp>

#include <cstddef>       // size_t
#include <cstdint>       // uintmax_t
#include <filesystem>    // file_size
#include <iostream>      // cerr, cout
#include <numeric>       // reduce
#include <string>        // string
#include <system_error>  // error_code
#include <vector>        // vector

int main(int argc, char** argv) {
  std::vector<std::string> const paths(argv + 1, argv + argc);
  std::vector<std::uintmax_t> sizes(paths.size());
  errgroup::group g{{.limit = 4}};  // at most four tasks at once
  for (std::size_t i = 0; i != paths.size(); ++i) {
    g.run(paths[i], [&, i]() -> std::error_code {  // a name, for the message
      std::error_code ec;
      sizes[i] = std::filesystem::file_size(paths[i], ec);
      return ec;  // a failure cancels the rest
    });
  }
  if (auto err = g.wait()) {  // the first error, or success
    // nowhere.txt: No such file or directory (task 1, run at readme.cpp:17)
    std::cerr << err << '\n';
    return 1;
  }
  std::cout << std::reduce(sizes.begin(), sizes.end()) << " bytes\n";
}

// README.md shows this program. docs/check.py compares the two.
