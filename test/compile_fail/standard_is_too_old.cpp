// C++17 lacks what the headers are made of: the first error says so.
// flags: -std=c++17
// first: errgroup needs C\+\+20: compile with -std=c\+\+20
// expect: errgroup needs C\+\+20

#include <errgroup/errgroup.hpp>
