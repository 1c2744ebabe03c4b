#include "bus/pci/express.h"

#include "bus/pci/pci_bus.h"

namespace rhea::bus::pci {

namespace {

// Offsets within the capability.
constexpr unsigned kCapabilitiesRegister = 0x02, kDeviceCapabilities = 0x04, kDeviceControl = 0x08,
                   kDeviceStatus = 0x0a, kLinkCapabilities = 0x0c, kLinkControl = 0x10, kLinkStatus = 0x12,
                   kSlotCapabilities = 0x14, kSlotControl = 0x18, kSlotStatus = 0x1a, kRootControl = 0x1c,
                   kDeviceControl2 = 0x28, kLinkCapabilities2 = 0x2c, kLinkControl2 = 0x30;

constexpr unsigned kVersion2 = 2, kSlotImplemented = 1u << 8;
constexpr uint32_t kRoleBasedErrors = 1u << 15, kFunctionLevelReset = 1u << 28, kExtendedTag = 1u << 5;
constexpr uint32_t kSpeed2500 = 1, kWidth1 = 1u << 4, kLinkActiveReporting = 1u << 20;
constexpr uint16_t kDataLinkActive = 1u << 13, kPresenceDetected = 1u << 6;

bool is_port(PortType type) {
  return type == PortType::RootPort || type == PortType::UpstreamPort || type == PortType::DownstreamPort;
}

}  // namespace

PortType endpoint_type(const PciBus& bus) {
  return bus.is_root() ? PortType::IntegratedEndpoint : PortType::Endpoint;
}

void add_express(PciFunction& f, unsigned at, const ExpressOptions& options) {
  f.extend_config();
  f.add_capability(kCapExpress, at, kExpressCapabilitySize);
  unsigned flags = kVersion2 | static_cast<unsigned>(options.type) << 4 | unsigned{options.message} << 9;
  if (options.slot) flags |= kSlotImplemented;
  f.define16(at + kCapabilitiesRegister, static_cast<uint16_t>(flags));
  f.define32(at + kDeviceCapabilities,
             kRoleBasedErrors | kExtendedTag | (options.function_level_reset ? kFunctionLevelReset : 0));
  // 7.8.4: errors may be reported, relaxed ordering, payload and read request sizes, no snoop.
  f.define16(at + kDeviceControl, 0x2810, 0x79ff);
  f.define_clear16(at + kDeviceStatus, 0x000f);
  f.define16(at + kDeviceControl2, 0, 0x001f);
  if (options.type == PortType::IntegratedEndpoint) return;  // it has no link

  const uint32_t link = kSpeed2500 | kWidth1;
  const bool up = !options.slot || options.occupied;
  const bool downstream = options.type == PortType::RootPort || options.type == PortType::DownstreamPort;
  f.define32(at + kLinkCapabilities,
             link | (downstream ? kLinkActiveReporting : 0) | uint32_t{options.port} << 24);
  f.define16(at + kLinkControl, 0, is_port(options.type) ? 0x03db : 0x01c3);
  f.define16(at + kLinkStatus, static_cast<uint16_t>(link | (downstream && up ? kDataLinkActive : 0)));
  f.define32(at + kLinkCapabilities2, 1u << 1);
  f.define16(at + kLinkControl2, 1, 0x000f);
  if (options.slot) {
    f.define32(at + kSlotCapabilities, uint32_t{*options.slot} << 19);
    f.define16(at + kSlotControl, 0, 0x1fff);
    f.define16(at + kSlotStatus, options.occupied ? kPresenceDetected : uint16_t{0});
    f.define_clear16(at + kSlotStatus, 0x011f);
  }
  if (options.type == PortType::RootPort) f.define16(at + kRootControl, 0, 0x000f);
}

}  // namespace rhea::bus::pci
