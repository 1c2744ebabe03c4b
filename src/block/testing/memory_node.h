// A node in memory, for tests and fuzz targets. Single thread.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "block/node.h"

namespace rhea::block {

class MemoryNode final : public BlockNode {
 public:
  explicit MemoryNode(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)) {}

  uint64_t size() const override { return bytes_.size(); }
  Result<> read(uint64_t offset, std::span<uint8_t> into) override {
    const size_t present = offset < bytes_.size() ? std::min(into.size(), bytes_.size() - offset) : 0;
    if (present != 0) std::memcpy(into.data(), bytes_.data() + offset, present);
    std::ranges::fill(into.subspan(present), uint8_t{0});
    return {};
  }
  bool read_at_once(uint64_t offset, std::span<const iovec> into) override {
    for (const iovec& piece : into) {
      if (!cached || !read(offset, {static_cast<uint8_t*>(piece.iov_base), piece.iov_len})) return false;
      offset += piece.iov_len;
    }
    return cached;
  }
  Result<> write(uint64_t offset, std::span<const uint8_t> from) override {
    if (from.empty()) return {};
    TRY(grow(offset, from.size()));
    std::memcpy(bytes_.data() + offset, from.data(), from.size());
    return {};
  }
  Result<> write_zeroes(uint64_t offset, uint64_t length, ZeroMode) override {
    TRY(grow(offset, length));
    std::memset(bytes_.data() + offset, 0, length);
    return {};
  }
  Result<> discard(uint64_t, uint64_t) override { return {}; }
  Result<> flush() override { return {}; }
  Result<Extent> extent(uint64_t, uint64_t length) override {
    return Extent{.length = length, .allocated = true, .data = true};
  }
  Result<> resize(uint64_t size, Preallocation) override {
    if (size > kLargest) return fail(ErrorKind::NoSpace, "No space left on device");
    bytes_.resize(size);
    return {};
  }

  bool cached = false;  // reads need no waiting

 private:
  static constexpr uint64_t kLargest = 64 << 20;

  Result<> grow(uint64_t offset, uint64_t length) {
    if (offset > kLargest || length > kLargest - offset)
      return fail(ErrorKind::NoSpace, "No space left on device");
    if (offset + length > bytes_.size()) bytes_.resize(offset + length);
    return {};
  }

  std::vector<uint8_t> bytes_;
};

}  // namespace rhea::block
