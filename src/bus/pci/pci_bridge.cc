#include "bus/pci/pci_bridge.h"

namespace rhea::bus::pci {

PciBridge::PciBridge(const Identity& identity, const PciBus::Wiring& wiring)
    : PciFunction(identity), secondary_(*this, wiring) {
  define8(kPrimaryBus, 0, 0xff);
  define8(kSecondaryBus, 0, 0xff);
  define8(kSubordinateBus, 0, 0xff);
  define8(kSecondaryLatency, 0, 0xf8);
  // 3.2.5.6: 32-bit I/O is not offered; 3.2.5.8: memory in units of 1 MiB; 3.2.5.9: 64-bit prefetchable.
  define8(kIoBase, 0, 0xf0);
  define8(kIoLimit, 0, 0xf0);
  define_clear16(kSecondaryStatus, kStatusErrors);
  define16(kMemoryBase, 0, 0xfff0);
  define16(kMemoryLimit, 0, 0xfff0);
  define16(kPrefetchBase, 1, 0xfff0);
  define16(kPrefetchLimit, 1, 0xfff0);
  define32(kPrefetchBaseUpper, 0, 0xffffffff);
  define32(kPrefetchLimitUpper, 0, 0xffffffff);
  define16(kBridgeControl, 0, 0x0043);  // parity, SERR#, secondary reset
}

void PciBridge::reset(ResetKind kind) {
  PciFunction::reset(kind);
  secondary_.update_mappings();
}

bool PciBridge::has_bus(unsigned number) const {
  return number != 0 && number >= config8(kSecondaryBus) && number <= config8(kSubordinateBus);
}

bool PciBridge::window_holds(BarKind kind, uint64_t first, uint64_t last) const {
  const uint16_t command = config16(kCommand);
  if (kind == BarKind::Io) {
    const uint64_t base = static_cast<uint64_t>(config8(kIoBase) & 0xf0) << 8;
    const uint64_t limit = static_cast<uint64_t>(config8(kIoLimit) & 0xf0) << 8 | 0xfff;
    return (command & kCommandIo) != 0 && first >= base && last <= limit;
  }
  if ((command & kCommandMemory) == 0) return false;
  const uint64_t base = static_cast<uint64_t>(config16(kMemoryBase) & 0xfff0) << 16;
  const uint64_t limit = static_cast<uint64_t>(config16(kMemoryLimit) & 0xfff0) << 16 | 0xfffff;
  if (first >= base && last <= limit) return true;
  const uint64_t fetch_base = static_cast<uint64_t>(config32(kPrefetchBaseUpper)) << 32 |
                              static_cast<uint64_t>(config16(kPrefetchBase) & 0xfff0) << 16;
  const uint64_t fetch_limit = static_cast<uint64_t>(config32(kPrefetchLimitUpper)) << 32 |
                               static_cast<uint64_t>(config16(kPrefetchLimit) & 0xfff0) << 16 | 0xfffff;
  return first >= fetch_base && last <= fetch_limit;
}

void PciBridge::update_mappings() {
  PciFunction::update_mappings();
  secondary_.update_mappings();
}

void PciBridge::config_written(unsigned offset, unsigned size) {
  // 3.2.5.18: the guest resets everything behind the bridge.
  const bool control = offset <= kBridgeControl && offset + size > kBridgeControl;
  if (!control || (config8(kBridgeControl) & 0x40) == 0) return;
  for (unsigned devfn = 0; devfn < 256; ++devfn) {
    if (PciFunction* function = secondary_.at(devfn)) function->reset(ResetKind::Warm);
  }
}

}  // namespace rhea::bus::pci
