#include "block/formats/vhdx/layout.h"

namespace rhea::block::vhdx {
namespace {

constexpr std::array<uint32_t, 256> make_table() {
  constexpr uint32_t kPolynomial = 0x82f63b78;  // Castagnoli, reflected
  std::array<uint32_t, 256> out{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ ((value & 1) != 0 ? kPolynomial : 0);
    out[i] = value;
  }
  return out;
}

constexpr std::array<uint32_t, 256> kTable = make_table();

}  // namespace

uint32_t checksum_of(std::span<const uint8_t> bytes, size_t checksum_at) {
  uint32_t value = ~uint32_t{0};
  for (size_t i = 0; i < bytes.size(); ++i) {
    const uint8_t byte = i - checksum_at < 4 ? uint8_t{0} : bytes[i];
    value = value >> 8 ^ kTable[(value ^ byte) & 0xff];
  }
  return ~value;
}

}  // namespace rhea::block::vhdx
