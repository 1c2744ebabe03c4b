// Everything the command line of rhea-system-x86_64 can say, as plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/key_values.h"
#include "tools/system/options/audio.h"
#include "tools/system/options/display.h"
#include "tools/system/options/machine.h"
#include "tools/system/options/memory_objects.h"
#include "tools/system/options/monitor.h"
#include "tools/system/options/network.h"
#include "tools/system/options/objects.h"
#include "tools/system/options/storage.h"
#include "tools/system/options/usb.h"

namespace rhea::system {

struct SmpOptions {
  std::optional<uint64_t> cpus = {}, sockets = {}, cores = {}, threads = {}, maxcpus = {};
};

enum class EngineKind : uint8_t { Dbt, Kvm };
enum class Threading : uint8_t { Multi, Single };

struct AccelOptions {
  EngineKind kind = EngineKind::Dbt;
  std::optional<Threading> thread;
  std::optional<uint64_t> tb_size;  // MiB
  std::optional<bool> deterministic;
  std::optional<bool> link, jump_cache, probe, hot, slots, flag_liveness, groups, superblocks, single,
      huge_code;
  std::optional<bool> far_links, returns, lazy_flags;
  std::optional<bool> quick_dispatch, inline_system, inline_strings, prefetch, predict, large_pages;
  std::optional<uint64_t> max_insns;
  // Deterministic runs only.
  std::string state_log;  // empty: none
  std::optional<uint64_t> state_log_from, state_log_to, state_log_every;
  bool state_log_flags = true, state_log_detail = false;
};

enum class RtcClock : uint8_t { Host, Monotonic, Vm };

struct RtcOptions {
  std::string base = "utc";
  RtcClock clock = RtcClock::Host;
  bool driftfix_slew = false;
};

struct FwCfgOptions {
  std::string name;
  std::optional<std::string> file, string;
};

struct NameOptions {
  std::string guest, process;
  std::optional<bool> debug_threads;
};

struct MessageOptions {
  bool timestamp = false, guest_name = false;
};

struct OvercommitOptions {
  bool mem_lock = false, cpu_pm = false;
};

struct DeviceOption {
  std::string driver, id;
  config::KeyValues values;
};

struct GlobalOption {
  std::string driver, property, value;
};

struct SystemOptions {
  StorageOptions storage;
  DisplayOptions display;
  AudioOptions audio;
  NetworkOptions network;
  MonitorOptions monitor;
  UsbOptions usb;
  ObjectOptions objects;
  SmpOptions smp;
  MemoryOptions memory;
  MachineOptions machine;
  std::vector<AccelOptions> accelerators;  // tried in this order
  RtcOptions rtc;
  BootOptions boot;
  machine::smbios::Overrides smbios;
  std::vector<std::vector<uint8_t>> acpi_tables;
  std::vector<OptionRomOptions> option_roms;
  std::optional<std::string> cpu;
  std::string kernel, initrd, append;
  bool append_given = false;
  std::string bios;
  std::vector<std::string> folders;  // -L
  std::vector<std::string> serials;  // in order; empty: the default
  std::optional<std::string> debugcon;
  std::vector<chardev::ChardevSpec> chardevs;
  std::vector<DeviceOption> devices;
  std::vector<GlobalOption> globals;
  std::vector<FwCfgOptions> fw_cfg;
  bool nographic = false, nodefaults = false;
  bool no_reboot = false, no_shutdown = false, start_paused = false;
  std::string gdb;  // empty: none
  NameOptions name;
  MessageOptions messages;
  OvercommitOptions overcommit;
  std::string uuid;
  std::string log_items, log_file;
  bool perfmap = false;
};

// Parses the arguments after argv[0]. -help, -version and their like print and end the process with status 0.
Result<SystemOptions> parse_command_line(std::span<const char* const> arguments);

// JSON, as QMP's query-command-line-options answers.
std::string describe_command_line();

}  // namespace rhea::system
