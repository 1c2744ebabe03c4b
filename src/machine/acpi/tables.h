// ACPI tables of the i440FX board and the script by which firmware places and links them.
//
// ACPI 6.4 chapter 5 (system description tables), IA-PC HPET 1.0a 3.2.4; QEMU's fw_cfg interface: the files
// etc/acpi/tables, etc/acpi/rsdp and etc/table-loader (commands ALLOCATE, ADD_POINTER, ADD_CHECKSUM of 128
// bytes). Missing: S3/S4, CPU and PCI hot-plug, SRAT (NUMA), MCFG (no ECAM on this chipset).
//
// Threading: pure functions, called while the machine is built.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rhea::machine::acpi {

struct CpuEntry {
  uint32_t apic_id;
  bool present;
};

struct Config {
  std::vector<CpuEntry> cpus;      // all possible ones, by vCPU number
  uint32_t low_ram_end;            // the 32-bit PCI window begins here
  uint64_t pci_window64_base = 0;  // 0: none
  uint64_t pci_window64_size = 0;
  bool hpet = true;
  bool i8042 = true;
  bool serial[4] = {};
};

struct Blobs {
  std::vector<uint8_t> tables;  // etc/acpi/tables
  std::vector<uint8_t> rsdp;    // etc/acpi/rsdp
  std::vector<uint8_t> loader;  // etc/table-loader
};

Blobs build(const Config& config);

// The DSDT's body, without the table header.
std::vector<uint8_t> dsdt_body(const Config& config);

}  // namespace rhea::machine::acpi
