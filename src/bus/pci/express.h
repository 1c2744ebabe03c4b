// The PCI Express capability structure of a function.
//
// PCI Express Base 3.0, 7.8. Links are always up; missing: error reporting, power budgets, hot plug. Caller
// holds the machine lock.
#pragma once

#include <cstdint>
#include <optional>

#include "bus/pci/pci_function.h"

namespace rhea::bus::pci {

// 7.8.2, table 7-12.
enum class PortType : uint8_t {
  Endpoint = 0,
  RootPort = 4,
  UpstreamPort = 5,
  DownstreamPort = 6,
  BridgeToPci = 7,
  IntegratedEndpoint = 9,
};

struct ExpressOptions {
  PortType type = PortType::Endpoint;
  uint8_t port = 0;                   // number of a port's link
  std::optional<uint16_t> slot = {};  // ports: leads to a slot, with this number
  bool occupied = false;              // … in which a device is
  uint8_t message = 0;                // the MSI vector of a port's events
  bool function_level_reset = false;  // endpoints
};

inline constexpr unsigned kExpressCapabilitySize = 0x3c;

// Gives the function extended configuration space and the capability at `offset`.
void add_express(PciFunction& function, unsigned offset, const ExpressOptions& options);

// What an endpoint that is to be plugged into this bus is.
PortType endpoint_type(const PciBus& bus);

}  // namespace rhea::bus::pci
