// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_SOURCE_BODY_HPP
#define ERRGROUP_DETAIL_SOURCE_BODY_HPP

/// The source of a pipeline as a `stage_body`.

#include <errgroup/detail/item_flow.hpp>
#include <errgroup/detail/pipeline_run.hpp>
#include <errgroup/detail/slot.hpp>
#include <errgroup/detail/stage_function.hpp>
#include <errgroup/stage.hpp>

#include <cstddef>      // size_t
#include <functional>   // reference_wrapper
#include <optional>     // optional
#include <ranges>       // begin, end, forward_range, input_range, iterator_t, view, ...
#include <stop_token>   // stop_token
#include <type_traits>  // conditional_t, is_lvalue_reference_v, is_void_v, remove_reference_t, ...
#include <utility>      // forward, in_place, move
#include <vector>       // vector

namespace errgroup::inline v1::detail {

/// Takes the items from a callable.
template <class F>
class call_reader {
 public:
  using returned = stage_result<F>;
  using item = item_of<returned>;
  static constexpr bool takes_token = stage_takes_token<F>;
  static constexpr bool fits = passed_on<returned>::may_drop;

  explicit call_reader(F& f) noexcept : f_(f) {}

  /// Calls `put(value)` with the next item; `dropped`: there is none.
  template <class Put>
  step next(stage_call& call, std::stop_token const& token, Put const& put) {
    return read_result(call_stage(f_, token), call, put);
  }

 private:
  F& f_;
};

/// Takes the items from a range. `Owned`: the elements belong to the pipeline.
template <class R, bool Owned>
class range_reader {
  using reference = std::ranges::range_reference_t<R>;
  // The iterator of a range that can be read once may keep its element in itself, and change it
  // when it goes on.
  static constexpr bool stays =
      std::is_lvalue_reference_v<reference> && std::ranges::forward_range<R> && !Owned;

 public:
  using returned = reference;
  using item = std::conditional_t<stays, reference, std::remove_cvref_t<reference>>;
  static constexpr bool takes_token = false;
  static constexpr bool fits = true;

  explicit range_reader(R& range) noexcept : range_(range) {}

  template <class Put>
  step next(stage_call& /*call*/, std::stop_token const& /*token*/, Put const& put) {
    if (!at_) {
      at_.emplace(std::ranges::begin(range_));
    } else {
      ++*at_;  // only now: to find the next element may take time
    }
    if (*at_ == std::ranges::end(range_)) {
      return step::dropped;
    }
    if constexpr (Owned && std::is_lvalue_reference_v<reference>) {
      put(std::move(**at_));
    } else {
      put(**at_);
    }
    return step::passed;
  }

 private:
  R& range_;
  std::optional<std::ranges::iterator_t<R>> at_;
};

template <class F>
concept source_call = stage_takes<std::remove_reference_t<F>>;

template <class F>
consteval auto find_reader() {
  using D = std::remove_reference_t<F>;
  if constexpr (source_call<F>) {
    return std::type_identity<call_reader<D>>();
  } else if constexpr (std::ranges::input_range<D>) {
    constexpr bool owned = !std::is_lvalue_reference_v<F> && !std::ranges::view<D>;
    return std::type_identity<range_reader<D, owned>>();
  } else {
    return std::type_identity<void>();
  }
}
template <class F>
struct source_parts {
  using callable = F;
  static constexpr bool is_batched = false;
};
template <class F>
struct source_parts<batched<F>> {
  using callable = F;
  static constexpr bool is_batched = true;
};

/// The type of an item in a batch.
template <class T>
struct in_batch {
  using type = T;
};
template <class T>
struct in_batch<T&> {
  using type = std::reference_wrapper<T>;
};

template <class Stage, bool Last>
class source_body final : public stage_body {
  using parts = source_parts<typename Stage::callable>;
  using reader = typename decltype(find_reader<typename parts::callable>())::type;
  static_assert(!std::is_void_v<reader>,
                "errgroup: the source of a pipeline is a range, or is called without arguments or "
                "with a std::stop_token");
  static_assert(reader::fits,
                "errgroup: the source of a pipeline returns a std::optional<T>, whose empty one "
                "ends the input, or an errgroup::result or an expected of such an optional");
  static_assert(!Last, "errgroup: a pipeline has a stage behind its source");
  using one = typename reader::item;
  using batch = std::vector<typename in_batch<one>::type>;

 public:
  using out = flow<std::conditional_t<parts::is_batched, batch, one>, false>;

  explicit source_body(Stage& s)
      : stage_body(Stage::kind, s.name(), s.where(), reader::takes_token), reader_(callable_of(s)) {
    if constexpr (parts::is_batched) {
      most_ = s.function().most;
    }
  }

  void prepare(std::size_t /*lanes*/, std::stop_token const& token) override { token_ = token; }

  step run(slot& s, stage_call& call) noexcept override {
    auto read = [&] {
      if constexpr (parts::is_batched) {
        return read_batch(s, call);
      } else {
        return reader_.next(call, token_, [&s](auto&& value) {
          out::put(s, std::in_place, std::forward<decltype(value)>(value));
        });
      }
    };
    return guarded_step(call, read);
  }

  void destroy(slot& /*s*/) noexcept override {}  // no item waits for the source

 private:
  static auto& callable_of(Stage& s) noexcept {
    if constexpr (parts::is_batched) {
      return s.function().f;
    } else {
      return s.function();
    }
  }

  // Each call of the source is guarded alone: what was read before a failure is the last batch.
  step read_batch(slot& s, stage_call& call) {
    batch items;
    if (last_ == step::passed) {
      items.reserve(most_);
    }
    while (last_ == step::passed && items.size() != most_) {
      auto read = [&] {
        return reader_.next(call, token_, [&items](auto&& value) {
          items.emplace_back(std::forward<decltype(value)>(value));
        });
      };
      last_ = guarded_step(call, read);
    }
    if (items.empty()) {
      return last_;
    }
    out::put(s, std::in_place, std::move(items));
    return step::passed;
  }

  reader reader_;
  std::stop_token token_;
  std::size_t most_ = 0;
  step last_ = step::passed;  // what has become of the last call for a batch
};

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_SOURCE_BODY_HPP
