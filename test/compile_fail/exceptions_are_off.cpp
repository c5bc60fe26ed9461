// Errors leave tasks as exceptions: the first error says so.
// flags: -fno-exceptions
// first: errgroup needs exceptions
// expect: compile without -fno-exceptions

#include <errgroup/errgroup.hpp>
