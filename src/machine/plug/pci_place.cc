#include "machine/plug/pci_place.h"

#include <charconv>

namespace rhea::machine {
namespace {

// "2", "1f.3", "0x1.0x2".
Result<unsigned> parse_addr(const std::string& addr) {
  unsigned slot = 32, function = 0;
  const char* end = addr.data() + addr.size();
  const auto digits = [end](const char* text) {
    const bool prefixed = end - text > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    return prefixed ? text + 2 : text;
  };
  auto [at, error] = std::from_chars(digits(addr.data()), end, slot, 16);
  if (error == std::errc() && at != end && *at == '.') {
    auto [last, second] = std::from_chars(digits(at + 1), end, function, 16);
    at = last;
    error = second;
  }
  if (error != std::errc() || at != end || slot > 31 || function > 7) {
    return failf(ErrorKind::Invalid, "'addr' accepts SLOT[.FUNCTION], 0 to 1f and 0 to 7, not '{}'", addr);
  }
  return bus::pci::devfn_of(slot, function);
}

}  // namespace

Result<PciSlot> choose_slot(DeviceSite& site, const PciPlace& place) {
  auto* bus = TRY(site.tree().find_bus<bus::pci::PciBus>(place.bus));
  std::string name = site.tree().name_of(*bus);
  if (!place.addr) {
    std::optional<unsigned> slot = bus->free_slot(bus->is_root() ? site.first_free_slot() : 0);
    if (!slot) return failf(ErrorKind::NoSpace, "there is no free slot on PCI bus '{}'", name);
    return PciSlot{*bus, bus::pci::devfn_of(*slot, 0), std::move(name)};
  }
  unsigned devfn = TRY(parse_addr(*place.addr));
  if (devfn >> 3 >= bus->slots())
    return failf(ErrorKind::Invalid, "slot {:x} is not valid: bus '{}' has slot 0 only", devfn >> 3, name);
  if (bus->at(devfn) != nullptr)
    return failf(ErrorKind::Busy, "PCI address {} is taken by {}", *place.addr, bus->at(devfn)->name());
  return PciSlot{*bus, devfn, std::move(name)};
}

}  // namespace rhea::machine
