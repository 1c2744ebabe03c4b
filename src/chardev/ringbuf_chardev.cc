#include "chardev/ringbuf_chardev.h"

#include <algorithm>

namespace rhea::chardev {

void RingbufChardev::attach(Frontend* frontend) {
  if (frontend != nullptr) frontend->connected();
}

size_t RingbufChardev::write(std::span<const uint8_t> bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  if (bytes_.size() > size_)
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(bytes_.size() - size_));
  return bytes.size();
}

std::string RingbufChardev::read(size_t most) {
  auto end = bytes_.begin() + static_cast<ptrdiff_t>(std::min(most, bytes_.size()));
  std::string text(bytes_.begin(), end);
  bytes_.erase(bytes_.begin(), end);
  return text;
}

}  // namespace rhea::chardev
