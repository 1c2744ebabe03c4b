// Big-endian fields appended to a buffer, and read from one whose length the caller has checked.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/endian.h"

namespace rhea::display::vnc {

class Output {
 public:
  void u8(uint64_t value) { bytes_.push_back(static_cast<uint8_t>(value)); }
  void u16(uint64_t value) { number(static_cast<uint16_t>(value)); }
  void u32(uint64_t value) { number(static_cast<uint32_t>(value)); }
  void zeros(size_t count) { bytes_.resize(bytes_.size() + count); }
  void bytes(std::span<const uint8_t> from) { bytes_.insert(bytes_.end(), from.begin(), from.end()); }
  void text(std::string_view from) { bytes_.insert(bytes_.end(), from.begin(), from.end()); }
  // The header of a rectangle.
  void rect(unsigned x, unsigned y, unsigned width, unsigned height, int32_t encoding) {
    u16(x);
    u16(y);
    u16(width);
    u16(height);
    u32(static_cast<uint32_t>(encoding));
  }

  size_t size() const { return bytes_.size(); }
  void truncate(size_t size) { bytes_.resize(size); }
  // Room for `count` bytes at the end, to be written by the caller before anything else is appended.
  uint8_t* extend(size_t count) {
    bytes_.resize(bytes_.size() + count);
    return bytes_.data() + bytes_.size() - count;
  }
  uint8_t* at(size_t offset) { return bytes_.data() + offset; }
  std::span<const uint8_t> view() const { return bytes_; }
  std::vector<uint8_t> take() { return std::move(bytes_); }
  void clear() { bytes_.clear(); }

 private:
  template <class T>
  void number(T value) {
    store_be<T>(extend(sizeof(T)), value);
  }
  std::vector<uint8_t> bytes_;
};

}  // namespace rhea::display::vnc
