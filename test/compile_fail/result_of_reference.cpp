// A result holds an object: what it refers to would have to live somewhere else.
// expect: a result holds an object; return a pointer or a std::reference_wrapper

#include <errgroup/result.hpp>

int number = 3;

#ifdef ERRGROUP_COMPILE_OK
errgroup::result<int*> find() { return &number; }
#else
errgroup::result<int&> find() { return number; }
#endif
