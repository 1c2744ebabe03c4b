// Objects that live until all of them go: what belongs to translated code between two resets of the cache. A
// bump of a pointer each, nothing to destroy, the memory kept over reset(). Threading: the owner's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace rhea::dbt {

class Arena {
 public:
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
  void reset() {
    chunk_ = 0;
    at_ = end_ = nullptr;
  }

 private:
  static constexpr size_t kChunk = 256 * 1024;  // more than any one object

  void* take(size_t bytes, size_t alignment) {
    auto at = (reinterpret_cast<uintptr_t>(at_) + alignment - 1) & ~(alignment - 1);
    if (at_ == nullptr || at + bytes > reinterpret_cast<uintptr_t>(end_)) return next_chunk(bytes);
    at_ = reinterpret_cast<std::byte*>(at + bytes);
    return reinterpret_cast<void*>(at);
  }
  void* next_chunk(size_t bytes) {
    // Not cleared: pages that are never used stay untouched.
    if (chunk_ == chunks_.size()) chunks_.push_back(std::make_unique_for_overwrite<Chunk>());
    std::byte* begin = chunks_[chunk_++]->bytes;
    at_ = begin + bytes;
    end_ = begin + kChunk;
    return begin;
  }

  struct alignas(64) Chunk {
    std::byte bytes[kChunk];
  };
  std::vector<std::unique_ptr<Chunk>> chunks_;
  size_t chunk_ = 0;  // chunks in use
  std::byte* at_ = nullptr;
  std::byte* end_ = nullptr;
};

}  // namespace rhea::dbt
