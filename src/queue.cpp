#include "queue.hpp"

namespace errgroup::detail {
namespace {

tbb::spin_mutex free_queues_lock;
queue* free_queues = nullptr;

// A thread keeps so many free nodes, 256 KiB; what is beyond goes back to the heap.
constexpr std::size_t most_kept_nodes = 4096;

void free_nodes(node* n) noexcept {
  while (n != nullptr) {
    delete std::exchange(n, n->next);
  }
}

}  // namespace

node* new_node(thread_state&) { return new node; }

queue& take_queue(group& owner) {
  queue* q = nullptr;
  {
    tbb::spin_mutex::scoped_lock guard(free_queues_lock);
    q = free_queues;
    if (q != nullptr) {
      free_queues = q->next_free;
    }
  }
  if (q == nullptr) {
    q = new queue;
  }
  tbb::spin_mutex::scoped_lock guard(q->lock);
  q->owner = &owner;
  return *q;
}

void put_queue(thread_state& self, queue& q) noexcept {
  node* spare = nullptr;
  std::size_t count = 0;
  {
    tbb::spin_mutex::scoped_lock guard(q.lock);
    spare = std::exchange(q.spare, nullptr);
    count = std::exchange(q.spare_count, 0);
    q.serial.store(q.serial.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    q.owner = nullptr;
    q.ticket = q.closed = false;
    q.slots = queue::many;
    q.runners = 1;
    q.room = static_cast<std::size_t>(-1);
  }
  if (self.node_count + count <= most_kept_nodes) {
    while (spare != nullptr) {
      put_node(self, std::exchange(spare, spare->next));
    }
  } else {
    free_nodes(spare);
  }
  tbb::spin_mutex::scoped_lock guard(free_queues_lock);
  q.next_free = free_queues;
  free_queues = &q;
}

}  // namespace errgroup::detail
