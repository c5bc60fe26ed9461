#include "codec.hpp"

#include "block_reader.hpp"
#include "deflater.hpp"
#include "gzip_writer.hpp"
#include "inflater.hpp"
#include "plain_writer.hpp"
#include <errgroup/pipeline.hpp>
#include <errgroup/stage.hpp>

#include <zlib.h>  // crc32

#include <cstdint>  // uint32_t
#include <utility>  // move

namespace pgz {

namespace stage = errgroup::stage;

errgroup::error compress(input_stream& in, output_stream& out, member_header const& header,
                         run_settings& run) {
  block_reader blocks(in);
  gzip_writer file(out, header);
  return errgroup::pipeline(
      {.limit = run.jobs, .stop = run.stop, .name = "pgz"}, run.stats,
      stage::source("read", [&](std::stop_token const& stop) { return blocks.next(stop); }),
      stage::parallel("deflate",
                      stage::with_state([&] { return deflater(header.level); },
                                        [](deflater& z, raw_block&& block) { return z(block); })),
      stage::in_order("write", [&](packed_block&& block, std::stop_token const& stop) {
        return file.write(block, stop);
      }));
}

// A gzip stream has no entry but its beginning, so it is inflated by one thread at a time: the
// source. The checksums and the output run beside it.
//
// A source of compressed blocks and a stage `many` would bound the blocks and not the memory: the
// parts of an item are carried together, and 128 KiB can inflate to 128 MiB.
errgroup::error decompress(input_stream& in, output_stream& out, run_settings& run,
                           bool& found_garbage) {
  inflater members(in);
  plain_writer file(out);
  auto err = errgroup::pipeline(
      {.limit = run.jobs, .stop = run.stop, .name = "pgz"}, run.stats,
      stage::source("inflate", [&](std::stop_token const& stop) { return members.next(stop); }),
      stage::parallel("check",
                      [](plain_block&& block) {
                        auto const bytes = block.bytes.filled();
                        block.crc = static_cast<std::uint32_t>(
                            ::crc32(0, bytes.data(), static_cast<uInt>(bytes.size())));
                        return std::move(block);
                      }),
      stage::in_order("write", [&](plain_block&& block, std::stop_token const& stop) {
        return file.write(block, stop);
      }));
  found_garbage = members.found_garbage();
  return err;
}

}  // namespace pgz
