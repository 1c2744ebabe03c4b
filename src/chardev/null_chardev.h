// Takes everything, gives nothing.
#pragma once

#include "chardev/chardev.h"

namespace rhea::chardev {

class NullChardev final : public Chardev {
 public:
  void attach(Frontend*) override {}
  size_t write(std::span<const uint8_t> bytes) override { return bytes.size(); }
  void resume_input() override {}
  std::string description() const override { return "null"; }
};

}  // namespace rhea::chardev
