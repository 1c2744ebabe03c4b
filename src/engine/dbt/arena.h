// Objects that live until all of them go: what belongs to translated code between two resets of the cache. A
// bump of a pointer each, nothing to destroy, in one stretch of memory, so that they can refer to each other
// by a distance of four bytes. Threading: the owner's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace rhea::dbt {

// A pointer from one object of an arena to another, or null. Never to itself.
template <class T>
class Near {
 public:
  Near() = default;
  Near(const Near&) = delete;
  Near& operator=(const Near& from) { return *this = from.get(); }
  Near& operator=(T* to) {
    distance_ = to == nullptr ? 0 : static_cast<int32_t>(reinterpret_cast<intptr_t>(to) - here());
    return *this;
  }
  T* get() const { return distance_ == 0 ? nullptr : reinterpret_cast<T*>(here() + distance_); }
  operator T*() const { return get(); }
  T* operator->() const { return get(); }

 private:
  intptr_t here() const { return reinterpret_cast<intptr_t>(this); }
  int32_t distance_ = 0;
};

class Arena {
 public:
  // In memory of the caller's, of less than 2 GiB.
  void create(uint8_t* begin, uint64_t bytes) {
    CHECK(bytes <= INT32_MAX);
    begin_ = at_ = reinterpret_cast<std::byte*>(begin);
    size_ = bytes;
  }

  template <class T, class... Args>
  T& make(Args&&... args) {
    static_assert(std::is_trivially_destructible_v<T>);
    // SAFETY: the bytes are the arena's, aligned for T and handed out once.
    return *new (take(sizeof(T), alignof(T))) T(std::forward<Args>(args)...);
  }
  template <class T>
  std::span<T> copy(std::span<const T> from) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (from.empty()) return {};
    // SAFETY: as above.
    T* to = static_cast<T*>(take(from.size_bytes(), alignof(T)));
    std::uninitialized_copy(from.begin(), from.end(), to);
    return {to, from.size()};
  }
  void reset() { at_ = begin_; }
  uint64_t used() const { return static_cast<uint64_t>(at_ - begin_); }
  uint64_t left() const { return size_ - used(); }

 private:
  void* take(size_t bytes, size_t alignment) {
    auto at = (reinterpret_cast<uintptr_t>(at_) + alignment - 1) & ~(alignment - 1);
    CHECK(at + bytes <= reinterpret_cast<uintptr_t>(begin_) + size_);
    at_ = reinterpret_cast<std::byte*>(at + bytes);
    return reinterpret_cast<void*>(at);
  }

  std::byte* begin_ = nullptr;
  std::byte* at_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace rhea::dbt
