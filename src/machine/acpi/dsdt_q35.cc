// What the Q35 board's DSDT has of its own: a PCI Express host bridge that hands its features to the system
// (_OSC), and interrupts either through the LPC bridge's PIRQ registers or straight to I/O APIC
// inputs 16..23. ACPI 6.4, 6.2.11 (_OSC), 5.8.1 (_PIC); PCI Firmware 3.0, 4.5; ICH9 (Intel
// 316972-004) 13.1.17.
#include <fmt/format.h>

#include "machine/acpi/tables.h"
#include "machine/acpi/terms.h"

namespace rhea::machine::acpi {
namespace {

using namespace aml;  // NOLINT: the whole file is written in it

constexpr unsigned kLines = 8, kFirstGsi = 16, kFirstOwnSlot = 25;
constexpr const char* kLetters = "ABCDEFGH";

// As devices/bridge/ich9_lpc.h wires them.
unsigned line_of(unsigned slot, unsigned pin) {
  return slot >= kFirstOwnSlot ? pin : 4 + (slot + pin) % kPciPins;
}

Term routing_package(std::string_view at, const char* link) {
  Terms entries;
  for (unsigned slot = 0; slot < kPciSlots; slot++) {
    for (unsigned pin = 0; pin < kPciPins; pin++) {
      entries.push_back(
          package({integer(uint64_t{slot} << 16 | 0xffff), integer(pin),
                   path(fmt::format("\\_SB.{}{}", link, kLetters[line_of(slot, pin)])), integer(0)}));
    }
  }
  return name(at, package(entries));
}

// 33DB4D5B-1FF7-401C-9657-7441C03DD766, as bytes.
constexpr uint8_t kHostBridgeUuid[] = {0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40,
                                       0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66};
constexpr unsigned kGranted = 0x1c;  // PME, error reporting, capability structures; no hot plug

Term operating_system_capabilities() {
  return method(
      "_OSC", 4,
      {create_dword_field(arg(3), integer(0), "CDW1"),
       if_(equal(arg(0), buffer(kHostBridgeUuid)),
           {create_dword_field(arg(3), integer(8), "CDW3"), store(path("CDW3"), local(0)),
            bit_and(local(0), integer(kGranted), local(0)), if_(equal(arg(1), integer(1)), {}),
            else_({bit_or(path("CDW1"), integer(8), path("CDW1"))}), if_(equal(path("CDW3"), local(0)), {}),
            else_({bit_or(path("CDW1"), integer(0x10), path("CDW1"))}), store(local(0), path("CDW3"))}),
       else_({bit_or(path("CDW1"), integer(4), path("CDW1"))}), return_(arg(3))},
      true);
}

Term lpc_bridge(const Config& config) {
  Terms body{name("_ADR", integer(0x1f0000)),
             operation_region("PIRQ", Space::PciConfig, integer(0x60), integer(0x0c)),
             field("PIRQ", Access::Byte,
                   {{"PRQA", 8},
                    {"PRQB", 8},
                    {"PRQC", 8},
                    {"PRQD", 8},
                    {"", 32},
                    {"PRQE", 8},
                    {"PRQF", 8},
                    {"PRQG", 8},
                    {"PRQH", 8}})};
  for (Term& term : isa_devices(config)) body.push_back(std::move(term));
  return device("ISA", body);
}

}  // namespace

ChipsetTerms q35_terms(const Config& config) {
  ChipsetTerms terms;
  terms.in_pci0 = {hid("PNP0A08"),
                   name("_CID", eisa_id("PNP0A03")),
                   name("_ADR", integer(0)),
                   operating_system_capabilities(),
                   routing_package("PRTP", "LNK"),
                   routing_package("PRTA", "GSI"),
                   method("_PRT", 0, {if_(path("\\PICF"), {return_(path("PRTA"))}), return_(path("PRTP"))}),
                   lpc_bridge(config)};
  add_hotplug(terms, config);
  terms.in_system_bus = link_methods();
  for (unsigned n = 0; n < kLines; n++) {
    const char letter = kLetters[n];
    terms.in_system_bus.push_back(
        isa_link(fmt::format("LNK{}", letter), n, fmt::format("\\_SB.PCI0.ISA.PRQ{}", letter)));
    terms.in_system_bus.push_back(fixed_link(fmt::format("GSI{}", letter), 0x10 + n, kFirstGsi + n));
  }
  if (config.mmconfig_size != 0 && config.mmconfig_base + config.mmconfig_size <= uint64_t{1} << 32) {
    terms.in_system_bus.push_back(device(
        "DRAC", {hid("PNP0C01"), crs({memory32_fixed(static_cast<uint32_t>(config.mmconfig_base),
                                                     static_cast<uint32_t>(config.mmconfig_size), true)})}));
  }
  return terms;
}

}  // namespace rhea::machine::acpi
