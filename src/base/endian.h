// Integers with a fixed byte order: be16…be64 and le16…le64 are field types for structs that lie on disk, on
// the wire or in guest tables (alignment 1, no padding, plain bytes), load_*/store_* work on byte buffers.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>

namespace rhea {

template <std::unsigned_integral T, std::endian Order>
constexpr std::array<uint8_t, sizeof(T)> to_bytes(T value) {
  if constexpr (Order != std::endian::native && sizeof(T) > 1) value = std::byteswap(value);
  return std::bit_cast<std::array<uint8_t, sizeof(T)>>(value);
}

template <std::unsigned_integral T, std::endian Order>
constexpr T from_bytes(std::array<uint8_t, sizeof(T)> bytes) {
  T value = std::bit_cast<T>(bytes);
  if constexpr (Order != std::endian::native && sizeof(T) > 1) value = std::byteswap(value);
  return value;
}

template <std::unsigned_integral T, std::endian Order>
class EndianField {
 public:
  constexpr EndianField() = default;
  constexpr EndianField(T value) : bytes_(to_bytes<T, Order>(value)) {}
  constexpr operator T() const { return from_bytes<T, Order>(bytes_); }
  constexpr T get() const { return *this; }
  constexpr EndianField& operator|=(T bits) { return *this = static_cast<T>(get() | bits); }
  constexpr EndianField& operator&=(T bits) { return *this = static_cast<T>(get() & bits); }

 private:
  std::array<uint8_t, sizeof(T)> bytes_{};
};

using be16 = EndianField<uint16_t, std::endian::big>;
using be32 = EndianField<uint32_t, std::endian::big>;
using be64 = EndianField<uint64_t, std::endian::big>;
using le16 = EndianField<uint16_t, std::endian::little>;
using le32 = EndianField<uint32_t, std::endian::little>;
using le64 = EndianField<uint64_t, std::endian::little>;
static_assert(sizeof(be64) == 8 && alignof(be64) == 1 && sizeof(le16) == 2);

// The caller has made sure that sizeof(T) bytes are there.
template <std::unsigned_integral T, std::endian Order>
constexpr T load(const uint8_t* from) {
  std::array<uint8_t, sizeof(T)> bytes{};
  for (size_t i = 0; i < sizeof(T); ++i) bytes[i] = from[i];
  return from_bytes<T, Order>(bytes);
}

template <std::unsigned_integral T, std::endian Order>
constexpr void store(uint8_t* to, T value) {
  const auto bytes = to_bytes<T, Order>(value);
  for (size_t i = 0; i < sizeof(T); ++i) to[i] = bytes[i];
}

template <std::unsigned_integral T>
constexpr T load_le(const uint8_t* from) {
  return load<T, std::endian::little>(from);
}
template <std::unsigned_integral T>
constexpr T load_be(const uint8_t* from) {
  return load<T, std::endian::big>(from);
}
template <std::unsigned_integral T>
constexpr void store_le(uint8_t* to, T value) {
  store<T, std::endian::little>(to, value);
}
template <std::unsigned_integral T>
constexpr void store_be(uint8_t* to, T value) {
  store<T, std::endian::big>(to, value);
}

}  // namespace rhea
