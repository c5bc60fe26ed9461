#ifndef ERRGROUP_PERF_SUPPORT_PEAK_MEMORY_HPP
#define ERRGROUP_PERF_SUPPORT_PEAK_MEMORY_HPP

#include <cstddef>  // size_t

namespace perf {

/// The most memory this process ever held at once, in bytes: the kernel's high-water mark of
/// the resident set (VmHWM), nothing subtracted. It tells contenders apart only in processes of
/// their own, which `scripts/bench` gives them.
std::size_t peak_memory();

}  // namespace perf

#endif
