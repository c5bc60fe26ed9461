// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_LATER_BODY_HPP
#define ERRGROUP_DETAIL_LATER_BODY_HPP

/// The stages behind the source as `stage_body`s.

#include <errgroup/detail/item_flow.hpp>
#include <errgroup/detail/outcome.hpp>
#include <errgroup/detail/pipeline_run.hpp>
#include <errgroup/detail/slot.hpp>
#include <errgroup/detail/stage_function.hpp>
#include <errgroup/stage.hpp>
#include <errgroup/task.hpp>

#include <cstddef>      // size_t
#include <stop_token>   // stop_token
#include <type_traits>  // is_reference_v, is_void_v, remove_reference_t, type_identity
#include <utility>      // forward, in_place, move
#include <variant>      // monostate

namespace errgroup::inline v1::detail {

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

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_DETAIL_LATER_BODY_HPP
