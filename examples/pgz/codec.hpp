#ifndef ERRGROUP_EXAMPLES_PGZ_CODEC_HPP
#define ERRGROUP_EXAMPLES_PGZ_CODEC_HPP

#include "gzip_format.hpp"
#include "input_stream.hpp"
#include "output_stream.hpp"
#include <errgroup/error.hpp>
#include <errgroup/pipeline_stats.hpp>

#include <stop_token>  // stop_token

namespace pgz {

/// The settings of a pipeline, and its statistics afterwards.
struct run_settings {
  int jobs = 1;
  std::stop_token stop;
  errgroup::pipeline_stats stats;
};

/// Writes `in` to `out` as one gzip member. Blocks are read one after the other, deflated in
/// parallel and written in order. At most four blocks for each job, and one more, are in memory.
///
/// The origin of an error has the number of the block and the name of the stage.
[[nodiscard]] errgroup::error compress(input_stream& in, output_stream& out,
                                       member_header const& header, run_settings& run);

/// Writes the inflated data of `in` to `out`. `found_garbage` tells that `in` ends with other data,
/// which were ignored.
[[nodiscard]] errgroup::error decompress(input_stream& in, output_stream& out, run_settings& run,
                                         bool& found_garbage);

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_CODEC_HPP
