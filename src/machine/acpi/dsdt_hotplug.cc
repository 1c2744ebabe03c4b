// Slots that come and go, in the DSDT: a device with _EJ0 for each, and for event 1 a method PCNT of each bus
// that tells of those which the registers name. ACPI 6.4, 6.3 (device insertion and removal), 5.6.4.1
// (events); the registers are those of devices/bridge/acpi_pci_hotplug.h.
#include <fmt/format.h>

#include "machine/acpi/tables.h"
#include "machine/acpi/terms.h"

namespace rhea::machine::acpi {
namespace {

using namespace aml;  // NOLINT: the whole file is written in it

constexpr unsigned kDeviceCheck = 1, kEjectRequest = 3;  // ACPI 6.4 table 5.165
constexpr const char* kLock = "\\_SB.PCI0.BLCK";         // who has it may select a bus

std::string name_of(unsigned devfn) {
  return fmt::format("S{:02X}_", devfn);
}

Term address_of(unsigned devfn) {
  return name("_ADR", integer(uint64_t{devfn >> 3} << 16 | (devfn & 7)));
}

void add_slots(Terms& body, Terms& tell, unsigned number, uint32_t slots) {
  tell.push_back(store(integer(number), path("BNUM")));
  tell.push_back(store(path("PCIU"), local(0)));
  tell.push_back(store(path("PCID"), local(1)));
  for (unsigned slot = 0; slot < kPciSlots; slot++) {
    const uint32_t bit = uint32_t{1} << slot;
    if ((slots & bit) == 0) continue;
    const std::string at = name_of(slot << 3);
    body.push_back(device(at, {address_of(slot << 3), name("_SUN", integer(slot)),
                               method("_EJ0", 1,
                                      {acquire(kLock), store(integer(number), path("BNUM")),
                                       store(integer(bit), path("B0EJ")), release(kLock)})}));
    tell.push_back(if_(bit_and(local(0), integer(bit)), {notify(path(at), kDeviceCheck)}));
    tell.push_back(if_(bit_and(local(1), integer(bit)), {notify(path(at), kEjectRequest)}));
  }
}

bool is_behind(const HotplugBus& inner, const HotplugBus& bus) {
  return inner.bridges.size() == bus.bridges.size() + 1 &&
         std::equal(bus.bridges.begin(), bus.bridges.end(), inner.bridges.begin());
}

// What is in the scope of the bus, which is called `at`.
Terms bus_terms(const Config& config, const HotplugBus& bus, const std::string& at) {
  Terms body, tell;
  if (bus.number) add_slots(body, tell, *bus.number, bus.slots);
  for (const HotplugBus& inner : config.hotplug_buses) {
    if (!is_behind(inner, bus)) continue;
    const unsigned devfn = inner.bridges.back();
    const std::string inner_at = at + "." + name_of(devfn);
    Terms bridge{address_of(devfn)};
    for (Term& term : bus_terms(config, inner, inner_at)) bridge.push_back(std::move(term));
    body.push_back(device(name_of(devfn), bridge));
    tell.push_back(call(inner_at + ".PCNT", {}));
  }
  body.push_back(method("PCNT", 0, tell, true));
  return body;
}

}  // namespace

void add_hotplug(ChipsetTerms& terms, const Config& config) {
  if (config.hotplug_buses.empty()) return;
  const uint16_t port = config.hotplug_port;
  Terms all{operation_region("PCST", Space::SystemIo, integer(port), integer(8)),
            field("PCST", Access::DWord, {{"PCIU", 32}, {"PCID", 32}}),
            operation_region("SEJ", Space::SystemIo, integer(port + 8u), integer(4)),
            field("SEJ", Access::DWord, {{"B0EJ", 32}}),
            operation_region("BNMR", Space::SystemIo, integer(port + 16u), integer(4)),
            field("BNMR", Access::DWord, {{"BNUM", 32}}),
            mutex("BLCK")};
  for (Term& term : bus_terms(config, config.hotplug_buses.front(), "\\_SB.PCI0"))
    all.push_back(std::move(term));
  for (Term& term : all) terms.in_pci0.push_back(std::move(term));
  terms.in_gpe.push_back(method("_E01", 0, {acquire(kLock), call("\\_SB.PCI0.PCNT", {}), release(kLock)}));
}

}  // namespace rhea::machine::acpi
