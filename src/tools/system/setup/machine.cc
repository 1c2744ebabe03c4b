#include "tools/system/setup/machine.h"

#include "base/failf.h"
#include "base/log.h"
#include "config/schema.h"
#include "machine/firmware/firmware_files.h"

namespace rhea::system {

namespace {

constexpr size_t kLongestRomName = 40;
constexpr uint64_t kLargestPicture = uint64_t{16} << 20;

// The picture's kind tells the name of the file that the firmware looks for.
Result<> add_splash(const std::string& path, machine::PcConfig& config) {
  if (path.empty()) return {};
  std::vector<uint8_t> data = TRY_IN(machine::read_whole_file(path, kLargestPicture), "-boot splash");
  const bool jpeg = data.size() > 2 && data[0] == 0xff && data[1] == 0xd8;
  const bool bmp = data.size() > 2 && data[0] == 'B' && data[1] == 'M';
  if (!jpeg && !bmp) return failf(ErrorKind::Invalid, "-boot splash={}: neither a JPEG nor a BMP file", path);
  config.firmware_items.push_back({jpeg ? "bootsplash.jpg" : "bootsplash.bmp", std::move(data)});
  return {};
}

Result<bool> choose_smm(OnOffAuto wish, const engine::Accelerator& accelerator) {
  if (wish == OnOffAuto::On && !accelerator.has_smm()) {
    return failf(ErrorKind::Unsupported, "-machine smm=on: {} has no system-management mode",
                 accelerator.name());
  }
  return wish == OnOffAuto::Off ? false : accelerator.has_smm();
}

// The firmware of -bios or the default; that in flash is the board's business.
Result<> load_firmware(const SystemOptions& options, machine::PcConfig& config) {
  const std::vector<std::string> folders = machine::firmware_folders(options.folders);
  const bool isa = !config.machine->has_pci();
  const std::string bios = !options.bios.empty() ? options.bios : isa ? "bios.bin" : "bios-256k.bin";
  config.bios = TRY_IN(machine::load_bios(bios, folders), "-bios " + bios);
  return {};
}

Result<> check_irqchip(const SystemOptions& options, const engine::Accelerator& accelerator) {
  if (!options.machine.irqchip) return {};
  if (accelerator.is_translator() && *options.machine.irqchip != IrqChip::Off) {
    return fail(ErrorKind::Invalid,
                "-machine kernel_irqchip: only KVM has interrupt controllers in the host's kernel");
  }
  if (*options.machine.irqchip != IrqChip::Off)
    log_warn("-machine kernel_irqchip: the interrupt controllers stay in the emulator");
  return {};
}

// Firmware starts what is below genroms/; a place in the boot order is by this name.
Result<> add_option_roms(const SystemOptions& options, machine::PcConfig& config) {
  const std::vector<std::string> folders = machine::firmware_folders(options.folders);
  for (const OptionRomOptions& rom : options.option_roms) {
    const std::string context = "-option-rom " + rom.file;
    std::vector<uint8_t> data = TRY_IN(machine::load_firmware_file(rom.file, folders), context);
    const std::string name = rom.file.substr(rom.file.rfind('/') + 1);
    if (name.empty() || name.size() > kLongestRomName)
      return failf(ErrorKind::Invalid, "{}: its name is too long", context);
    if (rom.bootindex) config.boot_paths.emplace_back(*rom.bootindex, "/rom@genroms/" + name);
    config.firmware_items.push_back({"genroms/" + name, std::move(data)});
  }
  return {};
}

}  // namespace

Result<> configure_machine(const SystemOptions& options, const engine::Accelerator& accelerator,
                           machine::PcConfig& config) {
  const MachineOptions& wish = options.machine;
  config.machine = &wish.machine();
  if (config.machine->deprecated)
    log_warn("Machine type '{}' is deprecated: old and not well tested", config.machine->name);
  config.graphics = wish.graphics && !options.nographic;
  config.hpet = wish.hpet;
  config.acpi = wish.acpi;
  config.smm = TRY(choose_smm(wish.smm, accelerator));
  TRY(check_irqchip(options, accelerator));
  config.pcspk_audiodev = wish.pcspk_audiodev;
  config.vmport = wish.vmport != OnOffAuto::Off;
  config.ram_mergeable = wish.mem_merge;
  config.ram_dumpable = wish.dump_guest_core;
  if (!wish.pflash0.empty()) config.flash.drives[0] = wish.pflash0;
  if (!wish.pflash1.empty()) config.flash.drives[1] = wish.pflash1;
  TRY(load_firmware(options, config));
  // The chipset's own disk controller, which a -device could be as well.
  if (config.machine->chipset == machine::Chipset::Q35)
    config.devices.push_back({"ich9-ahci", {{"addr", "1f.2"}}});

  const BootOptions& boot = options.boot;
  config.boot_order = boot.order;
  config.boot_once = boot.once;
  config.boot_menu = boot.menu;
  config.boot_strict = boot.strict;
  config.boot_menu_ms = boot.splash_time;
  if (boot.reboot_timeout) config.boot_fail_wait_ms = static_cast<uint32_t>(*boot.reboot_timeout);
  config.floppy_check = boot.floppy_check;
  TRY(add_option_roms(options, config));
  TRY(add_splash(boot.splash, config));
  config.smbios = options.smbios;
  config.acpi_tables = options.acpi_tables;
  return {};
}

}  // namespace rhea::system
