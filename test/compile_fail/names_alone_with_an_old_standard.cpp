// A header that only declares names says so, too.
// flags: -std=c++17
// first: errgroup needs C\+\+20
// expect: errgroup needs C\+\+20

#include <errgroup/fwd.hpp>
