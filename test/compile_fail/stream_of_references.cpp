// A stream keeps results until it is their turn.
// expect: a stream is of objects: of pointers, if the results are references

#include <errgroup/stream.hpp>

errgroup::error collect() {
#ifdef ERRGROUP_COMPILE_OK
  errgroup::stream<int*> out({}, [](int*) {});
#else
  errgroup::stream<int&> out({}, [](int&) {});
#endif
  return out.wait();
}
