#include "machine/pc/pci_windows.h"

#include <algorithm>

#include "bus/pci/pci_bridge.h"

namespace rhea::machine {

namespace {

constexpr uint64_t kFourGiB = uint64_t{1} << 32, kGiB = uint64_t{1} << 30;

struct Span {
  uint64_t first = ~uint64_t{0}, end = 0;
};

void include(Span& span, const bus::pci::PciBus& bus) {
  using bus::pci::PciFunction;
  for (unsigned devfn = 0; devfn < 256; ++devfn) {
    const PciFunction* function = bus.at(devfn);
    if (function == nullptr) continue;
    for (unsigned i = 0; i < PciFunction::kRegisterBars; ++i) {
      const auto bar = function->programmed_bar(i);
      if (!bar || bar->kind == bus::pci::BarKind::Io || bar->at < kFourGiB) continue;
      span.first = std::min(span.first, bar->at);
      span.end = std::max(span.end, bar->at + bar->size);
    }
    if (const auto* bridge = dynamic_cast<const bus::pci::PciBridge*>(function))
      include(span, bridge->secondary());
  }
}

constexpr uint64_t round_up(uint64_t value) {
  return (value + kGiB - 1) & ~(kGiB - 1);
}

}  // namespace

void place_window64(acpi::Config& config, const bus::pci::PciBus& root) {
  constexpr uint64_t kMost = uint64_t{1} << 51;
  Span span;
  include(span, root);
  const uint64_t lowest = round_up(std::max(config.high_ram_end, kFourGiB));
  const bool used = span.first >= lowest && span.end > span.first && span.end < kMost;
  config.pci_window64_base = used ? span.first & ~(kGiB - 1) : lowest;
  const uint64_t end =
      std::max(used ? round_up(span.end) : 0, config.pci_window64_base + config.pci_window64_room);
  config.pci_window64_size = end - config.pci_window64_base;
}

}  // namespace rhea::machine
