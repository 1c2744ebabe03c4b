// What a user chose about the i440FX machine, as plain data.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "chardev/chardev.h"
#include "cpu/models/topology.h"
#include "machine/boot/plan.h"
#include "machine/plug/backends.h"
#include "machine/plug/device_request.h"

namespace rhea::machine {

struct PcConfig {
  uint64_t ram_bytes = 128 << 20;
  cpu::Topology topology;
  std::vector<uint8_t> bios;         // firmware/firmware_files.h
  std::optional<boot::Plan> kernel;  // boot/plan.h
  std::array<uint8_t, 16> uuid{};
  bool graphics = true;  // false: firmware talks on the first serial port
  std::string boot_order = "cad";
  bool boot_menu = false;
  std::optional<uint16_t> boot_menu_ms;
  std::optional<uint32_t> boot_fail_wait_ms;
  bool hpet = true;
  bool smm = true;                                   // the engine can do it
  uint64_t tsc_hz = 0;                               // of the guest; 0: the host's
  bool rtc_runs_with_vm = false;                     // -rtc clock=vm
  bool rtc_slew = false;                             // -rtc driftfix=slew
  int64_t rtc_base_seconds = 0;                      // what the clock shows at start
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

  // -device, and what other options and defaults stand for, in the order of plugging in.
  std::vector<DeviceRequest> devices;
  Backends backends;
};

}  // namespace rhea::machine
