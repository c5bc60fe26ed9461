// A loop: what the work itself costs, and what efficiency is measured against.

#include "workload.hpp"

namespace {

using pipeline::ending;

struct serial {
  static constexpr std::string_view name = "serial";
  static constexpr std::size_t fewer = 1;

  template <class Item>
  static ending three(std::size_t, auto& read, auto const& work, auto& write) {
    return each<Item>(read, [&](Item&& one) { write(work(std::move(one))); });
  }

  template <class Item>
  static ending five(std::size_t, auto& read, auto& first, auto const& work, auto& second,
                     auto& write) {
    return each<Item>(read, [&](Item&& one) { write(second(work(first(std::move(one))))); });
  }

 private:
  template <class Item>
  static ending each(auto& read, auto f) {
    try {
      while (auto one = read()) {
        benchmark::DoNotOptimize(*one);  // else a loop of empty stages becomes one addition
        f(std::move(*one));
      }
    } catch (pipeline::thrown const&) {
      return ending::thrown;
    }
    return ending::done;
  }
};

bool const enrolled = perf::enroll(pipeline::add_all<serial>);

}  // namespace
