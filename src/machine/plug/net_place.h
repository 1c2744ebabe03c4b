// The properties that every network device on PCI has besides its place, and what they come to.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "machine/plug/pci_place.h"
#include "net/endpoint.h"
#include "net/mac.h"

namespace rhea::machine {

struct NetPlace {
  std::optional<std::string> netdev, mac, romfile;
  std::optional<unsigned> rombar, bootindex;
};

template <class T>
std::vector<config::Property> with_net_place(std::vector<config::Property> own) {
  const auto text = [&own](const char* key, std::optional<std::string> NetPlace::*member, const char* help) {
    own.push_back(config::text(key, static_cast<std::optional<std::string> T::*>(member), help));
  };
  text("netdev", &NetPlace::netdev, "id of the back end; none: the device has no cable");
  text("mac", &NetPlace::mac, "Ethernet address; 52:54:00:12:34:56 and on if not given");
  text("romfile", &NetPlace::romfile, "option ROM for network boot; empty: none");
  own.push_back(config::integer("rombar", static_cast<std::optional<unsigned> T::*>(&NetPlace::rombar), 0u,
                                1u, "0: the option ROM is not shown"));
  own.push_back(config::integer("bootindex", static_cast<std::optional<unsigned> T::*>(&NetPlace::bootindex),
                                0u, 0x7fffffffu, "place in the firmware's boot order"));
  return own;
}

// What a device is made of, found before it is made.
struct NetParts {
  net::Mac mac;
  net::Endpoint* back_end = nullptr;                // null: no cable
  std::unique_ptr<memory::RamBlock> rom = nullptr;  // null: none
};
// `usual_rom` is used if it is installed and nothing else was asked for. Errors: Invalid, NotFound, Busy.
Result<NetParts> find_net_parts(DeviceSite& site, const NetPlace& place, const char* usual_rom);

// Once the function is plugged in: the cable, the list of NICs, the boot order.
Result<> connect_nic(DeviceSite& site, const DeviceRequest& request, const NetPlace& place,
                     const bus::pci::PciFunction& function, net::Endpoint& end, net::Endpoint* back_end);

}  // namespace rhea::machine
