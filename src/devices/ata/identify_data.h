// The words of IDENTIFY data: strings are padded with spaces and swapped byte by byte in each word.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace rhea::devices::ata {

class IdentifyData {
 public:
  void word(unsigned index, uint32_t value) {
    bytes_[2 * index] = static_cast<uint8_t>(value);
    bytes_[2 * index + 1] = static_cast<uint8_t>(value >> 8);
  }
  void words32(unsigned index, uint32_t value) {
    word(index, value & 0xffff);
    word(index + 1, value >> 16);
  }
  // `length` bytes, an even number.
  void text(unsigned index, unsigned length, std::string_view value) {
    for (unsigned i = 0; i < length; ++i) {
      const char byte = i < value.size() ? value[i] : ' ';
      bytes_[(2 * index + i) ^ 1] = static_cast<uint8_t>(byte);
    }
  }
  const std::array<uint8_t, 512>& bytes() const { return bytes_; }

 private:
  std::array<uint8_t, 512> bytes_{};
};

}  // namespace rhea::devices::ata
