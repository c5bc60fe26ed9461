// Raw oneTBB's parallel_pipeline, as its documentation shows it.

#include "workload.hpp"

#include <oneapi/tbb/parallel_pipeline.h>  // filter, filter_mode, flow_control, parallel_pipeline

namespace {

using pipeline::ending;
using tbb::filter_mode;

struct raw {
  static constexpr std::string_view name = "tbb";
  static constexpr std::size_t fewer = 1;

  template <class Item>
  static ending three(std::size_t slots, auto& read, auto const& work, auto& write) {
    return run(slots,
               source<Item>(read) & middle<Item>(filter_mode::parallel, work) & last<Item>(write));
  }

  template <class Item>
  static ending five(std::size_t slots, auto& read, auto& first, auto const& work, auto& second,
                     auto& write) {
    return run(slots, source<Item>(read) & middle<Item>(filter_mode::serial_in_order, first) &
                          middle<Item>(filter_mode::parallel, work) &
                          middle<Item>(filter_mode::serial_in_order, second) & last<Item>(write));
  }

 private:
  template <class Item>
  static auto source(auto& read) {
    return tbb::make_filter<void, Item>(filter_mode::serial_in_order,
                                        [&read](tbb::flow_control& flow) -> Item {
                                          if (auto one = read()) return std::move(*one);
                                          flow.stop();
                                          return {};
                                        });
  }

  template <class Item>
  static auto middle(filter_mode mode, auto& stage) {
    return tbb::make_filter<Item, Item>(
        mode, [&stage](Item&& one) -> Item { return stage(std::move(one)); });
  }

  template <class Item>
  static auto last(auto& stage) {
    return tbb::make_filter<Item, void>(filter_mode::serial_in_order,
                                        [&stage](Item&& one) { stage(std::move(one)); });
  }

  static ending run(std::size_t slots, tbb::filter<void, void> const& stages) {
    try {
      tbb::parallel_pipeline(slots, stages);
    } catch (pipeline::thrown const&) {
      return ending::thrown;
    }
    return ending::done;
  }
};

bool const enrolled = perf::enroll(pipeline::add_all<raw>);

}  // namespace
