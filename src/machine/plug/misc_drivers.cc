// The small ones: serial ports, debug ports and the devices of guest test suites.

#include <fmt/format.h>

#include <bit>
#include <memory>

#include "base/failf.h"
#include "config/schema.h"
#include "devices/misc/debug_ports.h"
#include "devices/misc/edu.h"
#include "devices/misc/pc_testdev.h"
#include "devices/misc/pci_testdev.h"
#include "devices/serial/uart16550.h"
#include "machine/plug/device_driver.h"
#include "machine/plug/pci_place.h"

namespace rhea::machine {
namespace {

struct DebugExitOptions {
  uint32_t iobase = 0x501;
  uint32_t iosize = 2;
};
struct DebugConsoleOptions {
  uint32_t iobase = 0xe9;
  uint8_t readback = 0xe9;
  std::optional<std::string> chardev;
};
struct PciTestOptions : PciPlace {
  uint64_t membar = 0;
};
struct EduOptions : PciPlace {
  uint64_t dma_mask = (uint64_t{1} << 28) - 1;
};
struct NoOptions {};
struct SerialOptions {
  std::optional<unsigned> index;
  std::optional<uint32_t> iobase;
  std::optional<unsigned> irq;
  std::optional<std::string> chardev;
};

const config::Group<DebugExitOptions>& debug_exit_group() {
  static const config::Group<DebugExitOptions> group{
      "isa-debug-exit",
      "",
      {config::integer("iobase", &DebugExitOptions::iobase, 0u, 0xffffu, "first port"),
       config::integer("iosize", &DebugExitOptions::iosize, 1u, 16u, "number of ports")}};
  return group;
}

const config::Group<DebugConsoleOptions>& debug_console_group() {
  static const config::Group<DebugConsoleOptions> group{
      "isa-debugcon",
      "",
      {config::integer("iobase", &DebugConsoleOptions::iobase, 0u, 0xffffu, "port"),
       config::integer("readback", &DebugConsoleOptions::readback, 0u, 255u, "what reading the port gives"),
       config::text("chardev", &DebugConsoleOptions::chardev, "id of the character back end")}};
  return group;
}

const config::Group<SerialOptions>& serial_group() {
  static const config::Group<SerialOptions> group{
      "isa-serial",
      "",
      {config::integer("index", &SerialOptions::index, 0u, 3u, "COM port, from 0"),
       config::integer("iobase", &SerialOptions::iobase, 0u, 0xfff8u, "first port"),
       config::integer("irq", &SerialOptions::irq, 0u, 15u, "interrupt"),
       config::text("chardev", &SerialOptions::chardev, "id of the character back end")}};
  return group;
}

const config::Group<PciTestOptions>& pci_test_group() {
  static const config::Group<PciTestOptions> group{
      "pci-testdev", "",
      with_pci_place<PciTestOptions>({config::size("membar", &PciTestOptions::membar, 1, 0, uint64_t{1} << 40,
                                                   "size of a third, empty BAR")})};
  return group;
}

const config::Group<EduOptions>& edu_group() {
  static const config::Group<EduOptions> group{
      "edu", "",
      with_pci_place<EduOptions>({config::integer("dma_mask", &EduOptions::dma_mask, uint64_t{0}, UINT64_MAX,
                                                  "address bits that DMA has")})};
  return group;
}

const config::Group<NoOptions>& pc_test_group() {
  static const config::Group<NoOptions> group{"pc-testdev", "", {}};
  return group;
}

// An unset chardev= is a device with nothing attached.
Result<chardev::Chardev*> back_end(DeviceSite& site, const std::optional<std::string>& id) {
  if (!id) return nullptr;
  return find_backend(site.backends().chardev, "chardev", *id);
}

Result<> add_debug_exit(DeviceSite& site, const DeviceRequest& request) {
  DebugExitOptions options;
  TRY(debug_exit_group().apply(request.values, options));
  MachineHost& host = site.host();
  auto& device = site.tree().own(request, std::make_unique<devices::DebugExit>(devices::DebugExit::Wiring{
                                              .exit = [&host](int status) { host.request_exit(status); }}));
  return site.map_ports(options.iobase, options.iosize, device);
}

Result<> add_debug_console(DeviceSite& site, const DeviceRequest& request) {
  DebugConsoleOptions options;
  TRY(debug_console_group().apply(request.values, options));
  auto& device = site.tree().own(
      request, std::make_unique<devices::DebugConsole>(devices::DebugConsole::Wiring{
                   .output = TRY(back_end(site, options.chardev)), .readback = options.readback}));
  return site.map_ports(options.iobase, 1, device);
}

Result<> add_serial(DeviceSite& site, const DeviceRequest& request) {
  constexpr uint16_t kBases[] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
  constexpr unsigned kIrqs[] = {4, 3, 4, 3};
  SerialOptions options;
  TRY(serial_group().apply(request.values, options));
  unsigned index = options.index.value_or(site.next_serial());
  if (index > 3) return fail(ErrorKind::Invalid, "there are four serial ports at most");
  site.take_serial(index);
  auto& device = site.tree().own(request, std::make_unique<devices::Uart16550>(devices::Uart16550::Wiring{
                                              .clock = site.virtual_clock(),
                                              .irq = site.isa_irq(options.irq.value_or(kIrqs[index])),
                                              .backend = TRY(back_end(site, options.chardev))}));
  return site.map_ports(options.iobase.value_or(kBases[index]), 8, device);
}

Result<> add_pci_test(DeviceSite& site, const DeviceRequest& request) {
  PciTestOptions options;
  TRY(pci_test_group().apply(request.values, options));
  if (options.membar != 0 && (options.membar < 4096 || !std::has_single_bit(options.membar))) {
    return failf(ErrorKind::Invalid, "'membar' accepts a power of two from 4 KiB, not {}", options.membar);
  }
  TRY(plug_pci(site, request, options, std::make_unique<devices::PciTestDevice>(options.membar)));
  return {};
}

Result<> add_edu(DeviceSite& site, const DeviceRequest& request) {
  EduOptions options;
  TRY(edu_group().apply(request.values, options));
  auto edu = std::make_unique<devices::Edu>(
      devices::Edu::Wiring{.clock = site.virtual_clock(), .dma_mask = options.dma_mask});
  TRY(plug_pci(site, request, options, std::move(edu)));
  return {};
}

Result<> add_pc_test(DeviceSite& site, const DeviceRequest& request) {
  NoOptions options;
  TRY(pc_test_group().apply(request.values, options));
  using Device = devices::PcTestDevice;
  auto& device = site.tree().own(
      request, std::make_unique<Device>(Device::Wiring{
                   .gsi = &site.interrupts(), .flush = [&site](uint64_t) { site.flush_guest_tlbs(); }}));
  TRY(site.map_ports(0xe0, Device::kScratchSize, device, Device::kScratch));
  TRY(site.map_ports(0xe4, Device::kFlushSize, device, Device::kFlush));
  TRY(site.map_ports(0x2000, Device::kLinesSize, device, Device::kLines));
  TRY(site.memory().map_io(Gpa{0xff000000}, Device::kMemorySize, device, Device::kMemory));
  return {};
}

}  // namespace

std::span<const DeviceDriver> misc_drivers() {
  static constexpr DeviceDriver kDrivers[] = {
      {"edu", "PCI", "Misc", "a device for learning", [] { return edu_group().help(); }, add_edu},
      {"isa-debug-exit", "ISA", "Misc", "a write ends the emulator", [] { return debug_exit_group().help(); },
       add_debug_exit},
      {"isa-debugcon", "ISA", "Input", "a port that prints bytes",
       [] { return debug_console_group().help(); }, add_debug_console},
      {"isa-serial", "ISA", "Input", "a 16550A serial port", [] { return serial_group().help(); },
       add_serial},
      {"pc-testdev", "ISA", "Misc", "ports and memory for guest test suites",
       [] { return pc_test_group().help(); }, add_pc_test},
      {"pci-testdev", "PCI", "Misc", "counts what a guest writes", [] { return pci_test_group().help(); },
       add_pci_test},
  };
  return kDrivers;
}

}  // namespace rhea::machine
