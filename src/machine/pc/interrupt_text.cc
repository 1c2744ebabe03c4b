#include "machine/pc/interrupt_text.h"

#include <fmt/format.h>

namespace rhea::machine {

namespace {

void add(std::string& text, std::string_view name, std::span<const uint64_t> counts) {
  text += fmt::format("IRQ statistics for {}:\n", name);
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] != 0) text += fmt::format("{:2}: {}\n", i, counts[i]);
  }
}

}  // namespace

std::string interrupt_counts(const devices::I8259Pair& pic, const devices::IoApic& ioapic) {
  std::string text;
  add(text, "ioapic", ioapic.counts());
  add(text, "isa-i8259", pic.counts());
  return text;
}

}  // namespace rhea::machine
