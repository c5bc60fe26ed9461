// The object behind a reference is copied: the consumer may move from its argument.
// expect: a task of an errgroup::stream<T> returns a T, or an errgroup::result

#include <errgroup/stream.hpp>

#include <memory>   // unique_ptr
#include <utility>  // move

errgroup::error collect(std::unique_ptr<int>& mine) {
  errgroup::stream<std::unique_ptr<int>> out({}, [](std::unique_ptr<int>) {});
#ifdef ERRGROUP_COMPILE_OK
  out.run([&] { return std::move(mine); });
#else
  out.run([&]() -> std::unique_ptr<int>& { return mine; });
#endif
  return out.wait();
}
