// Read, work, write.

#include <tbb/parallel_pipeline.h>  // filter_mode, flow_control, make_filter, parallel_pipeline

int main() {
  int next = 0;
  int sum = 0;
  using mode = tbb::filter_mode;
  tbb::parallel_pipeline(
      8, tbb::make_filter<void, int>(mode::serial_in_order, [&](tbb::flow_control& flow) {
           if (next == 10) {
             flow.stop();
             return 0;
           }
           return ++next;
         }) & tbb::make_filter<int, int>(mode::parallel, [](int n) {
           return 2 * n;
         }) & tbb::make_filter<int, void>(mode::serial_in_order, [&](int n) { sum += n; }));
  return sum == 110 ? 0 : 1;
}
