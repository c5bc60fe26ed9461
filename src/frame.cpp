#include "queue.hpp"
#include <errgroup/detail/frame.hpp>
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/spin_mutex.hpp>

#include <cstdio>     // fputs
#include <exception>  // terminate
#include <new>        // nothrow
#include <utility>    // exchange

namespace errgroup::detail {

void die(char const* words) noexcept {
  std::fputs("errgroup: ", stderr);
  std::fputs(words, stderr);
  std::fputs("\n", stderr);
  std::terminate();
}

constinit thread_local thread_state* current_thread_state = nullptr;

namespace {

// States of threads that have ended, for threads to come.
spin_mutex free_states_lock;
thread_state* free_states = nullptr;
std::uint64_t states_made = 0;

class resident {
 public:
  explicit resident(thread_state* s) noexcept : state_(s) {}
  resident(resident const&) = delete;
  resident& operator=(resident const&) = delete;
  ~resident() {
    current_thread_state = nullptr;
    while (!state_->nodes.is_empty()) {
      delete state_->nodes.pop();
    }
    if (state_->spare_queue != nullptr) {
      free_queue(std::exchange(state_->spare_queue, nullptr));
    }
    spin_mutex::scoped_lock guard(free_states_lock);
    state_->next_free = free_states;
    free_states = state_;
  }

 private:
  thread_state* state_;
};

}  // namespace

thread_state& adopt_thread() {
  thread_state* s = nullptr;
  {
    spin_mutex::scoped_lock guard(free_states_lock);
    if (free_states != nullptr) {
      s = std::exchange(free_states, free_states->next_free);
    } else {
      s = new thread_state;
      // Task numbers of different states never meet: 2^40 tasks each.
      s->next_task = ++states_made << 40;
    }
  }
  current_thread_state = s;
  thread_local resident const keeper(s);
  return *s;
}

thread_state& adopt_worker() noexcept {
  try {
    return adopt_thread();
  } catch (...) {
    die("out of memory for what a thread needs to run its first task");
  }
}

frame* grow_frames(thread_state& self) noexcept {
  auto* f = new (std::nothrow) frame;
  if (f == nullptr) {
    die("out of memory for what a task needs that is nested deeper than any before");
  }
  f->below = self.top;
  self.top->above = f;
  return f;
}

tether* new_tether() noexcept { return new (std::nothrow) tether; }

}  // namespace errgroup::detail
