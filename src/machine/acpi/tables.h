// ACPI tables of the boards with PCI and the script by which firmware places and links them.
//
// ACPI 6.4 chapter 5 (system description tables), IA-PC HPET 1.0a 3.2.4; QEMU's fw_cfg interface: the files
// etc/acpi/tables, etc/acpi/rsdp and etc/table-loader (commands ALLOCATE, ADD_POINTER, ADD_CHECKSUM of 128
// bytes); PCI Firmware 3.0 4.1.2 (MCFG). Missing: S3/S4, CPU hot-plug, SRAT
// (NUMA).
//
// Threading: pure functions, called while the machine is built.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "machine/acpi/aml.h"

namespace rhea::machine::acpi {

struct CpuEntry {
  uint32_t apic_id;
  bool present;
};

using Bytes = std::vector<uint8_t>;

// A bus that has slots which come and go, or has such a bus behind one of its bridges.
struct HotplugBus {
  std::vector<unsigned> bridges;   // that lead there from the root bus: device << 3 | function of each
  std::optional<unsigned> number;  // of its registers; none: it has no such slots
  uint32_t slots = 0;              // those that come and go, a bit each
};

struct Config {
  bool q35 = false;                // else i440FX
  std::vector<CpuEntry> cpus;      // all possible ones, by vCPU number
  uint32_t low_ram_end;            // the 32-bit PCI window begins here
  uint64_t high_ram_end = 0;       // no 64-bit PCI window begins below
  uint64_t pci_window64_base = 0;  // 0: none
  uint64_t pci_window64_size = 0;
  uint64_t pci_window64_room = 0;  // its size where nothing is in it yet
  uint16_t pm_base = 0x600, gpe0 = 0xafe0;
  uint8_t gpe0_bytes = 4, sci = 9;
  uint64_t mmconfig_base = 0, mmconfig_size = 0;  // size 0: there is none
  std::vector<Bytes> extra_tables;                // complete but for their checksums
  uint16_t hotplug_port = 0xae00;                 // of devices/bridge/acpi_pci_hotplug.h
  std::vector<HotplugBus> hotplug_buses;          // the root bus is the first
  bool hpet = true;
  bool i8042 = true;
  bool serial[4] = {};
  bool floppies = false;     // there is a controller
  uint8_t floppy_types = 0;  // its drives, as in CMOS byte 0x10
};

struct Blobs {
  std::vector<uint8_t> tables;  // etc/acpi/tables
  std::vector<uint8_t> rsdp;    // etc/acpi/rsdp
  std::vector<uint8_t> loader;  // etc/table-loader
};

Blobs build(const Config& config);

// The DSDT's body, without the table header.
std::vector<uint8_t> dsdt_body(const Config& config);

// What of it a chipset has of its own: devices in \_SB.PCI0 (routing, bridges) and in \_SB (links),
// general purpose events.
struct ChipsetTerms {
  std::vector<aml::Term> in_pci0, in_system_bus, in_gpe;
};
ChipsetTerms i440fx_terms(const Config& config);
ChipsetTerms q35_terms(const Config& config);
// Slots that come and go: their devices, and the event by which the system hears of them.
void add_hotplug(ChipsetTerms& terms, const Config& config);
// Devices on the ISA or LPC bus.
std::vector<aml::Term> isa_devices(const Config& config);

}  // namespace rhea::machine::acpi
