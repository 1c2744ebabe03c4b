// See commit.h.
#include "block/drive/commit.h"

#include <algorithm>
#include <vector>

namespace rhea::block {
namespace {

constexpr uint64_t kChunk = 2 << 20;
constexpr uint64_t kLook = uint64_t{1} << 30;

}  // namespace

Result<> commit_into(ImageNode& overlay, ImageNode& base) {
  const uint64_t size = overlay.size();
  if (base.size() < size) TRY_IN(base.resize(size, Preallocation::Off), "growing the backing image");
  std::vector<uint8_t> buffer;
  for (uint64_t at = 0; at < size;) {
    const Extent extent = TRY(overlay.extent(at, std::min(kLook, size - at)));
    uint64_t length = extent.length;
    if (extent.allocated && extent.zero) {
      TRY(base.write_zeroes(at, length, ZeroMode::MayUnmap));
    } else if (extent.allocated) {
      length = std::min(length, kChunk);
      buffer.resize(static_cast<size_t>(length));
      TRY(overlay.read(at, buffer));
      TRY(base.write(at, buffer));
    }
    at += length;
  }
  return base.close();
}

}  // namespace rhea::block
