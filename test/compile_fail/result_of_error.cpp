// Whether an error is a value or a failure nobody could tell.
// expect: a result's value is no error: use errgroup::result<>

#include <errgroup/result.hpp>

#ifdef ERRGROUP_COMPILE_OK
errgroup::result<> save() { return errgroup::error(); }
#else
errgroup::result<errgroup::error> save() { return errgroup::error(); }
#endif
