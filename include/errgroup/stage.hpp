// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_STAGE_HPP
#define ERRGROUP_STAGE_HPP

#include <errgroup/detail/outcome.hpp>
#include <errgroup/pipeline_stats.hpp>
#include <errgroup/task.hpp>

#include <concepts>         // convertible_to, derived_from, same_as
#include <cstddef>          // size_t
#include <memory>           // addressof
#include <ranges>           // input_range
#include <source_location>  // source_location
#include <string>           // string
#include <string_view>      // string_view
#include <type_traits>      // decay_t, remove_cvref_t, type_identity
#include <utility>          // forward, move
#include <vector>           // vector

/// The stages of an `errgroup::pipeline`.
///
/// Each function here makes a stage of a callable. A callable that is given as an lvalue is
/// borrowed: it has to outlive the pipeline's run. A temporary is moved into the stage. A stage may
/// be run any number of times, one run after the other, and stands in a pipeline once.
///
/// A name before the callable is optional, and copied. It stands in the origin of an error
/// (`error::origin`) and in the statistics. `where` is the place of the stage.
///
/// docs/pipelines.md tells which callables fit.
namespace errgroup::inline v1::stage {

/// Passes on the parts of an item, in a stage made by `many`. `emit(part)` moves or converts `part`
/// to a `U`. Valid during the call that got it, and used by one thread at a time. Throws
/// `std::bad_alloc`, and exceptions of the move.
template <class U>
class emitter {
 public:
  /// For errgroup.
  explicit emitter(void* to, void (*put)(void*, U&&)) noexcept : to_(to), put_(put) {}

  /// Passes `one` on as a part of the item.
  void operator()(U one) const { put_(to_, std::move(one)); }

 private:
  void* to_;
  void (*put_)(void*, U&&);
};

/// See `batches`.
struct batch_size {
  /// The most items of a batch, from 1.
  std::size_t most = 0;
};

/// On a source: its items come as `std::vector<T>` of up to `n`. For items so short that carrying
/// each alone costs more than the work on it. A batch is one item: for the bound, for the order and
/// in an error's origin. A source that blocks delays a batch until it is full. If the source fails,
/// what it gave before is the last batch, and the error has that batch's number.
[[ERRGROUP_NODISCARD_MADE]] constexpr batch_size batches(std::size_t n) noexcept { return {n}; }

}  // namespace errgroup::inline v1::stage

namespace errgroup::inline v1::detail {

/// A callable with a state for each lane.
template <class Make, class F>
struct stateful {
  Make make;
  F f;
};

template <class T>
inline constexpr bool is_stateful = false;
template <class Make, class F>
inline constexpr bool is_stateful<stateful<Make, F>> = true;

/// A source whose items come in batches.
template <class F>
struct batched {
  F f;
  std::size_t most;
};

template <class T>
inline constexpr bool is_batched = false;
template <class F>
inline constexpr bool is_batched<batched<F>> = true;

/// A stage of a pipeline. `F` is a reference if the callable is borrowed. `Part`: of a stage made
/// by `many`, the type of the parts; void if it is to be found out.
template <stage_kind Kind, class F, class Part = void>
class stage_of {
 public:
  using callable = F;
  using part = Part;
  static constexpr stage_kind kind = Kind;

  stage_of(std::string_view name, F&& f, std::source_location where)
      : f_(std::forward<F>(f)), name_(name), where_(where) {}

  [[nodiscard]] std::remove_reference_t<F>& function() noexcept { return f_; }
  [[nodiscard]] std::string_view name() const noexcept { return name_; }
  [[nodiscard]] std::source_location const& where() const noexcept { return where_; }

 private:
  F f_;
  std::string name_;
  std::source_location where_;
};

template <class S>
inline constexpr bool is_stage = false;
template <stage_kind Kind, class F, class Part>
inline constexpr bool is_stage<stage_of<Kind, F, Part>> = true;

template <class F>
void refuse_empty_stage(F const& f) {
  if constexpr (is_stateful<F>) {
    refuse_empty_stage(f.make);
    refuse_empty_stage(f.f);
  } else if constexpr (is_batched<F>) {
    refuse_empty_stage(f.f);
  } else if (is_null(f)) {
    refuse_argument(
        "errgroup: a stage of a pipeline has an empty function: an empty std::function or a null "
        "pointer");
  }
}

/// Makes a stage, and checks its callable.
template <stage_kind Kind, class Part = void, class F>
stage_of<Kind, F, Part> make_stage(std::string_view name, F&& f, std::source_location where) {
  refuse_empty_stage(f);
  return {name, std::forward<F>(f), where};
}

template <class F>
batched<F> make_batched(F&& f, stage::batch_size size) {
  if (size.most == 0) {
    refuse_argument("errgroup: stage::batches(0): a batch has at least one item");
  }
  return {std::forward<F>(f), size.most};
}

template <class B>
concept no_batch = !std::same_as<std::remove_cvref_t<B>, stage::batch_size>;

}  // namespace errgroup::inline v1::detail

namespace errgroup::inline v1::stage {

/// The first stage of a pipeline: gives the items, in an order that the stages made by `in_order`
/// keep.
///
/// - A callable: `f()`, or `f(std::stop_token)`, returns a `std::optional<T>`, or an
///   `errgroup::result` or an expected of any kind with such an optional. An empty optional ends
///   the input. One call is made at a time, by any thread, and none after the end or a failure. A
///   call may block. To be woken it takes the token, which is stopped when the pipeline is
///   cancelled, and when a stage ends the input with `errgroup::no_more`.
/// - A range. If its elements are lvalues, the items are references to them, and the next stage is
///   called with a `T&`; lvalues of a range that can be read once are copied. Otherwise the
///   elements are moved out of the range. A container that is given as a temporary gives its
///   elements away: a second run of the stage gets what the moves have left. The iterators are used
///   by one thread at a time.
template <class F>
[[nodiscard]] auto source(F&& f, std::source_location where = std::source_location::current()) {
  return detail::make_stage<stage_kind::source>({}, std::forward<F>(f), where);
}
/// The same with a name.
template <detail::no_batch F>
[[nodiscard]] auto source(std::string_view name, F&& f,
                          std::source_location where = std::source_location::current()) {
  return detail::make_stage<stage_kind::source>(name, std::forward<F>(f), where);
}
/// The same in batches.
template <class F>
[[nodiscard]] auto source(F&& f, batch_size size,
                          std::source_location where = std::source_location::current()) {
  return detail::make_stage<stage_kind::source>({}, detail::make_batched(std::forward<F>(f), size),
                                                where);
}
/// The same in batches, with a name.
template <class F>
[[nodiscard]] auto source(std::string_view name, F&& f, batch_size size,
                          std::source_location where = std::source_location::current()) {
  return detail::make_stage<stage_kind::source>(
      name, detail::make_batched(std::forward<F>(f), size), where);
}

/// A stage that several threads call at once, as a const object: with an item, as an rvalue, or
/// with an item and a `std::stop_token`.
///
/// Like every stage between the first and the last, it returns a `U`, the item for the next stage;
/// a `std::optional<U>`, of which an empty one drops the item; or an `errgroup::result` or an
/// expected of any kind with either. A last stage returns what a task may return.
template <class F>
[[nodiscard]] auto parallel(F&& f, std::source_location where = std::source_location::current()) {
  return detail::make_stage<stage_kind::parallel>({}, std::forward<F>(f), where);
}
/// The same with a name.
template <class F>
[[nodiscard]] auto parallel(std::string_view name, F&& f,
                            std::source_location where = std::source_location::current()) {
  return detail::make_stage<stage_kind::parallel>(name, std::forward<F>(f), where);
}

/// A stage that is called with one item at a time, in the order in which the items come. What one
/// call has written is visible to the next.
template <class F>
[[nodiscard]] auto serial(F&& f, std::source_location where = std::source_location::current()) {
  return detail::make_stage<stage_kind::serial>({}, std::forward<F>(f), where);
}
/// The same with a name.
template <class F>
[[nodiscard]] auto serial(std::string_view name, F&& f,
                          std::source_location where = std::source_location::current()) {
  return detail::make_stage<stage_kind::serial>(name, std::forward<F>(f), where);
}

/// A stage that is called with one item at a time, in the order of the source. An item that was
/// dropped before leaves no gap: the next item follows.
template <class F>
[[nodiscard]] auto in_order(F&& f, std::source_location where = std::source_location::current()) {
  return detail::make_stage<stage_kind::in_order>({}, std::forward<F>(f), where);
}
/// The same with a name.
template <class F>
[[nodiscard]] auto in_order(std::string_view name, F&& f,
                            std::source_location where = std::source_location::current()) {
  return detail::make_stage<stage_kind::in_order>(name, std::forward<F>(f), where);
}

/// A stage that makes any number of parts of an item, called as a parallel stage:
/// `f(item, emitter<U>)`. The next stage is called with each part, a `U`, in the order of `emit`.
///
///     stage::many("split", [](line&& l, stage::emitter<word> emit) {
///       for (word& w : words_of(l)) emit(std::move(w));
///     })
///
/// The parts stay one item: they are carried on together, count as one for the bound, have the
/// item's place in the order and its number in an error. If a part fails, the item has failed. A
/// part that a stage drops is left out; an item without parts is carried on as an empty one, and
/// calls no stage. `f` returns what a task may return.
///
/// If the type of the parts cannot be read from `f` (a generic lambda), name it: `many<word>(f)`.
template <class Part = void, class F>
[[nodiscard]] auto many(F&& f, std::source_location where = std::source_location::current()) {
  return detail::make_stage<stage_kind::many, Part>({}, std::forward<F>(f), where);
}
/// The same with a name.
template <class Part = void, class F>
[[nodiscard]] auto many(std::string_view name, F&& f,
                        std::source_location where = std::source_location::current()) {
  return detail::make_stage<stage_kind::many, Part>(name, std::forward<F>(f), where);
}

/// A callable for any stage but the source, with a state for each lane: `make()` makes a state
/// before the lane's first call of the stage, and `f(state&, item)` is called with it. At most as
/// many states are made as the pipeline has lanes; they are destroyed at the end of the run. A
/// state need not be movable.
///
///     stage::parallel("deflate", stage::with_state([] { return compressor(9); },
///                                                  [](compressor& c, block&& b) { return c(b); }))
///
/// `make` is called as `f` is: by several threads at once, as a const object, in a parallel stage.
/// If it throws, the item has failed.
template <class Make, class F>
[[nodiscard]] auto with_state(Make&& make, F&& f) {
  return detail::stateful<Make, F>{std::forward<Make>(make), std::forward<F>(f)};
}

}  // namespace errgroup::inline v1::stage

#endif  // ERRGROUP_STAGE_HPP
