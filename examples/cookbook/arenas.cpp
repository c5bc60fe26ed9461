// docs/cookbook.md: NUMA nodes and priorities.

#include <errgroup/errgroup.hpp>

#include <tbb/info.h>        // default_concurrency, numa_nodes
#include <tbb/task_arena.h>  // task_arena

#include <algorithm>  // all_of
#include <cstddef>    // size_t
#include <deque>      // deque
#include <iostream>   // cout
#include <numeric>    // iota, reduce
#include <vector>     // vector

/// A NUMA node: its threads, a group whose tasks they run, and data in its memory.
struct node {
  explicit node(tbb::numa_node_id id) : threads(tbb::task_arena::constraints(id)) {}

  tbb::task_arena threads;
  std::vector<long> numbers;
  long sum = 0;
  errgroup::group tasks{{.name = "node", .arena = &threads}};  // the last member
};

errgroup::result<std::vector<long>> sum_on_each_node(std::size_t count) {
  std::deque<node> nodes;
  for (tbb::numa_node_id const id : tbb::info::numa_nodes()) {
    nodes.emplace_back(id);
  }
  for (node& n : nodes) {
    n.tasks.run([&n, count] {
      n.numbers.resize(count);  // memory lies on the node of the thread that writes it first
      std::iota(n.numbers.begin(), n.numbers.end(), 1L);
      n.sum = std::reduce(n.numbers.begin(), n.numbers.end());
    });
  }
  std::vector<long> sums;
  for (node& n : nodes) {
    if (auto err = n.threads.execute([&n] { return n.tasks.wait(); })) {
      return err;
    }
    sums.push_back(n.sum);
  }
  return sums;
}

errgroup::error answer_first() {
  int const threads = tbb::info::default_concurrency();
  tbb::task_arena urgent(threads, 1, tbb::task_arena::priority::high);
  tbb::task_arena background(threads, 1, tbb::task_arena::priority::low);
  errgroup::group requests{{.name = "requests", .arena = &urgent}};
  errgroup::group cleaning{{.name = "cleaning", .arena = &background}};
  for (int i = 0; i != 100; ++i) {
    cleaning.run([] { /* … */ });
    requests.run([] { /* … */ });
  }
  errgroup::error const both[] = {requests.wait(), cleaning.wait()};
  return errgroup::combine(both);
}

int main() {
  auto const sums = sum_on_each_node(1000);
  bool const is_right =
      sums && !sums->empty() && std::ranges::all_of(*sums, [](long sum) { return sum == 500'500; });
  std::cout << "the sum on each node: " << (is_right ? "500500" : "wrong") << '\n';
  std::cout << "requests and cleaning: " << answer_first() << '\n';
}
