// Arithmetic on values that a guest or a file chose: no silent wrap, no silent truncation.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <optional>
#include <type_traits>

namespace rhea {

template <std::integral T>
constexpr std::optional<T> checked_add(T a, std::type_identity_t<T> b) {
  T sum{};
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

template <std::integral T>
constexpr std::optional<T> checked_sub(T a, std::type_identity_t<T> b) {
  T difference{};
  if (__builtin_sub_overflow(a, b, &difference)) return std::nullopt;
  return difference;
}

template <std::integral T>
constexpr std::optional<T> checked_mul(T a, std::type_identity_t<T> b) {
  T product{};
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// The value as another integer type, if it fits.
template <std::integral To, std::integral From>
constexpr std::optional<To> checked_cast(From value) {
  To out{};
  if (__builtin_add_overflow(value, From{0}, &out)) return std::nullopt;
  return out;
}

// Whether [offset, offset + length) lies inside [0, size), without wrapping.
constexpr bool range_within(uint64_t offset, uint64_t length, uint64_t size) {
  return offset <= size && length <= size - offset;
}

constexpr bool ranges_overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length) {
  if (a_length == 0 || b_length == 0) return false;
  return a < b ? b - a < a_length : a - b < b_length;
}

// The alignment must be a power of two.
template <std::unsigned_integral T>
constexpr T align_down(T value, std::type_identity_t<T> alignment) {
  return static_cast<T>(value & ~static_cast<T>(alignment - 1));
}

template <std::unsigned_integral T>
constexpr std::optional<T> checked_align_up(T value, std::type_identity_t<T> alignment) {
  const auto sum = checked_add<T>(value, static_cast<T>(alignment - 1));
  if (!sum) return std::nullopt;
  return align_down<T>(*sum, alignment);
}

template <std::unsigned_integral T>
constexpr bool is_aligned(T value, std::type_identity_t<T> alignment) {
  return (value & (alignment - 1)) == 0;
}

}  // namespace rhea
