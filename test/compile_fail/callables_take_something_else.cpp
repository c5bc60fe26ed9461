// Where one callable is called with nothing, one that wants an argument is refused in words.
// expect: what is spawned is called with nothing, or with a std::stop_token
// expect: what is tried again is called with nothing, or with a std::stop_token
// expect: a step of waterfall\(\) is called with what the one before gave
// expect: the body of a scope is called with the group
// expect: the body of a scope returns what a task may
// expect: and_then calls its argument with the value
// expect: with an element, or with an element and a
// never: no matching function for call to .(errgroup::)?(spawn|retry|waterfall|scope|for_each)

#include <errgroup/for_each.hpp>
#include <errgroup/retry.hpp>
#include <errgroup/scope.hpp>
#include <errgroup/spawn.hpp>
#include <errgroup/waterfall.hpp>

#include <string>
#include <vector>

void use(errgroup::group& g, errgroup::result<int> const& r) {
#ifdef ERRGROUP_COMPILE_OK
  (void)errgroup::spawn(g, [] {});
  (void)errgroup::retry({}, [] {});
  (void)errgroup::waterfall(7, [](int) {});
  (void)errgroup::scope([](errgroup::group&) {});
  (void)r.and_then([](int) { return errgroup::result<>(); });
  (void)errgroup::for_each(std::vector<int>(), [](int) {});
#else
  (void)errgroup::spawn(g, [](int) {});
  (void)errgroup::retry({}, [](int) {});
  (void)errgroup::waterfall(7, [](std::string const&) {});
  (void)errgroup::scope([](int) {});
  (void)errgroup::scope([](errgroup::group&) { return 7; });
  (void)r.and_then([](std::string const&) { return errgroup::result<>(); });
  (void)errgroup::for_each(std::vector<int>(), [](std::string const&) {});
#endif
}
