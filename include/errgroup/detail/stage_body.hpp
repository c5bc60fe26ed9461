// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_STAGE_BODY_HPP
#define ERRGROUP_DETAIL_STAGE_BODY_HPP

/// How the stages of a pipeline are called: from the type of an item and the type of a callable to
/// a `stage_body`.

#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/outermost.hpp>
#include <errgroup/detail/pipeline_run.hpp>
#include <errgroup/detail/slot.hpp>
#include <errgroup/error.hpp>
#include <errgroup/result.hpp>
#include <errgroup/stage.hpp>
#include <errgroup/task.hpp>

#include <concepts>     // invocable, same_as
#include <cstddef>      // size_t
#include <functional>   // invoke, reference_wrapper
#include <memory>       // addressof, construct_at, destroy_at, make_unique, unique_ptr
#include <optional>     // optional
#include <ranges>       // begin, end, input_range, iterator_t, range_reference_t, sentinel_t, view
#include <stop_token>   // stop_token
#include <type_traits>  // conditional_t, invoke_result_t, is_lvalue_reference_v, is_void_v, ...
#include <utility>      // declval, forward, in_place, in_place_t, move
#include <vector>       // vector

namespace errgroup::detail {

// --- items -----------------------------------------------------------------------------------

/// An item in a slot. It is moved, never copied, also by a vector that grows.
template <class T>
class kept {
 public:
  template <class V>
  explicit kept(std::in_place_t, V&& v) : value_(std::forward<V>(v)) {}
  kept(kept&&) = default;
  kept(kept const&) = delete;
  kept& operator=(kept const&) = delete;
  kept& operator=(kept&&) = delete;
  ~kept() = default;

  [[nodiscard]] T&& get() noexcept { return std::move(value_); }

 private:
  T value_;
};
/// A reference to an element of a range.
template <class T>
class kept<T&> {
 public:
  explicit kept(std::in_place_t, T& v) noexcept : at_(std::addressof(v)) {}

  [[nodiscard]] T& get() noexcept { return *at_; }

 private:
  T* at_;
};

/// What a slot holds between two stages: a `T`, or the parts of an item, which are `T`s.
template <class T, bool Parts>
struct flow {
  using item = T;
  static constexpr bool is_parts = Parts;
  using stored = std::conditional_t<Parts, std::vector<kept<T>>, kept<T>>;

  static stored& in(slot& s) noexcept { return *static_cast<stored*>(s.item); }
  template <class... A>
  static void put(slot& s, A&&... a) {
    std::construct_at(static_cast<stored*>(s.item), std::forward<A>(a)...);
  }
  static void destroy(slot& s) noexcept { std::destroy_at(&in(s)); }
};

/// Destroys the item in a slot, at the latest at its own end.
template <class Flow>
class input_of {
 public:
  explicit input_of(slot& s) noexcept : slot_(&s) {}
  input_of(input_of const&) = delete;
  input_of& operator=(input_of const&) = delete;
  ~input_of() { destroy(); }

  [[nodiscard]] typename Flow::stored& operator*() const noexcept { return Flow::in(*slot_); }
  void destroy() noexcept {
    if (slot_ != nullptr) {
      Flow::destroy(*std::exchange(slot_, nullptr));
    }
  }

 private:
  slot* slot_;
};

// --- callables -------------------------------------------------------------------------------

template <class F, class... A>
concept stage_takes_token = std::invocable<F&, A..., std::stop_token const&>;
template <class F, class... A>
concept stage_takes = stage_takes_token<F, A...> || std::invocable<F&, A...>;

template <class F, class... A>
decltype(auto) call_stage(F& f, std::stop_token const& token, A&&... a) {
  if constexpr (stage_takes_token<F, A...>) {
    return std::invoke(f, std::forward<A>(a)..., token);
  } else {
    return std::invoke(f, std::forward<A>(a)...);
  }
}
template <class F, class... A>
using stage_result = decltype(call_stage(
    std::declval<F&>(), std::declval<std::stop_token const&>(), std::declval<A>()...));

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

/// What a stage passes on that returns an `R`: without the error, and without the optional.
template <class R>
struct passed_on {
  using value = value_of<R>;
  static constexpr bool may_drop = is_optional<value>;
};
template <class R>
consteval auto find_item_of() {
  using value = typename passed_on<R>::value;
  if constexpr (is_optional<value>) {
    return std::type_identity<typename value::value_type>();
  } else {
    return std::type_identity<value>();
  }
}
template <class R>
using item_of = typename decltype(find_item_of<R>())::type;

/// Reads what a stage has returned. Calls `put(value)` for an item to pass on.
template <class R, class Put>
step read_result(R&& returned, stage_call& call, Put const& put) {
  using T = std::remove_cvref_t<R>;
  auto const pass = [&put](auto&& value) {
    if constexpr (is_optional<std::remove_cvref_t<decltype(value)>>) {
      if (!value.has_value()) {
        return step::dropped;
      }
      put(*std::forward<decltype(value)>(value));
    } else {
      put(std::forward<decltype(value)>(value));
    }
    return step::passed;
  };
  if constexpr (task_result<T>) {
    if (is_failure(returned)) {
      return call.fail(to_error(std::forward<R>(returned)));
    }
    return pass(held_value(std::forward<R>(returned)));
  } else {
    return pass(std::forward<R>(returned));
  }
}

/// Calls `run()`, which returns a `step`. An exception is a failure.
template <class Run>
step guarded_step(stage_call& call, Run& run) noexcept {
  step done = step::failed;
  if (call.leaves_exceptions()) [[unlikely]] {
    auto body = [&] { done = run(); };
    call_outermost(body);
  } else {
    report<void>([&] { done = run(); }, [&](error e) noexcept { done = call.fail(std::move(e)); });
  }
  return done;
}

// --- state -----------------------------------------------------------------------------------

/// An object that is made when it is needed.
template <class T>
class late {
 public:
  late() noexcept {}
  late(late const&) = delete;
  late& operator=(late const&) = delete;
  ~late() {
    if (is_made_) {
      std::destroy_at(&value_);
    }
  }

  template <class Make>
  [[nodiscard]] T& get(Make& make) {
    if (!is_made_) {
      new (static_cast<void*>(&value_)) T(std::invoke(make));
      is_made_ = true;
    }
    return value_;
  }

 private:
  bool is_made_ = false;
  union {
    T value_;
  };
};

/// The callable of a stage, with the state of a lane, if it has states. `Const`: several threads
/// call it at once.
template <class F, bool Const>
class stage_function {
  using callable = std::conditional_t<Const, F const, F>;

 public:
  explicit stage_function(F& f) noexcept : f_(f) {}

  template <class... A>
  static constexpr bool takes = stage_takes<callable, A...>;
  template <class... A>
  static constexpr bool takes_token = stage_takes_token<callable, A...>;
  template <class... A>
  using result = stage_result<callable, A...>;

  void prepare(std::size_t /*lanes*/) noexcept {}
  template <class... A>
  decltype(auto) operator()(stage_call const& /*call*/, std::stop_token const& token, A&&... a) {
    return call_stage(f_, token, std::forward<A>(a)...);
  }

 private:
  callable& f_;
};

template <class Make, class F, bool Const>
class stage_function<stateful<Make, F>, Const> {
  using maker =
      std::conditional_t<Const, std::remove_reference_t<Make> const, std::remove_reference_t<Make>>;
  using callable =
      std::conditional_t<Const, std::remove_reference_t<F> const, std::remove_reference_t<F>>;
  static_assert(std::invocable<maker&>,
                "errgroup: the first argument of stage::with_state makes a state: it is called "
                "without arguments, in a parallel stage as a const object");
  using state = std::remove_cvref_t<std::invoke_result_t<maker&>>;

 public:
  explicit stage_function(stateful<Make, F>& f) noexcept : make_(f.make), f_(f.f) {}

  template <class... A>
  static constexpr bool takes = stage_takes<callable, state&, A...>;
  template <class... A>
  static constexpr bool takes_token = stage_takes_token<callable, state&, A...>;
  template <class... A>
  using result = stage_result<callable, state&, A...>;

  void prepare(std::size_t lanes) { states_ = std::make_unique<place[]>(lanes); }
  template <class... A>
  decltype(auto) operator()(stage_call const& call, std::stop_token const& token, A&&... a) {
    return call_stage(f_, token, states_[call.lane()].of_lane.get(make_), std::forward<A>(a)...);
  }

 private:
  struct alignas(64) place {
    late<state> of_lane;
  };

  maker& make_;
  callable& f_;
  std::unique_ptr<place[]> states_;
};

/// The type of the parts that `F` emits, if it can be read from `F`.
template <class F>
struct emitted_by {};
template <class... A>
struct emitted_among {};
template <class A, class... Rest>
struct emitted_among<A, Rest...> : emitted_among<Rest...> {};
template <class U, class... Rest>
struct emitted_among<stage::emitter<U>, Rest...> {
  using type = U;
};
template <class R, class... A>
struct emitted_by<R (*)(A...)> : emitted_among<std::remove_cvref_t<A>...> {};
template <class R, class... A>
struct emitted_by<R (*)(A...) noexcept> : emitted_among<std::remove_cvref_t<A>...> {};
template <class R, class C, class... A>
struct emitted_by<R (C::*)(A...)> : emitted_among<std::remove_cvref_t<A>...> {};
template <class R, class C, class... A>
struct emitted_by<R (C::*)(A...) const> : emitted_among<std::remove_cvref_t<A>...> {};
template <class R, class C, class... A>
struct emitted_by<R (C::*)(A...) noexcept> : emitted_among<std::remove_cvref_t<A>...> {};
template <class R, class C, class... A>
struct emitted_by<R (C::*)(A...) const noexcept> : emitted_among<std::remove_cvref_t<A>...> {};
template <class F>
  requires requires { &F::operator(); }
struct emitted_by<F> : emitted_by<decltype(&F::operator())> {};
template <class Make, class F>
struct emitted_by<stateful<Make, F>> : emitted_by<std::remove_cvref_t<F>> {};

template <class F, class Part>
consteval auto find_part() {
  if constexpr (!std::is_void_v<Part>) {
    return std::type_identity<Part>();
  } else if constexpr (requires { typename emitted_by<F>::type; }) {
    return std::type_identity<typename emitted_by<F>::type>();
  } else {
    return std::type_identity<void>();
  }
}

// --- checks ----------------------------------------------------------------------------------

/// `Item` is the type as which a stage gets an item. `Number` is the number of the stage; the
/// source is number 0.
template <std::size_t Number, class Stage, class Item, bool Fits>
struct stage_fits {
  static_assert(Fits,
                "errgroup: this stage of a pipeline cannot be called with the items of the stage "
                "before it. The compiler shows stage_fits<Number, Stage, Item>: the number of the "
                "stage (the source is 0), the stage with its callable, and the type of the items. "
                "Items are passed as rvalues; elements of a range that stays are passed as "
                "references; a parallel stage is called as a const object (not a mutable lambda); "
                "with_state puts a state& before the item, many an emitter<U> behind it");
};
template <std::size_t Number, class Stage, class Returned, bool Fits>
struct stage_passes_on {
  static_assert(Fits,
                "errgroup: this stage of a pipeline returns nothing for the stage behind it. The "
                "compiler shows stage_passes_on<Number, Stage, Returned>. Return a value, a "
                "std::optional of it (an empty one drops the item), or an errgroup::result of "
                "either");
};
template <std::size_t Number, class Stage, class Returned, bool Fits>
struct stage_ends {
  static_assert(Fits,
                "errgroup: this stage of a pipeline returns what no stage takes. The compiler "
                "shows stage_ends<Number, Stage, Returned>. The last stage, and a stage made by "
                "many, returns what a task may return: void, std::error_code, errgroup::error or a "
                "type of std::expected's shape");
};
template <std::size_t Number, class Stage, class Part, bool Fits>
struct stage_emits {
  static_assert(Fits,
                "errgroup: the type of the parts of this stage is not known. The compiler shows "
                "stage_emits<Number, Stage>. Take an errgroup::stage::emitter<U> as the second "
                "argument, or write stage::many<U>(...)");
};

// --- the source ------------------------------------------------------------------------------

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
  static constexpr bool stays = std::is_lvalue_reference_v<reference> && !Owned;

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
    if constexpr (stays || !std::is_lvalue_reference_v<reference>) {
      put(**at_);
    } else {
      put(std::move(**at_));
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
      : stage_body(Stage::kind, s.name(), s.where(), reader::takes_token),
        reader_(callable_of(s)) {
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

  step read_batch(slot& s, stage_call& call) {
    if (has_ended_) {
      return step::dropped;
    }
    batch items;
    items.reserve(most_);
    while (items.size() != most_) {
      step const done = reader_.next(call, token_, [&items](auto&& value) {
        items.emplace_back(std::forward<decltype(value)>(value));
      });
      if (done == step::failed) {
        return done;
      }
      if (done != step::passed) {
        has_ended_ = true;
        break;
      }
    }
    if (items.empty()) {
      return step::dropped;
    }
    out::put(s, std::in_place, std::move(items));
    return step::passed;
  }

  reader reader_;
  std::stop_token token_;
  std::size_t most_ = 0;
  bool has_ended_ = false;
};

// --- the other stages ------------------------------------------------------------------------

template <std::size_t Number, class Stage, class In, bool Last>
class later_body final : public stage_body {
  using F = std::remove_reference_t<typename Stage::callable>;
  using item = typename In::item;
  static constexpr bool is_many = Stage::kind == stage_kind::many;
  static constexpr bool is_shared = is_many || Stage::kind == stage_kind::parallel;
  static_assert(Stage::kind != stage_kind::source,
                "errgroup: a pipeline has one source, its first stage");
  static_assert(!(is_many && Last),
                "errgroup: the last stage of a pipeline passes nothing on, so it cannot be made by "
                "stage::many");

  using function = stage_function<F, is_shared>;
  using part = typename decltype(find_part<F, typename Stage::part>())::type;
  static constexpr bool emits = !is_many || !std::is_void_v<part>;
  static_assert(sizeof(stage_emits<Number, Stage, part, emits>) != 0);

  static consteval bool find_fit() {
    if constexpr (!is_many) {
      return function::template takes<item>;
    } else if constexpr (emits) {
      return function::template takes<item, stage::emitter<part>>;
    } else {
      return true;  // the assertion above tells
    }
  }
  static constexpr bool fits = find_fit();
  static_assert(sizeof(stage_fits<Number, Stage, item&&, fits>) != 0);

  static consteval auto find_result() {
    if constexpr (!fits || !emits) {
      return std::type_identity<void>();
    } else if constexpr (is_many) {
      return std::type_identity<typename function::template result<item, stage::emitter<part>>>();
    } else {
      return std::type_identity<typename function::template result<item>>();
    }
  }
  using returned = typename decltype(find_result())::type;

  static consteval auto find_out() {
    if constexpr (is_many) {
      return std::type_identity<non_void<part>>();
    } else if constexpr (Last || !fits) {
      return std::type_identity<std::monostate>();
    } else {
      return std::type_identity<non_void<item_of<returned>>>();
    }
  }
  static constexpr bool passes = Last || is_many || !fits || !std::is_void_v<item_of<returned>>;
  static_assert(sizeof(stage_passes_on<Number, Stage, returned, passes>) != 0);
  static constexpr bool ends = !fits || !(Last || is_many) || task_result<returned>;
  static_assert(sizeof(stage_ends<Number, Stage, returned, ends>) != 0);

  static consteval bool find_token() {
    if constexpr (!is_many) {
      return function::template takes_token<item>;
    } else if constexpr (emits) {
      return function::template takes_token<item, stage::emitter<part>>;
    } else {
      return false;
    }
  }

 public:
  using out = flow<typename decltype(find_out())::type, is_many || In::is_parts>;

  explicit later_body(Stage& s)
      : stage_body(Stage::kind, s.name(), s.where(), find_token()), function_(s.function()) {}

  void prepare(std::size_t lanes, std::stop_token const& token) override {
    function_.prepare(lanes);
    token_ = token;
  }

  step run(slot& s, stage_call& call) noexcept override {
    if constexpr (fits && passes && ends && emits) {
      auto work = [&] {
        input_of<In> in(s);
        if constexpr (Last) {
          return consume(*in, call);
        } else if constexpr (is_many || In::is_parts) {
          return make_parts(s, in, call);
        } else {
          return make_one(s, in, call);
        }
      };
      return guarded_step(call, work);
    } else {
      return step::failed;  // an assertion has told
    }
  }

  void destroy(slot& s) noexcept override { In::destroy(s); }

 private:
  using input = input_of<In>;

  step consume(typename In::stored& in, stage_call& call) {
    auto const one = [&](auto& kept) {
      if constexpr (std::is_void_v<returned>) {
        function_(call, token_, kept.get());
        return step::passed;
      } else {
        return read_end(function_(call, token_, kept.get()), call);
      }
    };
    if constexpr (In::is_parts) {
      return for_each_part(in, one);
    } else {
      return one(in);
    }
  }

  template <class R>
  static step read_end(R&& r, stage_call& call) {
    return is_failure(r) ? call.fail(to_error(std::forward<R>(r))) : step::passed;
  }

  step make_one(slot& s, input& in, stage_call& call) {
    return read_result(function_(call, token_, (*in).get()), call, [&](auto&& value) {
      if constexpr (std::is_reference_v<returned>) {
        // The result may be a reference into the input.
        typename out::stored mine(std::in_place, std::forward<decltype(value)>(value));
        in.destroy();
        out::put(s, std::move(mine));
      } else {
        in.destroy();
        out::put(s, std::in_place, std::forward<decltype(value)>(value));
      }
    });
  }

  step make_parts(slot& s, input& in, stage_call& call) {
    typename out::stored made;
    auto const one = [&](auto& kept) {
      if constexpr (is_many) {
        using emitter = stage::emitter<part>;
        emitter const emit(&made, [](void* to, part&& p) {
          static_cast<typename out::stored*>(to)->emplace_back(std::in_place, std::move(p));
        });
        if constexpr (std::is_void_v<returned>) {
          function_(call, token_, kept.get(), emit);
          return step::passed;
        } else {
          return read_end(function_(call, token_, kept.get(), emit), call);
        }
      } else {
        return read_result(function_(call, token_, kept.get()), call, [&made](auto&& value) {
          made.emplace_back(std::in_place, std::forward<decltype(value)>(value));
        });
      }
    };
    step done = step::passed;
    if constexpr (In::is_parts) {
      done = for_each_part(*in, one);
    } else {
      done = one(*in);
    }
    if (done == step::passed) {
      in.destroy();
      out::put(s, std::move(made));
    }
    return done;
  }

  /// A part that is dropped is left out.
  template <class One>
  static step for_each_part(typename In::stored& parts, One const& one) {
    for (auto& part_of_item : parts) {
      step const done = one(part_of_item);
      if (done == step::failed || done == step::ended) {
        return done;
      }
    }
    return step::passed;
  }

  function function_;
  std::stop_token token_;
};

}  // namespace errgroup::detail

#endif  // ERRGROUP_DETAIL_STAGE_BODY_HPP
