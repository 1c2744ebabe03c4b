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
#include <vector>

#include "cpu/models/topology.h"
#include "machine/boot/plan.h"
#include "machine/pc/ram_layout.h"

namespace rhea::machine {

struct FirmwareConfig {
  RamLayout ram{};
  cpu::Topology topology;  // of all possible vCPUs
  unsigned cpus = 1;       // present at start
  std::array<uint8_t, 16> uuid{};
  bool graphics = true;            // false: the firmware talks on the first serial port
  uint8_t floppy_types = 0;        // CMOS byte 0x10: a nibble a drive
  std::string boot_order = "cad";  // a floppy, c disk, d CD-ROM, n network
  bool boot_menu = false;
  std::optional<uint16_t> boot_menu_ms;       // how long the menu's prompt stays
  std::optional<uint32_t> boot_fail_wait_ms;  // absent: no retry
  std::vector<std::string> boot_paths;        // firmware device paths, first tried first
  std::optional<boot::Plan> kernel;
  bool hpet = true, i8042 = true;
  bool serial[4] = {};
  uint64_t pci_window64_size = 0;
  uint32_t cpuid_signature = 0, cpuid_features = 0;  // CPUID.1 EAX, EDX
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

struct CmosByte {
  uint8_t index, value;
};
std::vector<CmosByte> cmos_contents(const FirmwareConfig& config);

}  // namespace rhea::machine
