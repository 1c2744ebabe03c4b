// What the board tells its firmware through fw_cfg and CMOS.
//
// QEMU's fw_cfg interface: numbered items (little-endian) and named files; the keys are those that SeaBIOS
// and OVMF read. CMOS: Ralf Brown's list (CMOS.LST), as SeaBIOS uses it. Threading: pure functions, called
// while the machine is built.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cpu/models/topology.h"
#include "machine/acpi/tables.h"
#include "machine/boot/plan.h"
#include "machine/pc/ram_layout.h"
#include "machine/smbios/smbios.h"

namespace rhea::machine {

// A disk of an IDE channel as the BIOS shall show it; 0 cylinders: none is there.
struct BiosDisk {
  uint32_t cylinders = 0, heads = 0, sectors = 0;
  uint8_t translation = 0;  // as SeaBIOS reads it: 0 none, 1 LBA, 2 large, 3 revised ECHS
};

struct FirmwareConfig {
  const MachineType* machine = find_machine_type("pc");
  RamLayout ram{};
  cpu::Topology topology;  // of all possible vCPUs
  unsigned cpus = 1;       // present at start
  std::array<uint8_t, 16> uuid{};
  bool graphics = true;            // false: the firmware talks on the first serial port
  bool floppies = false;           // there is a floppy controller
  uint8_t floppy_types = 0;        // CMOS byte 0x10: a nibble a drive
  std::string boot_order = "cad";  // a floppy, c disk, d CD-ROM, n network
  bool boot_strict = false;        // nothing but boot_paths is tried
  bool floppy_check = true;        // a floppy's boot sector needs its signature
  bool boot_menu = false;
  std::optional<uint16_t> boot_menu_ms;       // how long the menu's prompt stays
  std::optional<uint32_t> boot_fail_wait_ms;  // absent: no retry
  std::vector<std::string> boot_paths;        // firmware device paths, first tried first
  std::optional<boot::Plan> kernel;
  bool hpet = true, i8042 = true;
  bool serial[4] = {};
  std::array<BiosDisk, 4> disks{};                   // of the first two IDE channels
  uint32_t cpuid_signature = 0, cpuid_features = 0;  // CPUID.1 EAX, EDX
  smbios::Overrides smbios;
};

struct FwCfgItem {
  uint16_t key;
  std::vector<uint8_t> data;
  std::shared_ptr<const FileBytes> file{};  // then `data` is empty: its bytes from file_begin on
  uint64_t file_begin = 0;
};
struct FwCfgFile {
  std::string name;
  std::vector<uint8_t> data;
};
struct FwCfgContents {
  std::vector<FwCfgItem> items;
  std::vector<FwCfgFile> files;
};

FwCfgContents fw_cfg_contents(FirmwareConfig config);
// What ACPI's tables say that does not depend on what the firmware sets up.
acpi::Config acpi_config(const FirmwareConfig& config);

struct CmosByte {
  uint8_t index, value;
};
std::vector<CmosByte> cmos_contents(const FirmwareConfig& config);
std::vector<CmosByte> cmos_boot_order(std::string_view order, bool floppy_check);

}  // namespace rhea::machine
