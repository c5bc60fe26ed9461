// A program that throws nothing itself: the standard library does, in one of its tasks.

#include <errgroup/errgroup.hpp>

#include <atomic>    // atomic
#include <iostream>  // cerr
#include <locale>    // locale
#include <string>    // string

std::atomic<int> after_the_call = 0;

[[gnu::noinline]] void ask_for_a_strange_locale() {
  std::locale const strange("there is no such locale");
  ++after_the_call;
}

int main() {
  errgroup::group g;
  g.run(ask_for_a_strange_locale);
  auto const err = g.wait();
  auto const stack = err.stack();
  for (auto const& call : stack) {
    if (call.function.find("ask_for_a_strange_locale") != std::string::npos) {
      return 0;
    }
  }
  std::cerr << "consumer: the stack of \"" << err << "\" lacks the function that called:\n";
  for (auto const& call : stack) std::cerr << "  " << call << '\n';
  return 1;
}
