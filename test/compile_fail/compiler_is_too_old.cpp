// An older compiler lacks parts of C++20: the error says which compiler is needed.
// flags: -Wno-builtin-macro-redefined
// expect: errgroup needs (GCC 12|Clang 16) or later

#ifndef ERRGROUP_COMPILE_OK
#ifdef __clang__
#undef __clang_major__
#define __clang_major__ 15
#else
#undef __GNUC__
#define __GNUC__ 11
#endif
#endif

#include <errgroup/errgroup.hpp>

int main() {}
