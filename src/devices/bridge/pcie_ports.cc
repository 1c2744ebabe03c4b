#include "devices/bridge/pcie_ports.h"

#include "bus/pci/express.h"

namespace rhea::devices {

namespace {

using namespace bus::pci;  // NOLINT: registers

constexpr unsigned kExpressAt = 0x54;
constexpr unsigned kLinkStatus = kExpressAt + 0x12, kSlotStatus = kExpressAt + 0x1a;
constexpr uint16_t kDataLinkActive = 1u << 13, kPresenceDetected = 1u << 6;
constexpr uint16_t kPresenceChanged = 1u << 3, kDataLinkChanged = 1u << 8;  // 7.8.11

PciBus::Wiring express(PciBus::Wiring wiring) {
  wiring.express = true;
  return wiring;
}

}  // namespace

PcieRootPort::PcieRootPort(const PciBus::Wiring& wiring, const Options& options)
    : PciBridge(
          {.vendor = 0x1b36, .device = 0x000c, .class_code = 0x060400, .interrupt_pin = 1, .header_type = 1},
          express(wiring)) {
  add_express(*this, kExpressAt, {.type = PortType::RootPort, .port = options.port, .slot = options.slot});
}

void PcieRootPort::reset(bus::ResetKind kind) {
  PciBridge::reset(kind);
  show_presence();
}

void PcieRootPort::secondary_changed() {
  const uint16_t before = config16(kSlotStatus);
  show_presence();
  const uint16_t now = config16(kSlotStatus);
  if (now != before) set_config16(kSlotStatus, now | kPresenceChanged | kDataLinkChanged);
}

// Whether something is plugged in, and the link to it up.
void PcieRootPort::show_presence() {
  const bool occupied = secondary().at(0) != nullptr;
  const unsigned link = config16(kLinkStatus) & ~unsigned{kDataLinkActive};
  const unsigned slot = config16(kSlotStatus) & ~unsigned{kPresenceDetected};
  set_config16(kLinkStatus, static_cast<uint16_t>(occupied ? link | kDataLinkActive : link));
  set_config16(kSlotStatus, static_cast<uint16_t>(occupied ? slot | kPresenceDetected : slot));
}

PciePciBridge::PciePciBridge(const PciBus::Wiring& wiring)
    : PciBridge({.vendor = 0x1b36, .device = 0x000e, .class_code = 0x060400, .header_type = 1},
                conventional(wiring)) {
  add_express(*this, kExpressAt, {.type = PortType::BridgeToPci});
}

}  // namespace rhea::devices
