// SPDX-License-Identifier: Apache-2.0
#include "recorder.hpp"

#include <errgroup/error.hpp>

#include <pthread.h>      // pthread_getname_np
#include <sys/syscall.h>  // SYS_gettid
#include <unistd.h>       // getpid, syscall

#include <algorithm>      // copy_n, max, min
#include <cerrno>         // program_invocation_short_name
#include <new>            // nothrow
#include <thread>         // yield
#include <unordered_map>  // unordered_map
#include <utility>        // exchange

namespace errgroup::inline v1::detail {
namespace {

constexpr std::size_t message_bytes = 400;

constinit thread_local track* own_track = nullptr;
constinit thread_local bool has_left = false;

}  // namespace

// --- a thread --------------------------------------------------------------------------------

void track::begin(std::uint32_t thread, std::string_view name) noexcept {
  thread_ = thread;
  name_ = {};
  std::copy_n(name.begin(), std::min(name.size(), name_.size() - 1), name_.begin());
}

void track::leave() noexcept { set_depth(0, last_.load(std::memory_order_relaxed)); }

void track::close_chunk() noexcept {
  if (chunk_ != nullptr) {
    event_store::close(*std::exchange(chunk_, nullptr));
  }
}

// No two events of a thread have the same time, not even in nanoseconds. So a time says which of a
// thread's events are complete, and slices nest if the counters of two processors disagree.
trace_clock::ticks track::stamp() noexcept {
  constexpr trace_clock::ticks step = 8;  // at least 1 ns, up to 8 GHz
  return std::max(trace_clock::now(), last_.load(std::memory_order_relaxed) + step);
}

record* track::slot(event_store& store, std::uint64_t session, event_kind kind) noexcept {
  if (chunk_ == nullptr || used_ == event_store::chunk_records || session_ != session)
      [[unlikely]] {
    close_chunk();
    session_ = session;
    used_ = 0;
    chunk_ = store.take(session);
    if (chunk_ == nullptr) {
      store.drop(kind == event_kind::task);
      return nullptr;
    }
  }
  return &chunk_->records[used_];
}

void track::publish(event_kind kind) noexcept {
  if (kind == event_kind::task) {
    chunk_->tasks.store(chunk_->tasks.load(std::memory_order_relaxed) + 1,
                        std::memory_order_relaxed);
  }
  chunk_->count.store(++used_, std::memory_order_release);
}

void track::set_depth(std::size_t depth, trace_clock::ticks at) noexcept {
  std::uint64_t const version = version_.load(std::memory_order_relaxed);
  version_.store(version + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);  // pairs with the fence in `read`
  depth_.store(depth, std::memory_order_relaxed);
  last_.store(at, std::memory_order_relaxed);
  version_.store(version + 2, std::memory_order_release);
}

void track::open_slice(event_kind kind, group_view g, std::size_t index, std::string_view name,
                       std::source_location const& where) noexcept {
  std::size_t const depth = depth_.load(std::memory_order_relaxed);
  if (depth >= most_open) {
    set_depth(depth + 1, last_.load(std::memory_order_relaxed));
    return;
  }
  name = cut(name, record::name_bytes);
  std::string_view const group = cut(g.name(), record::group_bytes);
  record& r = open_[depth];
  r.set_header({.kind = kind,
                .name_size = static_cast<std::uint8_t>(name.size()),
                .group_size = static_cast<std::uint8_t>(group.size()),
                .flags = 0,
                .thread = thread_});
  r.set_group(g.id());
  r.set_index(index);
  r.set_where(where);
  r.set_text(name, group);
  trace_clock::ticks const at = stamp();
  r.set_begin(at);
  set_depth(depth + 1, at);
}

trace_clock::ticks track::close_slice(event_store* store, std::uint64_t session, event_kind kind,
                                      std::uint8_t flags) noexcept {
  std::size_t const depth = depth_.load(std::memory_order_relaxed);
  if (depth == 0) {  // it began before this thread had a track
    return 0;
  }
  if (depth > most_open) {
    if (store != nullptr) {
      store->drop(kind == event_kind::task);
    }
    set_depth(depth - 1, last_.load(std::memory_order_relaxed));
    return 0;
  }
  trace_clock::ticks const at = stamp();
  record& from = open_[depth - 1];
  record* to = nullptr;
  if (store != nullptr) {
    to = slot(*store, session, kind);
    if (to != nullptr) {
      to->copy_from(from);
      record::header h = from.get_header();
      h.flags = flags;
      to->set_header(h);
      to->set_end(at);
      publish(kind);
    }
  }
  // A reader that sees the new depth sees the event, too: release in `set_depth`.
  set_depth(depth - 1, at);
  return to == nullptr ? 0 : at;
}

trace_clock::ticks track::add(event_store& store, std::uint64_t session, event_kind kind,
                              group_view g, std::uint64_t index) noexcept {
  trace_clock::ticks const at = stamp();
  record* const to = slot(store, session, kind);
  if (to == nullptr) {
    return 0;
  }
  std::string_view const group =
      kind == event_kind::run ? std::string_view() : cut(g.name(), record::group_bytes);
  to->set_header({.kind = kind,
                  .name_size = 0,
                  .group_size = static_cast<std::uint8_t>(group.size()),
                  .flags = 0,
                  .thread = thread_});
  to->set_begin(at);
  to->set_end(at);
  to->set_group(g.id());
  to->set_index(index);
  to->set_where({});
  to->set_text({}, group);
  publish(kind);
  last_.store(at, std::memory_order_release);
  return at;
}

void track::add_text(event_store& store, std::uint64_t session, trace_clock::ticks of,
                     std::string_view message) noexcept {
  message = cut(message, message_bytes);
  for (std::uint64_t part = 0; !message.empty(); ++part) {
    record* const to = slot(store, session, event_kind::text);
    if (to == nullptr) {
      return;
    }
    std::string_view const piece = message.substr(0, record::text_bytes);
    message.remove_prefix(piece.size());
    to->set_header({.kind = event_kind::text,
                    .name_size = static_cast<std::uint8_t>(piece.size()),
                    .group_size = 0,
                    .flags = 0,
                    .thread = thread_});
    to->set_begin(of);
    to->set_end(of);
    to->set_group(0);
    to->set_index(part);
    to->set_where({});
    to->set_text(piece, {});
    publish(event_kind::text);
  }
}

track::snapshot track::read() const {
  snapshot s;
  for (;;) {
    s.open.clear();
    std::uint64_t const version = version_.load(std::memory_order_acquire);
    if (version % 2 == 0) {
      std::size_t const depth = std::min(depth_.load(std::memory_order_relaxed), most_open);
      for (std::size_t i = 0; i != depth; ++i) {
        // The accesses are atomic; `atomic_ref` knows no const.
        s.open.emplace_back().copy_from(const_cast<record&>(open_[i]));
      }
      s.last = last_.load(std::memory_order_acquire);
      std::atomic_thread_fence(std::memory_order_acquire);
      if (version_.load(std::memory_order_relaxed) == version) {
        return s;
      }
    }
    std::this_thread::yield();
  }
}

// --- the observer ----------------------------------------------------------------------------

/// Gives the track back at the end of the thread.
struct recorder::leaver {
  leaver() = default;
  leaver(leaver const&) = delete;
  leaver& operator=(leaver const&) = delete;
  ~leaver() {
    has_left = true;
    if (track* const t = std::exchange(own_track, nullptr)) {
      instance().leave(*t);
    }
  }
};

recorder& recorder::instance() {
  static recorder& one = *new recorder;  // never destroyed
  return one;
}

void recorder::start(std::size_t events) {
  trace_clock::choose();
  std::size_t const chunks =
      std::max(event_store::least_chunks, events / event_store::chunk_records +
                                              (events % event_store::chunk_records != 0 ? 1 : 0));
  event_store* store = nullptr;
  for (event_store* const s : stores_) {
    if (s->capacity() >= chunks && (store == nullptr || s->capacity() < store->capacity())) {
      store = s;
    }
  }
  if (store == nullptr) {
    stores_.reserve(stores_.size() + 1);
    store = new event_store(chunks);
    stores_.push_back(store);
  }
  store->restart(chunks);
  {
    std::scoped_lock const held(tracks_lock_);
    for (track* t = free_; t != nullptr; t = t->next_free) {
      t->close_chunk();
    }
  }
  from_ = trace_clock::both();
  std::uint64_t const number = last_session_.load(std::memory_order_relaxed) + 1;
  last_session_.store(number, std::memory_order_relaxed);
  store_.store(store, std::memory_order_release);
  session_.store(number, std::memory_order_release);
}

void recorder::stop() noexcept { session_.store(0, std::memory_order_relaxed); }

std::uint64_t recorder::dropped() const noexcept {
  event_store const* const store = store_.load(std::memory_order_acquire);
  return store == nullptr ? 0 : store->dropped();
}

recorder::session recorder::now() const noexcept {
  // Acquire: the store of this session, or of a later one, is visible. A chunk of a later store
  // with this number is ignored.
  std::uint64_t const number = session_.load(std::memory_order_acquire);
  return {number, number == 0 ? nullptr : store_.load(std::memory_order_relaxed)};
}

track* recorder::here(std::uint64_t number) noexcept {
  if (own_track != nullptr) [[likely]] {
    return own_track;
  }
  return number == 0 ? nullptr : join();
}

[[gnu::noinline, gnu::cold]] track* recorder::join() noexcept {
  if (has_left) {  // a thread-specific object with a group, destroyed after the track
    return nullptr;
  }
  long const thread = ::syscall(SYS_gettid);
  bool const is_first = thread == ::getpid();
  if (!is_first) {  // the first thread goes on to record in destructors of static objects
    static thread_local leaver const leaves_at_end;
    (void)leaves_at_end;
  }
  std::array<char, 64> name{};
  if (is_first) {
    name = {"main"};
  } else if (::pthread_getname_np(::pthread_self(), name.data(), name.size()) != 0 ||
             std::string_view(program_invocation_short_name).starts_with(name.data())) {
    name = {};  // the program's name, which a thread has if it has no name of its own
  }
  std::scoped_lock const held(tracks_lock_);
  // First a track with a chunk, which this thread goes on to fill. So many short threads need no
  // more room than one thread.
  track** at = &free_;
  while (*at != nullptr && !(*at)->has_chunk()) {
    at = &(*at)->next_free;
  }
  if (*at == nullptr) {
    at = &free_;
  }
  track* t = *at;
  if (t != nullptr) {
    *at = t->next_free;
  } else {
    t = new (std::nothrow) track;
    if (t == nullptr) {
      return nullptr;
    }
    t->next = first_;
    first_ = t;
  }
  t->begin(static_cast<std::uint32_t>(thread), name.data());
  own_track = t;
  return t;
}

void recorder::leave(track& t) noexcept {
  std::scoped_lock const held(tracks_lock_);
  t.leave();
  t.next_free = free_;
  free_ = &t;
}

void recorder::add_text(track& t, session const& s, trace_clock::ticks of,
                        error const& e) noexcept {
  try {
    t.add_text(*s.store, s.number, of, e.message());
  } catch (...) {  // no memory for the text: the event has none
  }
}

void recorder::add(event_kind kind, group_view g, std::uint64_t index, error const* told) noexcept {
  session const s = now();
  if (s.number == 0) {
    return;
  }
  track* const t = here(s.number);
  if (t == nullptr) {
    s.store->drop(false);
    return;
  }
  trace_clock::ticks const at = t->add(*s.store, s.number, kind, g, index);
  if (told != nullptr && at != 0) {
    add_text(*t, s, at, *told);
  }
}

void recorder::task_submitted(group_view g, std::size_t index) noexcept {
  add(event_kind::run, g, index, nullptr);
}

void recorder::task_begin(task_view t) noexcept {
  if (track* const own = here(session_.load(std::memory_order_relaxed))) {
    own->open_slice(event_kind::task, t.group(), t.index(), t.name(), t.where());
  }
}

void recorder::task_end(task_view /*t*/, error const* failure) noexcept {
  session const s = now();
  if (track* const own = own_track) {
    trace_clock::ticks const at = own->close_slice(s.store, s.number, event_kind::task,
                                                   failure != nullptr ? record::failed : 0);
    if (failure != nullptr && at != 0) {
      add_text(*own, s, at, *failure);
    }
  } else if (s.number != 0) {
    s.store->drop(true);
  }
}

void recorder::tasks_skipped(group_view g, std::size_t n, error const& /*cause*/) noexcept {
  add(event_kind::skipped, g, n, nullptr);
}

void recorder::first_error(group_view g, error const& e) noexcept {
  add(event_kind::first_error, g, 0, &e);
}

void recorder::cancelled(group_view g, error const& cause) noexcept {
  add(event_kind::cancelled, g, 0, &cause);
}

void recorder::wait_begin(group_view g, wait_kind kind) noexcept {
  if (track* const own = here(session_.load(std::memory_order_relaxed))) {
    own->open_slice(event_kind::wait, g, static_cast<std::size_t>(kind), {}, {});
  }
}

void recorder::wait_end(group_view /*g*/, wait_kind /*kind*/) noexcept {
  session const s = now();
  if (track* const own = own_track) {
    own->close_slice(s.store, s.number, event_kind::wait, 0);
  } else if (s.number != 0) {
    s.store->drop(false);
  }
}

recorder::picture recorder::read() {
  picture p;
  std::uint64_t const number = last_session_.load(std::memory_order_relaxed);
  event_store const& store = *store_.load(std::memory_order_acquire);
  p.from = from_;
  std::unordered_map<std::uint32_t, trace_clock::ticks> complete;
  std::vector<record> open;
  {
    std::scoped_lock const held(tracks_lock_);
    for (track const* t = first_; t != nullptr; t = t->next) {
      track::snapshot const s = t->read();
      trace_clock::ticks& last = complete[t->thread()];  // the number of a thread may come again
      last = std::max(last, s.last);
      open.insert(open.end(), s.open.begin(), s.open.end());
      p.threads.push_back({t->thread(), t->name()});
    }
  }
  p.to = trace_clock::both();
  store.read(number, p.events);
  std::erase_if(p.events, [&](record& r) {
    auto const at = complete.find(r.get_header().thread);
    return at != complete.end() && r.end() > at->second;
  });
  for (record& r : open) {
    record::header h = r.get_header();
    h.flags |= record::unfinished;
    r.set_header(h);
    r.set_end(std::max(p.to.t, complete[h.thread]));
    p.events.push_back(r);
  }
  p.dropped = store.dropped();
  p.dropped_tasks = store.dropped_tasks();
  return p;
}

}  // namespace errgroup::inline v1::detail
