// Guest addresses are types: a guest physical address is not a guest virtual one, and neither is a pointer.
#pragma once

#include <cstdint>

namespace rhea {

enum class Gpa : uint64_t {};
enum class Gva : uint64_t {};

constexpr uint64_t raw(Gpa a) {
  return static_cast<uint64_t>(a);
}
constexpr uint64_t raw(Gva a) {
  return static_cast<uint64_t>(a);
}
constexpr Gpa operator+(Gpa a, uint64_t n) {
  return Gpa{raw(a) + n};
}
constexpr Gva operator+(Gva a, uint64_t n) {
  return Gva{raw(a) + n};
}

inline constexpr uint64_t kPageSize = 4096;
inline constexpr uint64_t kPageMask = kPageSize - 1;

}  // namespace rhea
