// SMBIOS 2.8 tables of the board (DMTF DSP0134 2.8.0), delivered to firmware as the fw_cfg files
// etc/smbios/smbios-tables and etc/smbios/smbios-anchor: types 1, 3, 4, 16, 17, 19, 32 and 127,
// and types 0, 2 and 11 where the user says something about them; without that, type 0 is left to the
// firmware, which knows its own name and version. Missing: 3.0 entry point (not needed below 64 KiB of
// tables).
//
// Threading: pure functions, called while the machine is built.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace rhea::machine::smbios {

// What a user wants to read there instead.
struct Overrides {
  using Text = std::optional<std::string>;
  struct Bios {  // type 0
    Text vendor = {}, version = {}, date = {};
    std::optional<std::array<uint8_t, 2>> release = {};  // major, minor
    bool uefi = false;
  };
  struct System {  // type 1
    Text manufacturer = {}, product = {}, version = {}, serial = {}, sku = {}, family = {};
    std::optional<std::array<uint8_t, 16>> uuid = {};
  };
  struct Board {  // type 2
    Text manufacturer = {}, product = {}, version = {}, serial = {}, asset = {}, location = {};
  };
  struct Chassis {  // type 3
    Text manufacturer = {}, version = {}, serial = {}, asset = {}, sku = {};
  };
  std::optional<Bios> bios;
  System system;
  std::optional<Board> board;
  Chassis chassis;
  std::vector<std::string> oem_strings;      // type 11
  std::vector<std::vector<uint8_t>> tables;  // whole structures; each replaces those of its type
};

// Checks a structure that a user brings: header, length, strings. Errors: Invalid.
Result<> check_structure(const std::vector<uint8_t>& table);

struct Config {
  uint64_t ram_bytes = 0;
  uint64_t low_ram_end = 0;  // RAM lies at [0, low_ram_end) and [4 GiB, 4 GiB + rest)
  unsigned sockets = 1, cores_per_socket = 1, threads_per_core = 1;
  uint32_t cpuid_signature = 0, cpuid_features = 0;  // CPUID.1 EAX and EDX
  std::array<uint8_t, 16> uuid{};                    // in RFC 4122 order
  std::string product = "Standard PC (i440FX + PIIX, 1996)";
  std::string machine = "pc-i440fx-7.2";
  std::string cpu_model = "pc-i440fx-7.2";
  Overrides overrides;
};

struct Blobs {
  std::vector<uint8_t> tables;
  std::vector<uint8_t> anchor;
};

Blobs build(const Config& config);

}  // namespace rhea::machine::smbios
