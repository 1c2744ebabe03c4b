// Big-endian numbers and padded strings in command blocks and replies.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace rhea::devices::scsi {

inline uint32_t get16(std::span<const uint8_t> from, size_t at) {
  return uint32_t{from[at]} << 8 | from[at + 1];
}
inline uint32_t get32(std::span<const uint8_t> from, size_t at) {
  return get16(from, at) << 16 | get16(from, at + 2);
}
inline void put16(std::span<uint8_t> to, size_t at, uint32_t value) {
  to[at] = static_cast<uint8_t>(value >> 8);
  to[at + 1] = static_cast<uint8_t>(value);
}
inline void put32(std::span<uint8_t> to, size_t at, uint32_t value) {
  put16(to, at, value >> 16);
  put16(to, at + 2, value);
}
inline void put_text(std::span<uint8_t> to, size_t at, size_t length, std::string_view text) {
  for (size_t i = 0; i < length; ++i) to[at + i] = static_cast<uint8_t>(i < text.size() ? text[i] : ' ');
}

}  // namespace rhea::devices::scsi
