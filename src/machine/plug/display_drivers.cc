// Graphics: the PCI and the ISA VGA, bochs-display and ramfb.
#include <bit>
#include <memory>

#include "config/schema.h"
#include "devices/display/bochs_display.h"
#include "devices/display/ramfb.h"
#include "devices/display/vga_isa.h"
#include "devices/display/vga_pci.h"
#include "display/screens.h"
#include "machine/plug/device_driver.h"
#include "machine/plug/pci_place.h"

namespace rhea::machine {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

struct VgaOptions : PciPlace {
  uint32_t vgamem_mb = 16;
  bool edid = true;
  uint32_t xres = 1280, yres = 800;
  std::optional<std::string> romfile;
};
struct IsaVgaOptions {
  uint32_t vgamem_mb = 8;
};
struct BochsOptions : PciPlace {
  uint64_t vgamem = 16 * kMiB;
  bool edid = true;
  uint32_t xres = 1280, yres = 800;
  std::optional<std::string> romfile;
};
struct NoOptions {};

template <class T>
std::vector<config::Property> monitor_properties(std::vector<config::Property> own) {
  own.push_back(config::boolean("edid", &T::edid, "the monitor tells what it can show"));
  own.push_back(config::integer("xres", &T::xres, 64u, 4088u, "preferred width"));
  own.push_back(config::integer("yres", &T::yres, 64u, 4095u, "preferred height"));
  own.push_back(config::text("romfile", &T::romfile, "the option ROM; empty: none"));
  return own;
}

const config::Group<VgaOptions>& vga_group() {
  static const config::Group<VgaOptions> group{
      "VGA", "",
      with_pci_place<VgaOptions>(monitor_properties<VgaOptions>(
          {config::integer("vgamem_mb", &VgaOptions::vgamem_mb, 1u, 512u,
                           "video memory in MiB, rounded up to a power of two")}))};
  return group;
}

const config::Group<IsaVgaOptions>& isa_vga_group() {
  static const config::Group<IsaVgaOptions> group{
      "isa-vga",
      "",
      {config::integer("vgamem_mb", &IsaVgaOptions::vgamem_mb, 1u, 256u,
                       "video memory in MiB, rounded up to a power of two")}};
  return group;
}

const config::Group<BochsOptions>& bochs_group() {
  static const config::Group<BochsOptions> group{
      "bochs-display", "",
      with_pci_place<BochsOptions>(
          monitor_properties<BochsOptions>({config::size("vgamem", &BochsOptions::vgamem, 1, kMiB, 512 * kMiB,
                                                         "video memory, rounded up to a power of two")}))};
  return group;
}

const config::Group<NoOptions>& ramfb_group() {
  static const config::Group<NoOptions> group{"ramfb", "", {}};
  return group;
}

// Null where nobody can look.
display::Screen* screen_for(DeviceSite& site, const DeviceRequest& request) {
  if (site.backends().screens == nullptr) return nullptr;
  return &site.backends().screens->add(request.id.empty() ? request.driver : request.id, request.driver);
}

Result<std::vector<uint8_t>> rom_contents(DeviceSite& site, const std::optional<std::string>& file,
                                          const char* usual) {
  const std::string name = file.value_or(usual);
  if (name.empty() || !site.backends().firmware) return std::vector<uint8_t>();
  return site.backends().firmware(name);
}

Result<> add_vga(DeviceSite& site, const DeviceRequest& request) {
  VgaOptions options;
  TRY(vga_group().apply(request.values, options));
  const auto rom = TRY(rom_contents(site, options.romfile, "vgabios-stdvga.bin"));
  TRY(choose_slot(site, options));  // a place that is not to be had is found before a screen is made
  auto vga = TRY(devices::VgaPci::create({.clock = site.virtual_clock(),
                                          .legacy = &site.memory(),
                                          .screen = screen_for(site, request),
                                          .loop = site.backends().loop},
                                         {.memory_bytes = std::bit_ceil(options.vgamem_mb) * kMiB,
                                          .edid = options.edid,
                                          .width = options.xres,
                                          .height = options.yres},
                                         rom));
  devices::VgaCore& core = vga->core();
  TRY(plug_pci(site, request, options, std::move(vga)));
  TRY(site.map_ports(devices::vga::kPortBase, devices::vga::kPortCount, core.ports()));
  return site.map_ports(devices::VgaCore::kDispiPortBase, devices::VgaCore::kDispiPorts, core.dispi_ports());
}

Result<> add_isa_vga(DeviceSite& site, const DeviceRequest& request) {
  IsaVgaOptions options;
  TRY(isa_vga_group().apply(request.values, options));
  const auto rom = TRY(rom_contents(site, std::nullopt, "vgabios.bin"));
  auto core =
      TRY(devices::VgaCore::create({.clock = site.virtual_clock(),
                                    .legacy = &site.memory(),
                                    .screen = screen_for(site, request),
                                    .loop = site.backends().loop},
                                   {.memory_bytes = std::bit_ceil(options.vgamem_mb) * kMiB, .edid = false}));
  auto& vga = site.tree().own(request, std::make_unique<devices::VgaIsa>(std::move(core)));
  if (devices::FwCfg* fw_cfg = site.fw_cfg(); fw_cfg != nullptr && !rom.empty())
    fw_cfg->set_file("vgaroms/vgabios.bin", rom);
  TRY(site.map_ports(devices::vga::kPortBase, devices::vga::kPortCount, vga.core().ports()));
  TRY(site.map_ports(devices::VgaCore::kDispiPortBase, devices::VgaCore::kDispiPorts,
                     vga.core().dispi_ports()));
  constexpr int kBelowOthers = -1;
  TRY(site.memory().map_ram(Gpa{devices::VgaIsa::kFrameBuffer}, vga.core().memory(), 0,
                            vga.core().memory().size(), memory::RamAccess::ReadWrite, kBelowOthers));
  return {};
}

Result<> add_bochs(DeviceSite& site, const DeviceRequest& request) {
  BochsOptions options;
  TRY(bochs_group().apply(request.values, options));
  const auto rom = TRY(rom_contents(site, options.romfile, "vgabios-bochs-display.bin"));
  TRY(choose_slot(site, options));
  auto bochs =
      TRY(devices::BochsDisplay::create({.screen = screen_for(site, request), .loop = site.backends().loop},
                                        {.memory_bytes = std::bit_ceil(options.vgamem),
                                         .edid = options.edid,
                                         .width = options.xres,
                                         .height = options.yres},
                                        rom));
  TRY(plug_pci(site, request, options, std::move(bochs)));
  return {};
}

Result<> add_ramfb(DeviceSite& site, const DeviceRequest& request) {
  NoOptions options;
  TRY(ramfb_group().apply(request.values, options));
  if (site.fw_cfg() == nullptr) return fail(ErrorKind::Unsupported, "this machine has no fw_cfg device");
  if (site.fw_cfg()->file("etc/ramfb") != nullptr) return fail(ErrorKind::Busy, "there is one already");
  const auto rom = TRY(rom_contents(site, std::nullopt, "vgabios-ramfb.bin"));
  if (!rom.empty()) site.fw_cfg()->set_file("vgaroms/vgabios-ramfb.bin", rom);
  site.tree().own(
      request, std::make_unique<devices::Ramfb>(devices::Ramfb::Wiring{
                   .memory = site.memory(), .fw_cfg = *site.fw_cfg(), .screen = screen_for(site, request)}));
  return {};
}

}  // namespace

std::span<const DeviceDriver> display_drivers() {
  static constexpr DeviceDriver kDrivers[] = {
      {"VGA", "PCI", "Display", "a VGA with Bochs' display interface", [] { return vga_group().help(); },
       add_vga, false},
      {"bochs-display", "PCI", "Display", "a frame buffer with Bochs' display interface, no VGA",
       [] { return bochs_group().help(); }, add_bochs},
      {"isa-vga", "ISA", "Display", "a VGA on the ISA bus", [] { return isa_vga_group().help(); },
       add_isa_vga},
      {"ramfb", nullptr, "Display", "a frame buffer in the guest's memory, set up by firmware",
       [] { return ramfb_group().help(); }, add_ramfb},
  };
  return kDrivers;
}

}  // namespace rhea::machine
