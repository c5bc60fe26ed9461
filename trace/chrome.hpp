// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TRACE_CHROME_HPP
#define ERRGROUP_TRACE_CHROME_HPP

#include "recorder.hpp"

#include <string>  // string

namespace errgroup::inline v1::detail {

/// Takes text, a piece at a time.
struct text_sink {
  text_sink() = default;
  text_sink(text_sink const&) = delete;
  text_sink& operator=(text_sink const&) = delete;
  virtual ~text_sink() = default;
  virtual void write(std::string const& text) = 0;
};

/// Writes the picture in the JSON form of Chrome's trace format ("Trace Event Format").
void write_chrome(recorder::picture& p, text_sink& to);

}  // namespace errgroup::inline v1::detail

#endif  // ERRGROUP_TRACE_CHROME_HPP
