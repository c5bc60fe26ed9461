#include "block_reader.hpp"

#include <algorithm>  // copy, min
#include <utility>    // exchange, move

namespace pgz {

errgroup::result<std::optional<raw_block>> block_reader::next(std::stop_token const& stop) {
  if (has_ended_) {
    return std::optional<raw_block>();
  }
  if (!std::exchange(has_begun_, true)) {
    auto first = read_after({}, stop);
    if (!first) {
      return first.error();
    }
    ahead_ = *std::move(first);
  }
  raw_block block = std::exchange(ahead_, {});
  // read() fills a block unless the input ends, so nothing follows a short block.
  if (block.content().size() == block_size) {
    auto following = read_after(block, stop);
    if (!following) {
      return following.error();
    }
    ahead_ = *std::move(following);
  }
  has_ended_ = ahead_.content().empty();
  block.is_last = has_ended_;
  return std::optional(std::move(block));
}

errgroup::result<raw_block> block_reader::read_after(raw_block const& before,
                                                     std::stop_token const& stop) {
  auto const content = before.content();
  auto const dictionary = content.last(std::min(content.size(), window_size));
  raw_block block;
  block.bytes = buffer(dictionary.size() + block_size);
  std::copy(dictionary.begin(), dictionary.end(), block.bytes.room().begin());
  block.bytes.add(dictionary.size());
  block.dictionary_size = dictionary.size();
  auto const size = in_.read(block.bytes.room(), stop);
  if (!size) {
    return size.error();
  }
  block.bytes.add(*size);
  return block;
}

}  // namespace pgz
