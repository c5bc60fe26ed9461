// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_STAGE_FUNCTION_HPP
#define ERRGROUP_DETAIL_STAGE_FUNCTION_HPP

/// How the callable of a stage is called, with what, and what its result means.

#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/outermost.hpp>
#include <errgroup/detail/pipeline_run.hpp>
#include <errgroup/detail/slot.hpp>
#include <errgroup/error.hpp>
#include <errgroup/result.hpp>
#include <errgroup/stage.hpp>
#include <errgroup/task.hpp>

#include <concepts>     // invocable
#include <cstddef>      // size_t
#include <functional>   // invoke
#include <memory>       // destroy_at, make_unique, unique_ptr
#include <optional>     // optional
#include <stop_token>   // stop_token
#include <type_traits>  // conditional_t, invoke_result_t, is_void_v, remove_cvref_t, type_identity
#include <utility>      // declval, forward, move

namespace errgroup::inline v1::detail {

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
using stage_result = decltype(call_stage(std::declval<F&>(), std::declval<std::stop_token const&>(),
                                         std::declval<A>()...));

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

template <class Stateful, bool Const>
  requires is_stateful<std::remove_const_t<Stateful>>
class stage_function<Stateful, Const> {
  template <class T>
  using called_as =
      std::conditional_t<Const || (std::is_const_v<Stateful> && !std::is_reference_v<T>),
                         std::remove_reference_t<T> const, std::remove_reference_t<T>>;
  using maker = called_as<decltype(Stateful::make)>;
  using callable = called_as<decltype(Stateful::f)>;
  static_assert(std::invocable<maker&>,
                "errgroup: the first argument of stage::with_state makes a state: it is called "
                "without arguments, in a parallel stage as a const object");
  using state = std::remove_cvref_t<std::invoke_result_t<maker&>>;

 public:
  explicit stage_function(Stateful& f) noexcept : make_(f.make), f_(f.f) {}

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
struct emitted_by<R(A...)> : emitted_among<std::remove_cvref_t<A>...> {};
template <class R, class... A>
struct emitted_by<R(A...) noexcept> : emitted_among<std::remove_cvref_t<A>...> {};
template <class F>
struct emitted_by<F*> : emitted_by<F> {};
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
  } else if constexpr (requires { typename emitted_by<std::remove_cv_t<F>>::type; }) {
    return std::type_identity<typename emitted_by<std::remove_cv_t<F>>::type>();
  } else {
    return std::type_identity<void>();
  }
}

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_STAGE_FUNCTION_HPP
