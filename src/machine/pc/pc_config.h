// What a user chose about a PC, as plain data.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "chardev/chardev.h"
#include "cpu/models/topology.h"
#include "machine/acpi/tables.h"
#include "machine/boot/plan.h"
#include "machine/pc/machine_types.h"
#include "machine/pc/system_flash.h"
#include "machine/plug/backends.h"
#include "machine/plug/device_request.h"
#include "machine/smbios/smbios.h"
#include "memory/ram_block.h"

namespace rhea::machine {

// Where the real-time clock begins: so many seconds since 1970, or ahead of the host's clock. That one is
// followed with its fraction of a second, or the guest would be behind by up to a second.
struct RtcBase {
  bool host = false;
  int64_t seconds = 0;
};

struct PcConfig {
  const MachineType* machine = find_machine_type("pc");
  uint64_t ram_bytes = 128 << 20;
  bool ram_mergeable = true, ram_dumpable = true;  // ram_block.h
  std::shared_ptr<memory::RamBlock> ram;           // of ram_bytes, made already; null: the board makes it
  cpu::Topology topology;
  std::vector<uint8_t> bios;  // firmware/firmware_files.h; empty: it is in flash
  SystemFlash::Options flash;
  uint16_t extended_tseg_mib = 16;   // Q35: a TSEG of a size that only virtual machines have; 0: none
  bool watchdog_reboots = false;     // Q35: the TCO watchdog may reset the machine
  uint64_t pci_window64_room = 0;    // size of the 64-bit PCI window; 0: the chipset's
  std::optional<boot::Plan> kernel;  // boot/plan.h
  std::array<uint8_t, 16> uuid{};
  bool graphics = true;  // false: firmware talks on the first serial port
  std::string boot_order = "cad";
  std::string boot_once;     // the order until the first reset; empty: the same
  bool boot_strict = false;  // nothing but what is in the order is tried
  bool boot_menu = false;
  std::optional<uint16_t> boot_menu_ms;
  std::optional<uint32_t> boot_fail_wait_ms;
  std::vector<std::pair<unsigned, std::string>> boot_paths;  // by bootindex, besides those of devices
  bool floppy_check = true;                                  // a floppy's boot sector needs its signature
  bool hpet = true;
  bool acpi = true;
  std::string pcspk_audiodev;                        // what the speaker sounds on; empty: nothing
  bool vmport = false;                               // VMware's port, and the mouse behind it
  bool smm = true;                                   // system-management mode
  uint64_t tsc_hz = 0;                               // of the guest; 0: the host's
  bool rtc_runs_with_vm = false;                     // -rtc clock=vm
  bool translated = true;                            // by the translator, not KVM
  bool rtc_slew = false;                             // -rtc driftfix=slew
  RtcBase rtc_base{};                                // what the clock shows at start
  uint32_t cpuid_signature = 0, cpuid_features = 0;  // CPUID.1 EAX, EDX, for the firmware's tables

  // -serial: the ports that exist; a null chardev is a port with nothing attached.
  std::array<std::optional<chardev::Chardev*>, 4> serial{};
  // -debugcon
  chardev::Chardev* debugcon = nullptr;
  uint16_t debugcon_port = 0xe9;

  // -fw_cfg: more files for the firmware.
  struct FirmwareItem {
    std::string name;
    std::vector<uint8_t> data;
  };
  std::vector<FirmwareItem> firmware_items;
  std::vector<acpi::Bytes> acpi_tables;  // -acpitable: whole ones
  smbios::Overrides smbios;              // -smbios

  // -device, and what other options and defaults stand for, in the order of plugging in.
  std::vector<DeviceRequest> devices;
  Backends backends;
};

}  // namespace rhea::machine
