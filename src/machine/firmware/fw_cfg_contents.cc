// See fw_cfg_contents.h. Signature, id and file directory are the device's own business.
#include "machine/firmware/fw_cfg_contents.h"

#include <fmt/format.h>

#include <algorithm>

#include "machine/boot/option_rom.h"
#include "machine/smbios/smbios.h"

namespace rhea::machine {
namespace {

enum Key : uint16_t {
  kUuid = 0x02,
  kRamSize = 0x03,
  kNoGraphic = 0x04,
  kCpus = 0x05,
  kKernelAddress = 0x07,
  kKernelSize = 0x08,
  kInitrdAddress = 0x0a,
  kInitrdSize = 0x0b,
  kNuma = 0x0d,
  kBootMenu = 0x0e,
  kMaxCpus = 0x0f,
  kKernelData = 0x11,
  kInitrdData = 0x12,
  kCmdlineAddress = 0x13,
  kCmdlineSize = 0x14,
  kCmdlineData = 0x15,
  kSetupAddress = 0x16,
  kSetupSize = 0x17,
  kSetupData = 0x18,
  kIrq0Override = 0x8002,
  kE820 = 0x8003,
  kHpet = 0x8004,
};

constexpr uint32_t kE820Ram = 1;

class Contents {
 public:
  explicit Contents(FirmwareConfig& config) : config_(config) {}

  FwCfgContents build() {
    number(kRamSize, config_.ram.low + config_.ram.high, 8);
    number(kNoGraphic, config_.graphics ? 0 : 1, 2);
    number(kCpus, config_.cpus, 2);
    // Firmware takes this as one more than the largest APIC id.
    number(kMaxCpus, config_.topology.apic_id(config_.topology.count() - 1) + 1, 2);
    number(kBootMenu, config_.boot_menu ? 1 : 0, 2);
    number(kIrq0Override, 1, 4);
    add(kUuid, {config_.uuid.begin(), config_.uuid.end()});
    numa();
    hpet();
    e820();
    files();
    smbios_files();
    if (config_.kernel) kernel(*config_.kernel);
    boot_order();
    return std::move(out_);
  }

 private:
  static void le(std::vector<uint8_t>& to, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) to.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
  void add(uint16_t key, std::vector<uint8_t> data) { out_.items.push_back({key, std::move(data)}); }
  void number(uint16_t key, uint64_t value, unsigned bytes) {
    std::vector<uint8_t> data;
    le(data, value, bytes);
    add(key, std::move(data));
  }
  void file(std::string name, std::vector<uint8_t> data) {
    out_.files.push_back({std::move(name), std::move(data)});
  }
  void file_number(std::string name, uint64_t value, unsigned bytes) {
    std::vector<uint8_t> data;
    le(data, value, bytes);
    file(std::move(name), std::move(data));
  }

  // Number of nodes, then the node of each CPU and the size of each node: none.
  void numa() {
    std::vector<uint8_t> data;
    le(data, 0, 8);
    for (unsigned i = 0; i <= config_.topology.apic_id(config_.topology.count() - 1); i++) le(data, 0, 8);
    add(kNuma, std::move(data));
  }

  // One block: how many, then event timer block id, address, minimum tick, attributes for each of eight.
  void hpet() {
    std::vector<uint8_t> data;
    le(data, config_.hpet ? 1 : 0, 1);
    le(data, 0x8086a201, 4);
    le(data, 0xfed00000, 8);
    le(data, 100, 2);
    le(data, 0, 1);
    data.resize(1 + 8 * 15);
    add(kHpet, std::move(data));
  }

  void e820() {
    std::vector<uint8_t> data;
    auto entry = [&](uint64_t start, uint64_t size) {
      le(data, start, 8);
      le(data, size, 8);
      le(data, kE820Ram, 4);
    };
    entry(0, config_.ram.low);
    if (config_.ram.high != 0) entry(RamLayout::kFourGiB, config_.ram.high);
    file("etc/e820", data);
    std::vector<uint8_t>
        counted;  // the item's older form is empty: firmware that reads it gets RAM from CMOS
    le(counted, 0, 4);
    add(kE820, counted);
  }

  void files() {
    // Bytes 3 and 4 are S3 and S4: bit 7 set would say that they work; S5 (byte 5) does.
    file("etc/system-states", {0x80, 0, 0, 1, 2, 0x80});
    file_number("etc/reserved-memory-end", config_.ram.end(), 8);
    if (config_.boot_fail_wait_ms) file_number("etc/boot-fail-wait", *config_.boot_fail_wait_ms, 4);
    if (config_.boot_menu_ms) file_number("etc/boot-menu-wait", *config_.boot_menu_ms, 2);
  }

  void smbios_files() {
    smbios::Config c;
    c.ram_bytes = config_.ram.low + config_.ram.high;
    c.low_ram_end = config_.ram.low;
    c.sockets = config_.topology.sockets;
    c.cores_per_socket = config_.topology.cores;
    c.threads_per_core = config_.topology.threads;
    c.cpuid_signature = config_.cpuid_signature;
    c.cpuid_features = config_.cpuid_features;
    c.uuid = config_.uuid;
    c.product = config_.machine->text();
    c.machine = c.cpu_model = config_.machine->name;
    c.overrides = std::move(config_.smbios);
    smbios::Blobs blobs = smbios::build(c);
    file("etc/smbios/smbios-tables", std::move(blobs.tables));
    file("etc/smbios/smbios-anchor", std::move(blobs.anchor));
  }

  void blob(boot::Blob& b, uint16_t address, uint16_t size, uint16_t data) {
    number(address, b.address, 4);
    number(size, b.size(), 4);
    if (b.file) {
      out_.items.push_back({data, {}, std::move(b.file), b.file_begin});
    } else {
      add(data, std::move(b.data));
    }
  }

  void kernel(boot::Plan& plan) {
    blob(plan.setup, kSetupAddress, kSetupSize, kSetupData);
    blob(plan.command_line, kCmdlineAddress, kCmdlineSize, kCmdlineData);
    blob(plan.kernel, kKernelAddress, kKernelSize, kKernelData);
    blob(plan.initrd, kInitrdAddress, kInitrdSize, kInitrdData);
    file("genroms/" + plan.rom_name, boot::option_rom_image(plan.rom));
  }

  // One path a line, ended by a null; a directly booted kernel comes first.
  void boot_order() {
    std::string text;
    if (config_.kernel) text = fmt::format("/rom@genroms/{}\n", config_.kernel->rom_name);
    for (const std::string& path : config_.boot_paths) text += path + "\n";
    if (config_.boot_strict) text += "HALT\n";
    if (text.empty()) return;
    text.back() = '\0';
    file("bootorder", {text.begin(), text.end()});
  }

  FirmwareConfig& config_;  // large data is moved out
  FwCfgContents out_;
};

// The nibbles of CMOS 0x3D and 0x38.
uint8_t boot_code(char letter) {
  switch (letter) {
    case 'a': return 1;
    case 'c': return 2;
    case 'd': return 3;
    case 'n': return 4;
    default: return 0;
  }
}

}  // namespace

acpi::Config acpi_config(const FirmwareConfig& config) {
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  acpi::Config c;
  c.q35 = config.machine->chipset == Chipset::Q35;
  for (unsigned i = 0; i < config.topology.count(); i++) {
    c.cpus.push_back({config.topology.apic_id(i), i < config.cpus});
  }
  c.low_ram_end = static_cast<uint32_t>(config.ram.low);
  c.high_ram_end = config.ram.end();
  c.pci_window64_room = c.q35 ? 32 * kGiB : 2 * kGiB;
  c.hpet = config.hpet;
  c.i8042 = config.i8042;
  c.floppies = config.floppies;
  c.floppy_types = config.floppy_types;
  std::copy(std::begin(config.serial), std::end(config.serial), std::begin(c.serial));
  return c;
}

FwCfgContents fw_cfg_contents(FirmwareConfig config) {
  return Contents(config).build();
}

std::vector<CmosByte> cmos_boot_order(std::string_view order, bool floppy_check) {
  std::array<uint8_t, 3> boot{};
  for (size_t i = 0; i < boot.size() && i < order.size(); i++) boot[i] = boot_code(order[i]);
  return {{0x3d, static_cast<uint8_t>(boot[1] << 4 | boot[0])},
          {0x38, static_cast<uint8_t>(boot[2] << 4 | (floppy_check ? 0 : 1))}};
}

// Types and geometries of the first two disks, translations of all four.
std::vector<CmosByte> cmos_disks(const std::array<BiosDisk, 4>& disks) {
  constexpr uint8_t kUserType = 47, kGeometry[2] = {0x1b, 0x24};
  std::vector<CmosByte> out;
  uint8_t types = 0, translations = 0;
  for (unsigned i = 0; i < disks.size(); ++i) {
    const BiosDisk& disk = disks[i];
    if (disk.cylinders == 0) continue;
    translations = static_cast<uint8_t>(translations | disk.translation << (2 * i));
    if (i >= 2) continue;
    types = static_cast<uint8_t>(types | (i == 0 ? 0xf0 : 0x0f));
    out.push_back({static_cast<uint8_t>(0x19 + i), kUserType});
    const auto low = static_cast<uint8_t>(disk.cylinders), high = static_cast<uint8_t>(disk.cylinders >> 8);
    // Cylinders, heads, write precompensation (none), control byte (no retries; more than eight heads),
    // landing zone, sectors.
    const uint8_t bytes[9] = {low,  high, static_cast<uint8_t>(disk.heads),
                              0xff, 0xff, static_cast<uint8_t>(0xc0 | (disk.heads > 8 ? 8 : 0)),
                              low,  high, static_cast<uint8_t>(disk.sectors)};
    for (unsigned n = 0; n < 9; ++n) out.push_back({static_cast<uint8_t>(kGeometry[i] + n), bytes[n]});
  }
  out.push_back({0x12, types});
  out.push_back({0x39, translations});
  return out;
}

std::vector<CmosByte> cmos_contents(const FirmwareConfig& config) {
  std::vector<CmosByte> out;
  auto byte = [&](unsigned index, uint64_t value) {
    out.push_back({static_cast<uint8_t>(index), static_cast<uint8_t>(value)});
  };
  auto word = [&](unsigned index, uint64_t value) {
    byte(index, value & 0xff);
    byte(index + 1, value >> 8 & 0xff);
  };
  constexpr uint64_t kMiB = uint64_t{1} << 20;
  auto above = [&](uint64_t start) { return config.ram.low > start ? config.ram.low - start : 0; };
  word(0x15, std::min<uint64_t>(config.ram.low >> 10, 640));
  uint64_t extended = std::min<uint64_t>(above(kMiB) >> 10, 65535);
  word(0x17, extended);
  word(0x30, extended);
  word(0x34, std::min<uint64_t>(above(16 * kMiB) >> 16, 65535));
  uint64_t high = config.ram.high >> 16;
  byte(0x5b, high);
  byte(0x5c, high >> 8);
  byte(0x5d, high >> 16);
  byte(0x5f, std::min(config.cpus - 1, 255u));
  for (CmosByte b : cmos_boot_order(config.boot_order, config.floppy_check)) out.push_back(b);
  const unsigned floppies =
      ((config.floppy_types & 0xf0) != 0 ? 1u : 0u) + ((config.floppy_types & 0x0f) != 0 ? 1u : 0u);
  // Bits 6 and 7 count the drives behind the first.
  const unsigned equipment = floppies != 0 ? 0x01 | (floppies - 1) << 6 : 0;
  byte(0x10, config.floppy_types);
  for (CmosByte b : cmos_disks(config.disks)) out.push_back(b);
  byte(0x14, static_cast<uint8_t>((config.i8042 ? 0x06 : 0x02) | equipment));  // FPU, PS/2 mouse
  return out;
}

}  // namespace rhea::machine
