#include "inflater.hpp"

#include "block_reader.hpp"

#include <array>      // array
#include <cstddef>    // size_t
#include <cstdio>     // snprintf
#include <new>        // bad_alloc
#include <stdexcept>  // runtime_error
#include <string>     // string, to_string

namespace pgz {
namespace {

constexpr int raw_window_bits = -15;

/// The reason why a file cannot be inflated. The words are gzip's.
class bad_file : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace

inflater::inflater(input_stream& in) : in_(in) {
  if (::inflateInit2(&stream_, raw_window_bits) != Z_OK) {
    throw std::bad_alloc();
  }
}

inflater::~inflater() { ::inflateEnd(&stream_); }

std::optional<plain_block> inflater::next(std::stop_token const& stop) {
  if (has_ended_) {
    return std::nullopt;
  }
  plain_block block;
  try {
    if (!in_member_ && !begin_member(stop)) {
      has_ended_ = true;
      return std::nullopt;
    }
    fill(block, stop);
  } catch (bad_file const& bad) {
    has_ended_ = true;
    block.failure = errgroup::make_error(bad.what());
  }
  return block;
}

/// Reads the header of the next member. False if there is no further member.
bool inflater::begin_member(std::stop_token const& stop) {
  if (is_first_) {
    if (need_byte(stop) != magic_1 || need_byte(stop) != magic_2) {
      throw bad_file("not in gzip format");
    }
  } else {
    auto byte = next_byte(stop);
    bool const is_padded = byte == 0;
    while (byte == 0) {
      byte = next_byte(stop);
    }
    if (!byte) {
      return false;
    }
    if (is_padded || *byte != magic_1 || need_byte(stop) != magic_2) {
      found_garbage_ = true;
      return false;
    }
  }
  read_header(stop);
  is_first_ = false;
  in_member_ = true;
  ::inflateReset(&stream_);
  return true;
}

/// Reads a header behind its first two bytes.
void inflater::read_header(std::stop_token const& stop) {
  std::array<unsigned char, 2> const magic{magic_1, magic_2};
  header_crc_ = static_cast<std::uint32_t>(::crc32(0, magic.data(), magic.size()));
  if (auto const method = header_byte(stop); method != method_deflate) {
    throw bad_file("unknown method " + std::to_string(method) + " -- not supported");
  }
  auto const flags = header_byte(stop);
  if ((flags & unknown_flags) != 0) {
    std::array<char, 64> text;
    std::snprintf(text.data(), text.size(), "has flags 0x%x -- not supported", flags);
    throw bad_file(text.data());
  }
  for (int i = 0; i != 6; ++i) {  // time, extra flags, system
    (void)header_byte(stop);
  }
  if ((flags & has_extra) != 0) {
    unsigned size = header_byte(stop);
    size |= static_cast<unsigned>(header_byte(stop)) << 8U;
    for (; size != 0; --size) {
      (void)header_byte(stop);
    }
  }
  for (auto const text : {has_name, has_comment}) {
    while ((flags & text) != 0 && header_byte(stop) != 0) {
    }
  }
  if ((flags & has_header_crc) != 0) {
    auto const computed = header_crc_ & 0xffffU;
    unsigned told = need_byte(stop);
    told |= static_cast<unsigned>(need_byte(stop)) << 8U;
    if (told != computed) {
      throw bad_file("invalid header--crc error");
    }
  }
}

/// Inflates until the block is full or the member ends.
void inflater::fill(plain_block& block, std::stop_token const& stop) {
  block.bytes = buffer(block_size);
  for (;;) {
    auto const room = block.bytes.room();
    if (room.empty()) {
      return;
    }
    if (stream_.avail_in == 0 && !refill(stop)) {
      throw bad_file("unexpected end of file");
    }
    stream_.next_out = room.data();
    stream_.avail_out = static_cast<uInt>(room.size());
    int const state = ::inflate(&stream_, Z_NO_FLUSH);
    block.bytes.add(room.size() - stream_.avail_out);
    switch (state) {
      case Z_OK:
      case Z_BUF_ERROR:  // zlib needs more input
        break;
      case Z_STREAM_END:
        in_member_ = false;
        block.end = read_trailer(stop);
        return;
      case Z_MEM_ERROR:
        throw std::bad_alloc();
      default:
        throw bad_file("invalid compressed data--format violated");
    }
  }
}

member_trailer inflater::read_trailer(std::stop_token const& stop) {
  std::array<unsigned char, trailer_size> bytes;
  for (auto& byte : bytes) {
    byte = need_byte(stop);
  }
  return trailer_of(bytes);
}

/// Reads more input. False at the end of the file.
bool inflater::refill(std::stop_token const& stop) {
  compressed_ = buffer(block_size);
  compressed_.add(in_.read(compressed_.room(), stop).value());
  stream_.next_in = compressed_.filled().data();
  stream_.avail_in = static_cast<uInt>(compressed_.filled().size());
  return stream_.avail_in != 0;
}

std::optional<std::uint8_t> inflater::next_byte(std::stop_token const& stop) {
  if (stream_.avail_in == 0 && !refill(stop)) {
    return std::nullopt;
  }
  --stream_.avail_in;
  return *stream_.next_in++;
}

std::uint8_t inflater::need_byte(std::stop_token const& stop) {
  if (auto const byte = next_byte(stop)) {
    return *byte;
  }
  throw bad_file("unexpected end of file");
}

std::uint8_t inflater::header_byte(std::stop_token const& stop) {
  unsigned char const byte = need_byte(stop);
  header_crc_ = static_cast<std::uint32_t>(::crc32(header_crc_, &byte, 1));
  return byte;
}

}  // namespace pgz
