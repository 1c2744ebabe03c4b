// The machine, what its firmware boots and is told: -machine, -boot, -smbios, -acpitable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/key_values.h"
#include "machine/pc/machine_types.h"
#include "machine/smbios/smbios.h"
#include "tools/system/options/table.h"

namespace rhea::system {

struct SystemOptions;

enum class OnOffAuto : uint8_t { Auto, On, Off };
enum class IrqChip : uint8_t { On, Off, Split };

struct MachineOptions {
  std::string type;   // as given; empty: the default
  std::string accel;  // "kvm:tcg"; empty: not said here
  bool hpet = true;
  bool acpi = true;
  bool usb = false;
  OnOffAuto smm = OnOffAuto::Auto;
  OnOffAuto vmport = OnOffAuto::Auto;
  std::string pcspk_audiodev;
  bool mem_merge = true;
  bool dump_guest_core = true;
  bool graphics = true;
  std::optional<IrqChip> irqchip;
  std::string memory_backend;    // id of an object; empty: the machine makes its memory itself
  std::string pflash0, pflash1;  // ids of drives; empty: those of -drive if=pflash

  const machine::MachineType& machine() const;
};

struct BootOptions {
  std::string order = "cad", once;
  bool menu = false, strict = false;
  bool floppy_check = true;               // firmware wants a signature in a floppy's boot sector
  std::string splash;                     // a picture's file
  std::optional<uint16_t> splash_time;    // ms
  std::optional<int32_t> reboot_timeout;  // ms; -1: never
};

struct OptionRomOptions {
  std::string file;
  std::optional<unsigned> bootindex;
};

struct AcpiTableOptions {
  std::optional<std::string> sig = {}, oem_id = {}, oem_table_id = {}, asl_compiler_id = {}, data = {},
                             file = {};
  std::optional<uint32_t> rev = {}, oem_rev = {}, asl_compiler_rev = {};
};

void add_machine_type_options(Options& to, SystemOptions& options);
void add_boot_device_options(Options& to, SystemOptions& options);
void add_firmware_table_options(Options& to, SystemOptions& options);

// -acpitable as one whole table, but for its checksum. Errors: Invalid, Io.
Result<std::vector<uint8_t>> make_acpi_table(const AcpiTableOptions& options);

// What `-machine help` prints.
std::string machine_help();

}  // namespace rhea::system
