// Bridges and ports: what has a PCI bus of its own behind it.
#include <memory>

#include "base/failf.h"
#include "bus/pci/pci_bridge.h"
#include "config/schema.h"
#include "devices/bridge/pcie_ports.h"
#include "machine/plug/device_driver.h"
#include "machine/plug/pci_place.h"

namespace rhea::machine {
namespace {

struct PortOptions : PciPlace {
  uint8_t port = 0;
  uint8_t chassis = 0;
  uint16_t slot = 0;
};
struct BridgeOptions : PciPlace {
  uint8_t chassis_nr = 0;
};
struct PciePciOptions : PciPlace {};

const config::Group<PortOptions>& port_group() {
  static const config::Group<PortOptions> group{
      "pcie-root-port", "",
      with_pci_place<PortOptions>(
          {config::integer("port", &PortOptions::port, 0u, 255u, "number of the port's link"),
           config::integer("chassis", &PortOptions::chassis, 0u, 255u,
                           "number of the chassis, of which each slot is there once"),
           config::integer("slot", &PortOptions::slot, 0u, 8191u, "number of the slot behind the port")})};
  return group;
}

const config::Group<BridgeOptions>& bridge_group() {
  static const config::Group<BridgeOptions> group{
      "pci-bridge", "",
      with_pci_place<BridgeOptions>({config::integer("chassis_nr", &BridgeOptions::chassis_nr, 1u, 255u,
                                                     "number of the chassis behind the bridge")})};
  return group;
}

const config::Group<PciePciOptions>& pcie_pci_group() {
  static const config::Group<PciePciOptions> group{"pcie-pci-bridge", "", with_pci_place<PciePciOptions>({})};
  return group;
}

// The bus behind has the bridge's id for a name.
void add_secondary(DeviceSite& site, const DeviceRequest& request, bus::pci::PciBridge& bridge) {
  if (!request.id.empty()) {
    site.tree().add_bus(request.id, bridge.secondary(), &bridge);
    return;
  }
  unsigned number = 0;
  for (const DeviceTree::NamedBus& known : site.tree().buses())
    number += dynamic_cast<bus::pci::PciBus*>(known.bus) != nullptr;
  const char* stem = bridge.secondary().is_express() ? "pcie." : "pci.";
  site.tree().add_bus(stem + std::to_string(number), bridge.secondary(), &bridge);
}

// One port for each slot of a chassis.
Result<> check_slot(DeviceSite& site, const PortOptions& options) {
  for (const auto& other : site.tree().devices()) {
    PortOptions taken;
    if (other->request.driver != "pcie-root-port" || !port_group().apply(other->request.values, taken))
      continue;
    if (taken.chassis == options.chassis && taken.slot == options.slot) {
      return failf(ErrorKind::Busy, "Can't add chassis slot: slot {} of chassis {} has a port already",
                   options.slot, options.chassis);
    }
  }
  return {};
}

Result<> add_root_port(DeviceSite& site, const DeviceRequest& request) {
  PortOptions options;
  TRY(port_group().apply(request.values, options));
  TRY(check_slot(site, options));
  PciSlot slot = TRY(choose_slot(site, options));
  if (!slot.bus.is_express() || !slot.bus.is_root())
    return failf(ErrorKind::Invalid, "bus '{}' is not a PCI Express root bus", slot.bus_name);
  auto* port = TRY(plug_pci(
      site, request, options,
      std::make_unique<devices::PcieRootPort>(
          slot.bus.wiring(), devices::PcieRootPort::Options{.port = options.port, .slot = options.slot})));
  add_secondary(site, request, *port);
  return {};
}

Result<> add_pci_bridge(DeviceSite& site, const DeviceRequest& request) {
  BridgeOptions options;
  TRY(bridge_group().apply(request.values, options));
  if (options.chassis_nr == 0)
    return fail(ErrorKind::Invalid,
                "Bridge chassis not specified. Each bridge is required to be assigned a "
                "unique chassis id > 0.");
  PciSlot slot = TRY(choose_slot(site, options));
  auto* bridge =
      TRY(plug_pci(site, request, options, std::make_unique<bus::pci::PciBridge>(slot.bus.wiring())));
  add_secondary(site, request, *bridge);
  return {};
}

Result<> add_pcie_pci_bridge(DeviceSite& site, const DeviceRequest& request) {
  PciePciOptions options;
  TRY(pcie_pci_group().apply(request.values, options));
  PciSlot slot = TRY(choose_slot(site, options));
  if (!slot.bus.is_express()) return failf(ErrorKind::Invalid, "bus '{}' is not PCI Express", slot.bus_name);
  auto* bridge =
      TRY(plug_pci(site, request, options, std::make_unique<devices::PciePciBridge>(slot.bus.wiring())));
  add_secondary(site, request, *bridge);
  return {};
}

}  // namespace

std::span<const DeviceDriver> bridge_drivers() {
  static constexpr DeviceDriver kDrivers[] = {
      {"pci-bridge", "PCI", "Controller/Bridge/Hub", "Standard PCI Bridge",
       [] { return bridge_group().help(); }, add_pci_bridge},
      {"pcie-pci-bridge", "PCI", "Controller/Bridge/Hub", "PCI Express to PCI bridge",
       [] { return pcie_pci_group().help(); }, add_pcie_pci_bridge},
      {"pcie-root-port", "PCI", "Controller/Bridge/Hub", "PCI Express Root Port",
       [] { return port_group().help(); }, add_root_port},
  };
  return kDrivers;
}

}  // namespace rhea::machine
