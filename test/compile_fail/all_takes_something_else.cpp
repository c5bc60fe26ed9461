// What is called with an argument is no callable of `all` and its like.
// first: errgroup: these are callables, or one range of them
// expect: called with nothing, or with a std::stop_token if it takes one
// never: no matching function for call to .(errgroup::)?(all|any|race|take|last|quorum|join)

#include <errgroup/all.hpp>
#include <errgroup/any.hpp>
#include <errgroup/take.hpp>

#ifdef ERRGROUP_COMPILE_OK
auto wrong() {
  return [i = 7] { return i; };
}
#else
auto wrong() {
  return [](int i) { return i; };
}
#endif

struct counts_nothing {
  template <class T>
  errgroup::verdict on_result(std::size_t, errgroup::result<T>&&) {
    return errgroup::verdict::go_on;
  }
  errgroup::result<> finish() { return {}; }
};

void use(errgroup::options opts) {
  auto right = [] { return 1; };
  (void)errgroup::all(right, wrong());
  (void)errgroup::all(opts, right, wrong());
  (void)errgroup::all_settled(wrong());
  (void)errgroup::all_settled(opts, wrong());
  (void)errgroup::any(right, wrong());
  (void)errgroup::any(opts, right, wrong());
  (void)errgroup::race(wrong());
  (void)errgroup::race(opts, wrong());
  (void)errgroup::take(1, wrong());
  (void)errgroup::take(opts, 1, wrong());
  (void)errgroup::last(1, wrong());
  (void)errgroup::last(opts, 1, wrong());
  (void)errgroup::quorum(1, wrong());
  (void)errgroup::quorum(opts, 1, wrong());
  (void)errgroup::join(counts_nothing(), wrong());
  (void)errgroup::join(opts, counts_nothing(), wrong());
}
