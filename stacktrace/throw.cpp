// SPDX-License-Identifier: Apache-2.0

// Takes the place of the C++ runtime's __cxa_throw, which every `throw` calls: the loader finds the
// executable's own definition first, for the executable and for all of its shared libraries.

#include "captures.hpp"
#include "symbols.hpp"
#include <errgroup/detail/spin_mutex.hpp>
#include <errgroup/stack.hpp>

#include <dlfcn.h>   // dlsym
#include <unwind.h>  // _Unwind_...

#include <algorithm>  // copy_n
#include <array>      // array
#include <atomic>     // atomic
#include <bit>        // bit_cast
#include <cstddef>    // size_t
#include <cstdint>    // uintptr_t
#include <cstdio>     // fputs
#include <cstdlib>    // abort, free, malloc
#include <cstring>    // memcpy
#include <exception>  // exception_ptr
#include <new>        // placement new
#include <typeinfo>   // type_info

namespace errgroup::inline v1::detail {
namespace {

using destructor = void (*)(void*);
using thrower = void (*)(void*, std::type_info*, destructor);

// --- the stacks, by exception ----------------------------------------------------------------

/// An exception's stack, and the destructor that it was thrown with. The addresses follow it in
/// memory.
struct capture {
  void const* exception;
  destructor destroy;
  std::size_t size;
  capture* next;

  [[nodiscard]] std::uintptr_t* calls() noexcept {
    return reinterpret_cast<std::uintptr_t*>(this + 1);
  }
};
static_assert(sizeof(capture) % alignof(std::uintptr_t) == 0);

/// Few exceptions live at a time; there are many buckets so that threads that throw at the same
/// time have each their own lock.
struct bucket {
  spin_mutex mutex;
  capture* first = nullptr;
};

constinit std::array<bucket, 256> buckets;

bucket& bucket_of(void const* exception) noexcept {
  auto const address = reinterpret_cast<std::uintptr_t>(exception);
  return buckets[(address >> 4 ^ address >> 12) % buckets.size()];
}

/// Where `exception` is in its bucket's list, or the null at the list's end. Under the lock.
capture** find(bucket& b, void const* exception) noexcept {
  capture** at = &b.first;
  while (*at != nullptr && (*at)->exception != exception) {
    at = &(*at)->next;
  }
  return at;
}

/// False if there is no memory: then the exception has no stack.
bool remember(void const* exception, destructor destroy, raw_stack const& stack) noexcept {
  // Not operator new: that may be the program's own, and throw what comes here again.
  void* const memory = std::malloc(sizeof(capture) + stack.size * sizeof(std::uintptr_t));
  if (memory == nullptr) {
    return false;
  }
  auto* const c = ::new (memory) capture{exception, destroy, stack.size, nullptr};
  std::copy_n(stack.calls.begin(), stack.size, c->calls());
  bucket& b = bucket_of(exception);
  spin_mutex::scoped_lock const guard(b.mutex);
  c->next = b.first;
  b.first = c;
  return true;
}

/// The destructor that an exception with a stack is thrown with. The runtime calls it once, when
/// nobody holds the exception any more, in whichever thread that is.
void forget(void* exception) {
  capture* c = nullptr;
  {
    bucket& b = bucket_of(exception);
    spin_mutex::scoped_lock const guard(b.mutex);
    capture** const at = find(b, exception);
    c = *at;
    *at = c->next;
  }
  destructor const destroy = c->destroy;
  std::free(c);
  if (destroy != nullptr) {  // null: there is nothing to destroy, as of an int
    destroy(exception);
  }
}

// --- capturing -------------------------------------------------------------------------------

struct walk {
  raw_stack stack;
  std::uintptr_t begin;  // where the innermost call that counts returns to
  bool has_begun = false;
};

_Unwind_Reason_Code visit(_Unwind_Context* context, void* data) {
  auto& w = *static_cast<walk*>(data);
  int is_exact = 0;  // not after a call, but at what a signal interrupted
  std::uintptr_t const address = _Unwind_GetIPInfo(context, &is_exact);
  w.has_begun = w.has_begun || address == w.begin;
  if (address == 0 || w.stack.size == raw_stack::most) {
    return _URC_END_OF_STACK;
  }
  if (w.has_begun) {
    // What comes after a call may be another line, or another function.
    w.stack.calls[w.stack.size++] = is_exact != 0 ? address : address - 1;
  }
  return _URC_NO_REASON;
}

/// A function of its own, so that what it needs is off the stack while the exception flies.
[[gnu::noinline]] bool capture_stack(void const* exception, destructor destroy,
                                     void* return_address) noexcept {
  walk w;
  w.begin = reinterpret_cast<std::uintptr_t>(__builtin_extract_return_addr(return_address));
  _Unwind_Backtrace(visit, &w);
  return w.stack.size != 0 && remember(exception, destroy, w.stack);
}

/// The __cxa_throw that would be called if this one did not exist: the C++ runtime's, or that of a
/// sanitizer.
thrower next_throw() noexcept {
  static constinit std::atomic<thrower> known{nullptr};
  thrower next = known.load(std::memory_order_relaxed);
  if (next == nullptr) {
    void* const found = dlsym(RTLD_NEXT, "__cxa_throw");
    if (found == nullptr) {
      std::fputs(
          "errgroup::stacktrace: there is no other __cxa_throw; is libstdc++ linked "
          "statically?\n",
          stderr);
      std::abort();
    }
    next = std::bit_cast<thrower>(found);
    known.store(next, std::memory_order_relaxed);  // all threads find the same
  }
  return next;
}

// --- reading ---------------------------------------------------------------------------------

/// The stack_reader.
void read(std::exception_ptr const& exception, frame_sink sink, void* to) {
  // An exception_ptr is a pointer to the exception object, in libstdc++ and in the C++ ABI that it
  // follows, and tells it to nobody. `catch` would tell only the part that is of a known type.
  void* object = nullptr;
  static_assert(sizeof exception == sizeof object);
  std::memcpy(static_cast<void*>(&object), static_cast<void const*>(&exception), sizeof object);
  raw_stack const stack = captured_stack(object);
  if (stack.size != 0) {
    for (stack_frame const& call : read_symbols(stack)) {
      sink(to, call);
    }
  }
}

/// Runs before `main`. Looks for the next __cxa_throw now rather than in the middle of a throw; who
/// throws even earlier looks for it then.
[[maybe_unused]] bool const is_set_up = [] {
  next_throw();
  // Release: `read` may use all that was initialised before.
  read_stack.store(&read, std::memory_order_release);
  return true;
}();

}  // namespace

raw_stack captured_stack(void const* exception) noexcept {
  raw_stack result;
  bucket& b = bucket_of(exception);
  spin_mutex::scoped_lock const guard(b.mutex);
  if (capture* const c = *find(b, exception)) {
    std::copy_n(c->calls(), c->size, result.calls.begin());
    result.size = c->size;
  }
  return result;
}

std::size_t captured_stacks() noexcept {
  std::size_t n = 0;
  for (bucket& b : buckets) {
    spin_mutex::scoped_lock const guard(b.mutex);
    for (capture const* c = b.first; c != nullptr; c = c->next) {
      ++n;
    }
  }
  return n;
}

}  // namespace errgroup::inline v1::detail

extern "C" {

/// The linker is told to look for this name, so that this file is part of every program that links
/// errgroup::stacktrace: also of one that throws nothing itself, and where a sanitizer's library
/// has offered its __cxa_throw before.
extern char const errgroup_stacktrace_is_linked;
char const errgroup_stacktrace_is_linked = 1;

// The name is the C++ ABI's.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
[[noreturn]] __attribute__((visibility("default"))) void __cxa_throw(void* exception,
                                                                     std::type_info* type,
                                                                     void (*destroy)(void*)) {
  using namespace errgroup::detail;
  if (runs_task() && capture_stack(exception, destroy, __builtin_return_address(0))) {
    destroy = &forget;
  }
  next_throw()(exception, type, destroy);
  std::abort();  // it does not return
}

}  // extern "C"
