// Whether two values agree is for their operator== to say.
// expect: quorum\(\) compares what the tasks return: it needs an operator==

#include <errgroup/take.hpp>

struct vote {
  int party;
#ifdef ERRGROUP_COMPILE_OK
  bool operator==(vote const&) const = default;
#endif
};

bool collect() {
  auto votes = [] { return vote{3}; };
  return errgroup::quorum(2, votes, votes, votes).has_value();
}
