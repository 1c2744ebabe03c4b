// What the i440FX board's DSDT has of its own: interrupt links through the PIIX3. PIIX3 (Intel 290550-002)
// 2.2.8 PIRQ route control.
#include <fmt/format.h>

#include "machine/acpi/tables.h"
#include "machine/acpi/terms.h"

namespace rhea::machine::acpi {
namespace {

using namespace aml;  // NOLINT: the whole file is written in it

// Pin INTA of slot n is wired to PIRQ (n - 1) mod 4, its other pins to the following ones. Slot 1 is the
// PIIX, whose power management function signals the SCI and nothing else.
Term routing_table() {
  Terms entries;
  for (unsigned slot = 0; slot < kPciSlots; slot++) {
    for (unsigned pin = 0; pin < kPciPins; pin++) {
      bool sci = slot == 1 && pin == 0;
      std::string link =
          sci ? "\\_SB.LNKS" : fmt::format("\\_SB.LNK{}", "ABCD"[(slot + pin + kPciPins - 1) % kPciPins]);
      entries.push_back(
          package({integer(uint64_t{slot} << 16 | 0xffff), integer(pin), path(link), integer(0)}));
    }
  }
  return name("_PRT", package(entries));
}

// Function 0 of slot 1 with the PIRQ registers, and what hangs behind it.
Term isa_bridge(const Config& config) {
  Terms body{name("_ADR", integer(0x10000)),
             operation_region("P60R", Space::PciConfig, integer(0x60), integer(4)),
             field("P60R", Access::Byte, {{"PRQ0", 8}, {"PRQ1", 8}, {"PRQ2", 8}, {"PRQ3", 8}})};
  for (Term& term : isa_devices(config)) body.push_back(std::move(term));
  return device("ISA", body);
}

}  // namespace

ChipsetTerms i440fx_terms(const Config& config) {
  ChipsetTerms terms;
  terms.in_pci0 = {hid("PNP0A03"), name("_ADR", integer(0)), routing_table(), isa_bridge(config)};
  add_hotplug(terms, config);
  terms.in_system_bus = link_methods();
  for (unsigned n = 0; n < kPciPins; n++) {
    terms.in_system_bus.push_back(
        isa_link(fmt::format("LNK{}", "ABCD"[n]), n, fmt::format("\\_SB.PCI0.ISA.PRQ{}", n)));
  }
  terms.in_system_bus.push_back(fixed_link("LNKS", 4, config.sci));
  return terms;
}

}  // namespace rhea::machine::acpi
