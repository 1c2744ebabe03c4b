#include "block/image.h"

#include <algorithm>
#include <cstring>

#include "block/driver.h"

namespace rhea::block {

std::string_view ImageNode::shown_format() const {
  return shown_format_.empty() ? driver_.name() : std::string_view(shown_format_);
}

Result<> ImageNode::read_backing(uint64_t offset, std::span<uint8_t> into) {
  const uint64_t end = backing_ ? backing_->size() : 0;
  const size_t present =
      offset < end ? static_cast<size_t>(std::min<uint64_t>(into.size(), end - offset)) : 0;
  if (present != 0) TRY(backing_->read(offset, into.first(present)));
  std::memset(into.data() + present, 0, into.size() - present);
  return {};
}

bool ImageNode::read_backing_at_once(uint64_t offset, std::span<const iovec> into) {
  const uint64_t end = backing_ ? backing_->size() : 0;
  const uint64_t present = offset < end ? std::min(bytes_of(into), end - offset) : 0;
  Pieces pieces(into);
  if (present != 0 && !backing_->read_at_once(offset, pieces.take(present))) return false;
  fill_zero(pieces.take(UINT64_MAX));
  return true;
}

Result<ChainExtent> chain_extent(ImageNode& top, uint64_t offset, uint64_t length, const ImageNode* base) {
  ChainExtent out;
  ImageNode* node = &top;
  while (true) {
    Extent extent = TRY(node->extent(offset, length));
    length = extent.length;
    if (extent.allocated || node->backing() == nullptr || node->backing() == base) {
      out.extent = extent;
      if (!extent.allocated && base == nullptr) out.extent.zero = true;
      return out;
    }
    if (offset >= node->backing()->size()) {
      // Past the end of a shorter backing image.
      out.extent = {.length = length, .zero = true};
      return out;
    }
    node = node->backing();
    ++out.depth;
    length = std::min(length, node->size() - offset);
  }
}

}  // namespace rhea::block
