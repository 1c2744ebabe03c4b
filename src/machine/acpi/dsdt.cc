// What the boards' DSDTs share: PCI host bridge and its windows, ISA devices, processors, soft-off. ACPI 6.4
// chapters 5.7 (predefined objects), 6 (configuration), 7.4 (sleeping states).
#include <fmt/format.h>

#include "machine/acpi/aml.h"
#include "machine/acpi/tables.h"
#include "machine/acpi/terms.h"

namespace rhea::machine::acpi {
namespace {

using namespace aml;  // NOLINT: the whole file is written in it

constexpr uint32_t kPciWindowEnd = 0xfebfffff;  // below the I/O APIC
constexpr uint8_t kHotplugPorts = 20;

// What is below 4 GiB and neither RAM nor configuration space nor the chipset's.
void add_windows32(Terms& windows, const Config& config) {
  const uint64_t end = uint64_t{kPciWindowEnd} + 1;
  uint64_t at = config.low_ram_end;
  const uint64_t hole = config.mmconfig_base, hole_end = hole + config.mmconfig_size;
  if (config.mmconfig_size != 0 && hole >= at && hole < end) {
    if (hole > at)
      windows.push_back(memory_window32(static_cast<uint32_t>(at), static_cast<uint32_t>(hole - 1), false));
    at = hole_end;
  }
  if (at < end) windows.push_back(memory_window32(static_cast<uint32_t>(at), kPciWindowEnd, false));
}

Term host_bridge_resources(const Config& config) {
  Terms windows{bus_range(0, 255), io(0xcf8, 0xcf8, 1, 8), io_window(0, 0xcf7), io_window(0xd00, 0xffff),
                memory_window32(0xa0000, 0xbffff, true)};
  add_windows32(windows, config);
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

// A floppy drive and what the BIOS would tell of it (6.4, 9.9.2: _FDI): parameters as in IBM's disk base
// table.
Term floppy_drive(unsigned unit, unsigned type) {
  const bool small = type == 1 || type == 3;  // 360 and 720 KiB: 9 sectors
  const unsigned sectors = type == 5 ? 36 : type == 4 ? 18 : type == 2 ? 15 : 9;
  const unsigned last_track = type == 1 ? 39 : 79;
  Terms parameters;
  for (unsigned value : {unit, type, last_track, sectors, 1u, 0xafu, 0x02u, 0x25u, 0x02u, sectors,
                         small ? 0x2au : 0x1bu, 0xffu, small ? 0x50u : 0x6cu, 0xf6u, 0x0fu, 0x08u})
    parameters.push_back(integer(value));
  return device(fmt::format("FLP{}", "AB"[unit]),
                {name("_ADR", integer(unit)), name("_FDI", package(parameters))});
}

Term floppy_controller(uint8_t types) {
  const unsigned drives[2] = {static_cast<unsigned>(types >> 4), types & 15u};
  std::vector<uint8_t> there(20);  // _FDE (9.9.1): a dword a drive, then the tape's
  there[16] = 2;                   // which there never is
  Terms body{hid("PNP0700"), status(0x0f),
             crs({io(0x3f2, 0x3f2, 1, 4), io(0x3f7, 0x3f7, 1, 1), irq(6), dma(2)})};
  for (unsigned unit = 0; unit < 2; ++unit) {
    if (drives[unit] == 0) continue;
    there[unit * 4] = 1;
    body.push_back(floppy_drive(unit, drives[unit]));
  }
  body.push_back(name("_FDE", buffer(there)));
  return device("FDC0", body);
}

// Ports of the chipset that no other device claims.
Term board_resources(const Config& config) {
  const uint16_t pm = config.pm_base;
  Terms ports{io(0x92, 0x92, 1, 1), io(0xb2, 0xb2, 1, 2), io(pm, pm, 1, config.q35 ? 0x80 : 0x40)};
  if (!config.q35) {
    ports.push_back(io(0x700, 0x700, 1, 0x10));
    ports.push_back(io(config.gpe0, config.gpe0, 1, config.gpe0_bytes));
  }
  if (!config.hotplug_buses.empty())
    ports.push_back(io(config.hotplug_port, config.hotplug_port, 1, kHotplugPorts));
  return device("MBRD", {hid("PNP0C02"), name("_UID", integer(1)), crs(ports)});
}

}  // namespace

Terms isa_devices(const Config& config) {
  Terms body{device("RTC", {hid("PNP0B00"), crs({io(0x70, 0x70, 1, 8), irq(8)})}),
             device("DMAC", {hid("PNP0200"),
                             crs({io(0, 0, 1, 0x10), io(0x81, 0x81, 1, 0xf), io(0xc0, 0xc0, 1, 0x20)})})};
  if (config.i8042) {
    body.push_back(device(
        "KBD", {hid("PNP0303"), status(0x0f), crs({io(0x60, 0x60, 1, 1), io(0x64, 0x64, 1, 1), irq(1)})}));
    body.push_back(device("MOU", {hid("PNP0F13"), status(0x0f), crs({irq(12)})}));
  }
  if (config.floppies) body.push_back(floppy_controller(config.floppy_types));
  for (unsigned i = 0; i < 4; i++) {
    if (config.serial[i]) body.push_back(serial_port(i));
  }
  return body;
}

std::vector<uint8_t> dsdt_body(const Config& config) {
  ChipsetTerms chipset = config.q35 ? q35_terms(config) : i440fx_terms(config);
  Terms host_bridge{name("_UID", integer(0)), host_bridge_resources(config), fw_cfg_device(),
                    board_resources(config)};
  for (Term& t : chipset.in_pci0) host_bridge.push_back(std::move(t));
  Terms system_bus{device("PCI0", host_bridge)};
  for (Term& t : chipset.in_system_bus) system_bus.push_back(std::move(t));
  if (config.hpet) system_bus.push_back(hpet_device());
  for (size_t i = 0; i < config.cpus.size(); i++) system_bus.push_back(cpu_object(i, config.cpus[i]));

  Terms events{name("_HID", string("ACPI0006"))};
  for (Term& t : chipset.in_gpe) events.push_back(std::move(t));
  // Which interrupt controllers the system has told us it uses: 0 the 8259s, 1 the I/O APIC.
  Terms whole{name("\\PICF", integer(0)), method("\\_PIC", 1, {store(arg(0), path("\\PICF"))}),
              scope("\\_SB", system_bus), scope("\\_GPE", events),
              // The boards' sleep type for soft off is 0.
              name("\\_S5", package({integer(0), integer(0), integer(0), integer(0)}))};
  std::vector<uint8_t> body;
  for (const Term& t : whole) body.insert(body.end(), t.bytes.begin(), t.bytes.end());
  return body;
}

}  // namespace rhea::machine::acpi
