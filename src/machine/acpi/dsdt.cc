// The board's DSDT: PCI host bridge, interrupt links through the PIIX3, ISA devices, processors, soft-off.
// ACPI 6.4 chapters 5.7 (predefined objects), 6 (configuration), 7.4 (sleeping states); PIIX3 (Intel
// 290550-002) 2.2.8 PIRQ route control.
#include <fmt/format.h>

#include "machine/acpi/aml.h"
#include "machine/acpi/tables.h"

namespace rhea::machine::acpi {
namespace {

using namespace aml;  // NOLINT: the whole file is written in it

constexpr uint8_t kSci = 9;
constexpr uint32_t kPciWindowEnd = 0xfebfffff;  // below the I/O APIC
constexpr unsigned kPciSlots = 32, kPins = 4;
constexpr unsigned kPresentEnabled = 0x0b, kPresentDisabled = 0x09;

Term hid(std::string_view id) {
  return name("_HID", eisa_id(id));
}
Term crs(const Terms& descriptors) {
  return name("_CRS", resources(descriptors));
}
Term status(unsigned value) {
  return name("_STA", integer(value));
}

// Pin INTA of slot n is wired to PIRQ (n - 1) mod 4, its other pins to the following ones. Slot 1 is the
// PIIX, whose power management function signals the SCI and nothing else.
Term routing_table() {
  Terms entries;
  for (unsigned slot = 0; slot < kPciSlots; slot++) {
    for (unsigned pin = 0; pin < kPins; pin++) {
      bool sci = slot == 1 && pin == 0;
      std::string link =
          sci ? "\\_SB.LNKS" : fmt::format("\\_SB.LNK{}", "ABCD"[(slot + pin + kPins - 1) % kPins]);
      entries.push_back(
          package({integer(uint64_t{slot} << 16 | 0xffff), integer(pin), path(link), integer(0)}));
    }
  }
  return name("_PRT", package(entries));
}

Term host_bridge_resources(const Config& config) {
  Terms windows{bus_range(0, 255),
                io(0xcf8, 0xcf8, 1, 8),
                io_window(0, 0xcf7),
                io_window(0xd00, 0xffff),
                memory_window32(0xa0000, 0xbffff, true),
                memory_window32(config.low_ram_end, kPciWindowEnd, false)};
  if (config.pci_window64_size != 0) {
    windows.push_back(
        memory_window64(config.pci_window64_base, config.pci_window64_base + config.pci_window64_size - 1));
  }
  return crs(windows);
}

Term serial_port(unsigned index) {
  constexpr struct {
    uint16_t port;
    uint8_t irq;
  } kPorts[4] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};
  auto [port, line] = kPorts[index];
  return device(fmt::format("COM{}", index + 1), {hid("PNP0501"), name("_UID", integer(index + 1)),
                                                  status(0x0f), crs({io(port, port, 0, 8), irq(line)})});
}

// Function 0 of slot 1 with the PIRQ registers, and what hangs behind it.
Term isa_bridge(const Config& config) {
  Terms body{
      name("_ADR", integer(0x10000)), operation_region("P60R", Space::PciConfig, integer(0x60), integer(4)),
      field("P60R", Access::Byte, {{"PRQ0", 8}, {"PRQ1", 8}, {"PRQ2", 8}, {"PRQ3", 8}}),
      device("RTC", {hid("PNP0B00"), crs({io(0x70, 0x70, 1, 8), irq(8)})}),
      device("DMAC",
             {hid("PNP0200"), crs({io(0, 0, 1, 0x10), io(0x81, 0x81, 1, 0xf), io(0xc0, 0xc0, 1, 0x20)})})};
  if (config.i8042) {
    body.push_back(device(
        "KBD", {hid("PNP0303"), status(0x0f), crs({io(0x60, 0x60, 1, 1), io(0x64, 0x64, 1, 1), irq(1)})}));
    body.push_back(device("MOU", {hid("PNP0F13"), status(0x0f), crs({irq(12)})}));
  }
  for (unsigned i = 0; i < 4; i++) {
    if (config.serial[i]) body.push_back(serial_port(i));
  }
  return device("ISA", body);
}

// One interrupt link: PIRQ register n holds the ISA interrupt, bit 7 set means unrouted.
Term link(unsigned n) {
  std::string reg = fmt::format("\\_SB.PCI0.ISA.PRQ{}", n);
  return device(
      fmt::format("LNK{}", "ABCD"[n]),
      {hid("PNP0C0F"), name("_UID", integer(n)),
       name("_PRS", resources({interrupt_level_high_shared({5, 10, 11})})),
       method("_STA", 0, {return_(call("IQST", {path(reg)}))}),
       method("_DIS", 0, {bit_or(path(reg), integer(0x80), path(reg))}),
       method("_CRS", 0, {return_(call("IQCR", {path(reg)}))}),
       method("_SRS", 1, {create_dword_field(arg(0), integer(5), "PRRI"), store(path("PRRI"), path(reg))})});
}

Term sci_link() {
  Term only = resources({interrupt_level_high_shared({kSci})});
  return device("LNKS",
                {hid("PNP0C0F"), name("_UID", integer(4)), status(kPresentEnabled), name("_PRS", only),
                 name("_CRS", only), method("_DIS", 0, {}), method("_SRS", 1, {})});
}

Terms links() {
  Terms all{method("IQST", 1,
                   {if_(bit_and(arg(0), integer(0x80)), {return_(integer(kPresentDisabled))}),
                    return_(integer(kPresentEnabled))}),
            method("IQCR", 1,
                   {name("PRR0", resources({interrupt_level_high_shared({0})})),
                    create_dword_field(path("PRR0"), integer(5), "PRRI"),
                    if_(less(arg(0), integer(0x80)), {store(arg(0), path("PRRI"))}), return_(path("PRR0"))},
                   true)};
  for (unsigned n = 0; n < kPins; n++) all.push_back(link(n));
  all.push_back(sci_link());
  return all;
}

// A MADT entry for _MAT.
Term local_apic_entry(size_t uid, const CpuEntry& cpu) {
  std::vector<uint8_t> entry;
  if (cpu.apic_id > 254 || uid > 254) {
    entry = {9, 16, 0, 0};
    for (uint32_t value : {cpu.apic_id, uint32_t{cpu.present}, static_cast<uint32_t>(uid)}) {
      for (unsigned i = 0; i < 4; i++) entry.push_back(static_cast<uint8_t>(value >> (8 * i)));
    }
  } else {
    entry = {0, 8, static_cast<uint8_t>(uid), static_cast<uint8_t>(cpu.apic_id), cpu.present, 0, 0, 0};
  }
  return name("_MAT", buffer(entry));
}

Term cpu_object(size_t uid, const CpuEntry& cpu) {
  std::string at = fmt::format("C{:03X}", uid);
  Terms body{status(cpu.present ? 0x0f : 0), local_apic_entry(uid, cpu)};
  if (uid <= 254 && cpu.apic_id <= 254) return processor(at, static_cast<uint8_t>(uid), 0, 0, body);
  body.insert(body.begin(), {name("_HID", string("ACPI0007")), name("_UID", integer(uid))});
  return device(at, body);
}

Term hpet_device() {
  return device("HPET", {hid("PNP0103"), name("_UID", integer(0)), status(0x0f),
                         crs({memory32_fixed(0xfed00000, 0x400, true)})});
}

// The fw_cfg ports, so that the guest's driver finds them.
Term fw_cfg_device() {
  return device(
      "FWCF", {name("_HID", string("QEMU0002")), status(kPresentEnabled), crs({io(0x510, 0x510, 1, 0x0c)})});
}

// Ports of the chipset that no other device claims.
Term board_resources() {
  return device("MBRD", {hid("PNP0C02"), name("_UID", integer(1)),
                         crs({io(0x92, 0x92, 1, 1), io(0xb2, 0xb2, 1, 2), io(0x600, 0x600, 1, 0x40),
                              io(0x700, 0x700, 1, 0x10), io(0xafe0, 0xafe0, 1, 4)})});
}

}  // namespace

std::vector<uint8_t> dsdt_body(const Config& config) {
  Terms system_bus{device(
      "PCI0", {hid("PNP0A03"), name("_UID", integer(0)), name("_ADR", integer(0)), routing_table(),
               host_bridge_resources(config), isa_bridge(config), fw_cfg_device(), board_resources()})};
  for (Term& t : links()) system_bus.push_back(std::move(t));
  if (config.hpet) system_bus.push_back(hpet_device());
  for (size_t i = 0; i < config.cpus.size(); i++) system_bus.push_back(cpu_object(i, config.cpus[i]));

  std::vector<uint8_t> body;
  for (const Term& t : {scope("\\_SB", system_bus), scope("\\_GPE", {name("_HID", string("ACPI0006"))}),
                        // PIIX4's SUS_TYP for soft off is 0.
                        name("\\_S5", package({integer(0), integer(0), integer(0), integer(0)}))}) {
    body.insert(body.end(), t.bytes.begin(), t.bytes.end());
  }
  return body;
}

}  // namespace rhea::machine::acpi
