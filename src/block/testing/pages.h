// Images that are mostly holes, as a fuzzer's input: pages of 4 KiB, each behind its 16-bit number
// (little-endian). What an image says of itself against damage is put right, so that what lies behind it is
// reached.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "base/endian.h"
#include "block/formats/vhdx/layout.h"

namespace rhea::block {

inline constexpr size_t kFuzzPage = 4096;
inline constexpr size_t kMostFuzzPages = 4096;

inline std::vector<uint8_t> from_pages(std::span<const uint8_t> input) {
  std::vector<uint8_t> out;
  while (input.size() > 2) {
    const size_t at = load_le<uint16_t>(input.data()) % kMostFuzzPages * kFuzzPage;
    const size_t length = std::min(input.size() - 2, kFuzzPage);
    if (out.size() < at + kFuzzPage) out.resize(at + kFuzzPage);
    std::memcpy(out.data() + at, input.data() + 2, length);
    input = input.subspan(2 + length);
  }
  return out;
}

namespace fuzz {

inline void sum(std::vector<uint8_t>& image, size_t at, size_t length) {
  if (at > image.size() || length > image.size() - at) return;
  store_le<uint32_t>(&image[at + 4], vhdx::checksum_of(std::span(image).subspan(at, length), 4));
}

inline void limit(std::vector<uint8_t>& image, size_t at, uint32_t most) {
  if (at + 4 > image.size()) return;
  store_be(&image[at], std::min(load_be<uint32_t>(&image[at]), most));
}

}  // namespace fuzz

// VHDX: checksums. LUKS: counts of iterations, of which large ones are only slow.
inline void put_right(std::string_view format, std::vector<uint8_t>& image) {
  if (format == "vhdx") {
    for (const uint64_t at : vhdx::kHeaderOffsets) fuzz::sum(image, at, kFuzzPage);
    for (const uint64_t at : vhdx::kRegionOffsets) fuzz::sum(image, at, vhdx::kRegionTableSize);
    for (size_t at = vhdx::kMiB; at + kFuzzPage <= image.size(); at += kFuzzPage) {
      if (std::memcmp(&image[at], "loge", 4) == 0)
        fuzz::sum(image, at, std::min<size_t>(load_le<uint32_t>(&image[at + 8]), 1 << 16));
    }
  }
  if (format == "luks") {
    constexpr uint32_t kFew = 4096;
    fuzz::limit(image, 164, kFew);
    for (size_t slot = 0; slot < 8; ++slot) fuzz::limit(image, 208 + slot * 48 + 4, kFew);
  }
}

}  // namespace rhea::block
