// Serial ATA controllers. The disks on their ports are those of the IDE family.
#include <algorithm>
#include <memory>

#include "config/schema.h"
#include "devices/ata/ahci.h"
#include "machine/plug/device_driver.h"
#include "machine/plug/pci_place.h"

namespace rhea::machine {
namespace {

struct AhciOptions : PciPlace {};

const config::Group<AhciOptions>& ahci_group() {
  static const config::Group<AhciOptions> group{"ich9-ahci", "", with_pci_place<AhciOptions>({})};
  return group;
}

// "ID.N", or the next free "ide.N".
std::string port_bus_name(DeviceSite& site, const std::string& id, unsigned port) {
  if (!id.empty()) return id + "." + std::to_string(port);
  std::string name;
  for (unsigned n = 0;; ++n) {
    name = "ide." + std::to_string(n);
    if (std::ranges::none_of(site.tree().buses(), [&name](const auto& bus) { return bus.name == name; }))
      return name;
  }
}

Result<> add_ahci(DeviceSite& site, const DeviceRequest& request) {
  AhciOptions options;
  TRY(ahci_group().apply(request.values, options));
  devices::Ahci* ahci = TRY(plug_pci(site, request, options, std::make_unique<devices::Ahci>()));
  for (unsigned i = 0; i < devices::Ahci::kPorts; ++i)
    site.tree().add_bus(port_bus_name(site, request.id, i), ahci->port(i), ahci);
  return {};
}

std::string ahci_help() {
  return ahci_group().help();
}

}  // namespace

std::span<const DeviceDriver> ahci_drivers() {
  static constexpr DeviceDriver kDrivers[] = {
      {"ich9-ahci", "PCI", "Storage", "a Serial ATA controller with six ports", ahci_help, add_ahci},
      {"ahci", "PCI", "Storage", "short for ich9-ahci", ahci_help, add_ahci},
  };
  return kDrivers;
}

}  // namespace rhea::machine
