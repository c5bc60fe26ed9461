#include "peak_memory.hpp"

#include <sys/resource.h>  // getrusage

#include <fstream>  // ifstream
#include <string>   // string, getline, stoull

namespace perf {

std::size_t peak_memory() {
  constexpr std::size_t kibibyte = 1024;
  // Read VmHWM first: getrusage's figure survives exec, so that a process started by a larger
  // one begins with its parent's peak.
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * kibibyte;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) * kibibyte;
}

}  // namespace perf
