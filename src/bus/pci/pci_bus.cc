#include "bus/pci/pci_bus.h"

#include <array>

#include "base/check.h"
#include "bus/pci/pci_bridge.h"

namespace rhea::bus::pci {

PciBus::PciBus(const Wiring& wiring) : wiring_(wiring) {}

PciBus::PciBus(PciBridge& bridge, const Wiring& wiring) : wiring_(wiring), bridge_(&bridge) {}

PciBus::~PciBus() {
  for (PciFunction* function : functions_) {
    if (function != nullptr) function->bus_gone();
  }
}

void PciBus::attach(PciFunction& function, unsigned devfn) {
  CHECK(devfn < functions_.size() && functions_[devfn] == nullptr);
  functions_[devfn] = &function;
  function.attached(*this, devfn);
  if (bridge_ != nullptr) bridge_->secondary_changed();
}

void PciBus::detach(PciFunction& function) {
  if (functions_[function.devfn()] != &function) return;
  functions_[function.devfn()] = nullptr;
  if (bridge_ != nullptr) bridge_->secondary_changed();
}

std::optional<unsigned> PciBus::free_slot(unsigned first) const {
  for (unsigned slot = first; slot < slots(); ++slot) {
    bool free = true;
    for (unsigned function = 0; function < 8; ++function)
      free = free && functions_[devfn_of(slot, function)] == nullptr;
    if (free) return slot;
  }
  return std::nullopt;
}

PciFunction* PciBus::find(unsigned bus, unsigned devfn) {
  if (devfn > 0xff) return nullptr;
  const bool own = bridge_ == nullptr ? bus == 0 : bus == bridge_->config8(kSecondaryBus);
  if (own) return functions_[devfn];
  for (PciFunction* function : functions_) {
    if (function == nullptr || (function->config8(kHeaderType) & 0x7f) != 1) continue;
    auto* bridge = dynamic_cast<PciBridge*>(function);
    if (bridge != nullptr && bridge->has_bus(bus)) return bridge->secondary().find(bus, devfn);
  }
  return nullptr;
}

uint32_t PciBus::config_read(unsigned bus, unsigned devfn, unsigned offset, unsigned size) {
  PciFunction* function = find(bus, devfn);
  if (function == nullptr || offset >= function->config_size() || (offset & 3) + size > 4)
    return ~uint32_t{0};
  return function->config_read(offset, size);
}

void PciBus::config_write(unsigned bus, unsigned devfn, unsigned offset, unsigned size, uint32_t value) {
  PciFunction* function = find(bus, devfn);
  if (function == nullptr || offset >= function->config_size() || (offset & 3) + size > 4) return;
  function->config_write(offset, size, value);
}

void PciBus::set_pin(unsigned slot, unsigned pin, bool level) {
  if (bridge_ != nullptr) {
    // The line goes up as the bridge's own pins; whoever else drives it there is counted there.
    const unsigned rotated = (slot + pin) & 3;
    asserted_[rotated] += level ? 1u : ~0u;
    const bool edge = level ? asserted_[rotated] == 1 : asserted_[rotated] == 0;
    if (edge && bridge_->bus() != nullptr) bridge_->bus()->set_pin(bridge_->devfn() >> 3, rotated, level);
    return;
  }
  const unsigned line = wiring_.route(slot, pin) % kMostLines;
  asserted_[line] += level ? 1u : ~0u;
  if (wiring_.intx != nullptr) wiring_.intx->set_irq(line, asserted_[line] != 0);
}

bool PciBus::forwards(BarKind kind, uint64_t first, uint64_t last) const {
  if (bridge_ == nullptr) return true;
  if (!bridge_->window_holds(kind, first, last)) return false;
  return bridge_->bus() != nullptr && bridge_->bus()->forwards(kind, first, last);
}

void PciBus::send_message(uint64_t address, uint32_t data) {
  const uint64_t low = address & 0xffffffff;
  if (wiring_.apics != nullptr && low >= kMsiBase && low < kMsiBase + kMsiSize) {
    wiring_.apics->deliver(decode_msi(address, data));
    return;
  }
  const std::array<uint8_t, 4> bytes = {static_cast<uint8_t>(data), static_cast<uint8_t>(data >> 8),
                                        static_cast<uint8_t>(data >> 16), static_cast<uint8_t>(data >> 24)};
  static_cast<void>(wiring_.memory.write(address, bytes));
}

void PciBus::update_mappings() {
  for (PciFunction* function : functions_) {
    if (function != nullptr) function->update_mappings();
  }
}

}  // namespace rhea::bus::pci
