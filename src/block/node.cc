#include "block/node.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/checked.h"
#include "base/failf.h"

namespace rhea::block {

bool is_zero(std::span<const uint8_t> bytes) {
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  // Real data is told by its first or last bytes nearly always.
  if (left >= 16 && (at[0] | at[left - 1] | at[left / 2]) != 0) return false;
  while (left >= 64) {
    uint64_t words[8];
    std::memcpy(words, at, sizeof words);
    if ((words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7]) != 0)
      return false;
    at += 64;
    left -= 64;
  }
  uint8_t any = 0;
  for (size_t i = 0; i < left; ++i) any = static_cast<uint8_t>(any | at[i]);
  return any == 0;
}

void fill_zero(std::span<const iovec> pieces) {
  for (const iovec& piece : pieces) std::memset(piece.iov_base, 0, piece.iov_len);
}

std::vector<iovec> Pieces::take(uint64_t bytes) {
  std::vector<iovec> out;
  while (bytes != 0 && !rest_.empty()) {
    const uint64_t n = std::min<uint64_t>(rest_[0].iov_len - used_, bytes);
    if (n != 0) out.push_back({static_cast<uint8_t*>(rest_[0].iov_base) + used_, n});
    bytes -= n;
    used_ += n;
    if (used_ != rest_[0].iov_len) continue;
    rest_ = rest_.subspan(1);
    used_ = 0;
  }
  return out;
}

Result<> write_filled(BlockNode& node, uint64_t offset, uint64_t length, uint8_t byte) {
  constexpr uint64_t kPiece = 256 * 1024;  // stays in a processor's cache
  constexpr size_t kAlignment = 4096;      // for O_DIRECT
  const auto size = static_cast<size_t>(std::min(length, kPiece));
  std::vector<uint8_t> buffer(size + kAlignment, byte);
  // SAFETY: looked at, not used.
  const size_t skip = kAlignment - reinterpret_cast<uintptr_t>(buffer.data()) % kAlignment;
  const std::span<const uint8_t> piece = std::span(buffer).subspan(skip, size);
  while (length != 0) {
    const uint64_t now = std::min(length, kPiece);
    TRY(node.write(offset, piece.first(static_cast<size_t>(now))));
    offset += now;
    length -= now;
  }
  return {};
}

Result<> check_range(uint64_t offset, uint64_t length, uint64_t size) {
  if (range_within(offset, length, size)) return {};
  return failf(ErrorKind::OutOfRange, "request of {} bytes at offset {} leaves the image of {} bytes", length,
               offset, size);
}

}  // namespace rhea::block
