// Keeps the last bytes that were written, for a monitor to read; no input.
#pragma once

#include <deque>

#include "chardev/chardev.h"

namespace rhea::chardev {

class RingbufChardev final : public Chardev {
 public:
  explicit RingbufChardev(size_t size) : size_(size) {}
  void attach(Frontend* frontend) override;
  size_t write(std::span<const uint8_t> bytes) override;
  void resume_input() override {}
  std::string description() const override { return "ringbuf"; }

  // Takes up to `most` bytes out, oldest first.
  std::string read(size_t most);

 private:
  size_t size_;
  std::deque<uint8_t> bytes_;
};

}  // namespace rhea::chardev
