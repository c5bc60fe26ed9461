// SPDX-License-Identifier: Apache-2.0
#include "layout.hpp"
#include "queue_pool.hpp"
#include <errgroup/detail/node.hpp>
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/detail/thread_state.hpp>
#include <errgroup/stack.hpp>

#include <pthread.h>  // pthread_key_create, pthread_setspecific
#if defined(__linux__)
#include <sys/syscall.h>  // SYS_gettid
#include <unistd.h>       // syscall
#endif

#include <cstdio>        // fputs
#include <exception>     // terminate
#include <new>           // bad_alloc, nothrow
#include <system_error>  // generic_category, system_error
#include <utility>       // exchange

namespace errgroup::inline v1::detail {

void die(char const* words) noexcept {
  std::fputs("errgroup: ", stderr);
  std::fputs(words, stderr);
  std::fputs("\n", stderr);
  std::terminate();
}

constinit thread_local thread_state* current_thread_state = nullptr;

bool runs_task() noexcept {
  thread_state const* const self = current_thread_state;
  return self != nullptr && self->top != &self->base;
}

namespace {

// States of threads that have ended, for new threads.
spin_mutex states_lock;
thread_state* free_states = nullptr;
std::uint32_t last_number = 0;

// Runs when a thread ends, after the destructors of its thread_local objects, which may use groups.
// (If the destructor of another thread-specific value uses a group even later, this function runs
// again.)
void leave_thread(void* p) noexcept {
  auto* const s = static_cast<thread_state*>(p);
  current_thread_state = nullptr;
  while (!s->nodes.is_empty()) {
    delete s->nodes.pop();
  }
  if (s->spare_queue != nullptr) {
    free_queue(std::exchange(s->spare_queue, nullptr));
  }
  s->system_number.store(0, std::memory_order_relaxed);
  spin_mutex::scoped_lock guard(states_lock);
  s->next_free = free_states;
  free_states = s;
}

pthread_key_t make_leave_key() {
  pthread_key_t key = 0;
  int const failed = pthread_key_create(&key, [](void* s) { leave_thread(s); });
  if (failed != 0) {
    throw std::system_error(failed, std::generic_category());  // with a text it would be large
  }
  return key;
}

}  // namespace

[[gnu::noinline, gnu::cold]] thread_state& adopt_thread() {
  static pthread_key_t const leave_key = make_leave_key();
  thread_state* s = nullptr;
  {
    spin_mutex::scoped_lock guard(states_lock);
    if (free_states != nullptr) {
      s = std::exchange(free_states, free_states->next_free);
    } else {
      s = new thread_state;
      s->number = ++last_number;
      s->publish();
    }
  }
  if (pthread_setspecific(leave_key, s) != 0) {
    leave_thread(s);
    throw std::bad_alloc();
  }
  // The linker takes the layout into each program that uses groups, and keeps it there.
  asm volatile("" : : "r"(&errgroup_layout_v1));
#if defined(__linux__)
  s->system_number.store(::syscall(SYS_gettid), std::memory_order_relaxed);
#endif
  current_thread_state = s;
  return *s;
}

thread_state& adopt_worker() noexcept {
  try {
    return adopt_thread();
  } catch (...) {
    die("out of memory for what a thread needs to run its first task");
  }
}

task_frame* grow_frames(thread_state& self) noexcept {
  auto* f = new (std::nothrow) task_frame;
  if (f == nullptr) {
    die("out of memory for what a task needs that is nested deeper than any before");
  }
  f->below = self.top;
  self.top->above.store(f, std::memory_order_release);
  return f;
}

}  // namespace errgroup::inline v1::detail
