// Compiles and links the programs beside this file, each with one group.
//
// - `compile`: the time that the compiler takes for one of them (-O2).
// - `size`: the size of the program, in `file_bytes`, stripped and without sections that nothing
//   uses. errgroup is linked as it was built, which is statically unless BUILD_SHARED_LIBS says
//   otherwise; oneTBB and the standard library are shared. The time is that of linking.

#include "../support/harness.hpp"

#include <cstddef>       // size_t
#include <cstdlib>       // mkdtemp, system
#include <filesystem>    // file_size, path, remove_all, temp_directory_path
#include <string>        // string
#include <system_error>  // error_code

namespace {

// From CMakeLists.txt: the compiler with its options, the libraries, and the folder of the sources.
std::string const compiler = ERRGROUP_PERF_COMPILER;
std::string const libraries = ERRGROUP_PERF_LIBRARIES;
std::string const sources = ERRGROUP_PERF_SOURCES;

/// A folder that is removed when the process ends.
class scratch {
 public:
  scratch() : path_((std::filesystem::temp_directory_path() / "errgroup-XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  scratch(scratch const&) = delete;
  scratch& operator=(scratch const&) = delete;
  ~scratch() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  std::string file(std::string const& name) const { return '\'' + path_ + '/' + name + '\''; }
  std::size_t size_of(std::string const& name) const {
    std::error_code missing;
    auto const size = std::filesystem::file_size(path_ + '/' + name, missing);
    return missing ? 0 : size;
  }

 private:
  std::string path_;
};

bool runs(std::string const& command) { return std::system(command.c_str()) == 0; }

void add(std::string const& contender) {
  static scratch const folder;
  std::string const object = folder.file(contender + ".o");
  std::string const compile = compiler + " -c '" + sources + '/' + contender + ".cpp' -o " + object;
  std::string const link = compiler + ' ' + object + " -s -Wl,--gc-sections " + libraries + " -o " +
                           folder.file(contender);

  perf::add("program", "compile", contender, [=](benchmark::State& state) {
    perf::answer answer(state);
    for (auto _ : state) answer.expect(runs(compile));
    answer.settle(1);
  });
  perf::add("program", "size", contender, [=](benchmark::State& state) {
    perf::answer answer(state);
    answer.expect(runs(compile));
    for (auto _ : state) answer.expect(runs(link));
    answer.expect(runs(folder.file(contender)));
    state.counters["file_bytes"] = static_cast<double>(folder.size_of(contender));
    answer.settle(1);
  })->Iterations(1);
}

bool const enrolled = perf::enroll([] {
  add("tbb");
  add("errgroup");
});

}  // namespace
