// SPDX-License-Identifier: Apache-2.0
//
// The public types, for scripts/abi. Most of them are in the description of the library anyway,
// because a function of the library uses them. Two plugins that were compiled at different times
// may exchange a type that no function of the library uses, such as a `result<T>`. This file uses
// all.

#include <errgroup/errgroup.hpp>
#include <errgroup/extend.hpp>
#include <errgroup/testing.hpp>
#include <errgroup/trace.hpp>

#include <string>  // string

namespace exchanged {

namespace e = errgroup;

inline int attempt() { return 0; }
inline void hear(e::error const& /*failure*/) {}
inline std::string name_of(std::string const& each) { return each; }

// Has a parameter of type `T`, so that the debug information has the layout of `T`. (abidw does not
// read parameter packs.)
template <class T>
[[gnu::used, gnu::visibility("default")]] void use(T*) {
  static_assert(sizeof(T) > 0);  // instantiates a template
}

template void use(e::error*);
template void use(e::errc*);
template void use(e::exception_group*);
template void use(e::task_origin*);
template void use(e::stack_frame*);
template void use(e::with_stack_t*);
template void use(e::bad_result<int>*);
template void use(e::group*);
template void use(e::group_counts*);
template void use(e::options*);
template void use(e::on_error*);
template void use(e::keep*);
template void use(e::on_exception*);
template void use(e::task_options*);
template void use(e::priority*);
template void use(e::limiter*);
template void use(e::admission*);
template void use(e::failure_callback<decltype(&hear)>*);
template void use(e::clock*);
template void use(e::testing::test_clock*);
template void use(e::testing::time_moves*);
template void use(e::result<void>*);
template void use(e::result<int>*);
template void use(e::result<std::string>*);
template void use(e::verdict*);
template void use(e::handle<int>*);
template void use(e::handle<void>*);
template void use(e::retry_policy*);
template void use(e::retrying<decltype(&attempt)>*);
template void use(e::named_by<decltype(&name_of)>*);
template void use(e::observer*);
template void use(e::group_view*);
template void use(e::task_view*);
template void use(e::wait_kind*);
template void use(e::dump_format*);
template void use(e::progress*);
template void use(e::progress_options*);
template void use(e::progress_view*);
template void use(e::trace*);
template void use(e::trace_options*);
template void use(e::stream<int>*);
template void use(e::stream<std::string>*);
template void use(e::pipeline_stats*);
template void use(e::pipeline_totals*);
template void use(e::stage_stats*);
template void use(e::stage_kind*);
template void use(e::stage::batch_size*);
template void use(e::stage::emitter<int>*);

}  // namespace exchanged
