// SPDX-License-Identifier: Apache-2.0
#include "registry.hpp"

#include <errgroup/mpi/error.hpp>

#include <csignal>  // pthread_sigmask, sigfillset
#include <utility>  // move

namespace errgroup::inline v1::mpi::detail {

registry& registry::get() {
  static auto& all = *new registry;  // never destroyed: groups may outlive MPI
  return all;
}

std::shared_ptr<channel> registry::find(MPI_Comm parent) {
  int const key = key_.load(std::memory_order_acquire);
  if (key == MPI_KEYVAL_INVALID) {
    return nullptr;
  }
  // MPI may hold a lock of its own while it calls `on_communicator_freed`, which takes the lock
  // here. So no function for attributes is called under the lock here.
  void* value = nullptr;
  int is_there = 0;
  MPI_Comm_get_attr(parent, key, static_cast<void*>(&value), &is_there);
  if (is_there != 0) {
    std::scoped_lock const held(lock_);
    for (auto const& c : channels_) {
      if (c.get() == value) {
        return c;
      }
    }
  }
  return nullptr;
}

void registry::add(std::shared_ptr<channel> const& c, MPI_Comm parent) {
  make_keys();
  if (std::error_code const problem =
          check(MPI_Comm_set_attr(parent, key_.load(std::memory_order_relaxed), c.get()))) {
    throw std::system_error(problem, "errgroup::mpi::group: MPI_Comm_set_attr");
  }
  std::scoped_lock const held(lock_);
  channels_.push_back(c);
  if (c->ranks() > 1) {
    start_watcher();
  }
}

void registry::make_keys() {
  std::call_once(keys_made_, [this] {
    int key = MPI_KEYVAL_INVALID;
    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, on_finalize, &key, nullptr);
    MPI_Comm_set_attr(MPI_COMM_SELF, key, nullptr);
    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, on_communicator_freed, &key, nullptr);
    key_.store(key, std::memory_order_release);
  });
}

// Under the lock.
void registry::start_watcher() {
  if (watcher_.joinable()) {
    return;
  }
  // The signals of the process are for the program's threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    watcher_ = std::thread([this] { watch(); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void registry::watch() {
  std::unique_lock held(lock_);
  while (!is_ending_) {
    std::vector<std::shared_ptr<channel>> busy;
    for (auto const& c : channels_) {
      if (c->is_busy()) {
        busy.push_back(c);
      }
    }
    if (busy.empty() && given_up_.empty()) {
      is_awake_ = false;
      woken_.wait(held);
      is_awake_ = true;
      continue;
    }
    is_awake_ = true;
    test_given_up();
    held.unlock();
    for (auto const& c : busy) {
      c->advance();
    }
    busy.clear();
    held.lock();
    if (!is_ending_) {
      woken_.wait_for(held, pause_.load(std::memory_order_relaxed));
    }
  }
}

void registry::wake() noexcept {
  std::scoped_lock const held(lock_);
  if (!is_awake_) {
    is_awake_ = true;
    woken_.notify_one();
  }
}

void registry::set_poll(std::chrono::nanoseconds pause) noexcept {
  pause_.store(pause, std::memory_order_relaxed);
  std::scoped_lock const held(lock_);
  woken_.notify_one();
}

void registry::keep(given_up operation) {
  make_keys();
  std::scoped_lock const held(lock_);
  given_up_.push_back(std::move(operation));
  start_watcher();
  woken_.notify_one();
}

// Under the lock.
void registry::test_given_up() noexcept {
  std::erase_if(given_up_, [](given_up& g) {
    int is_done = 0;
    return MPI_Test(&g.request, &is_done, MPI_STATUS_IGNORE) == MPI_SUCCESS && is_done != 0;
  });
}

void registry::close_all() noexcept {
  std::vector<std::shared_ptr<channel>> all;
  {
    std::scoped_lock const held(lock_);
    is_ending_ = true;
    woken_.notify_one();
  }
  if (watcher_.joinable()) {
    watcher_.join();
  }
  {
    std::scoped_lock const held(lock_);
    all.swap(channels_);
    test_given_up();
  }
  for (auto const& c : all) {
    c->close();
  }
}

int registry::on_communicator_freed(MPI_Comm /*comm*/, int /*key*/, void* value, void* /*extra*/) {
  registry& all = get();
  std::shared_ptr<channel> mine;
  {
    std::scoped_lock const held(all.lock_);
    std::erase_if(all.channels_, [&](std::shared_ptr<channel> const& c) {
      if (c.get() != value) {
        return false;
      }
      mine = c;
      return true;
    });
  }
  // MPI_Comm_free is collective: the other ranks are here as well, or come.
  if (mine != nullptr) {
    mine->close();
  }
  return MPI_SUCCESS;
}

int registry::on_finalize(MPI_Comm /*comm*/, int /*key*/, void* /*value*/, void* /*extra*/) {
  get().close_all();
  return MPI_SUCCESS;
}

}  // namespace errgroup::inline v1::mpi::detail
