// See extra_devices.h.
#include "machine/pc/extra_devices.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <span>

#include "base/failf.h"
#include "config/schema.h"
#include "devices/misc/edu.h"
#include "devices/misc/pc_testdev.h"
#include "devices/misc/pci_testdev.h"
#include "machine/pc/pc_board.h"

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
struct PciTestOptions {
  std::optional<std::string> addr;
  uint64_t membar = 0;
};
struct EduOptions {
  std::optional<std::string> addr;
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

constexpr const char* kAddrHelp = "slot[.function] on the PCI bus, in hexadecimal";

const config::Group<PciTestOptions>& pci_test_group() {
  static const config::Group<PciTestOptions> group{
      "pci-testdev",
      "",
      {config::text("addr", &PciTestOptions::addr, kAddrHelp),
       config::size("membar", &PciTestOptions::membar, 1, 0, uint64_t{1} << 40,
                    "size of a third, empty BAR")}};
  return group;
}

const config::Group<EduOptions>& edu_group() {
  static const config::Group<EduOptions> group{
      "edu",
      "",
      {config::text("addr", &EduOptions::addr, kAddrHelp),
       config::integer("dma_mask", &EduOptions::dma_mask, uint64_t{0}, UINT64_MAX,
                       "address bits that DMA has")}};
  return group;
}

const config::Group<NoOptions>& pc_test_group() {
  static const config::Group<NoOptions> group{"pc-testdev", "", {}};
  return group;
}

// The value of addr=, or the first free slot behind the chipset's.
Result<unsigned> pci_place(const bus::pci::PciBus& bus, const std::optional<std::string>& addr) {
  if (!addr) {
    std::optional<unsigned> slot = bus.free_slot(2);
    if (!slot) return fail(ErrorKind::NoSpace, "there is no free PCI slot");
    return bus::pci::devfn_of(*slot, 0);
  }
  unsigned slot = 32, function = 0;
  const char* end = addr->data() + addr->size();
  auto [at, error] = std::from_chars(addr->data(), end, slot, 16);
  if (error == std::errc() && at != end && *at == '.') {
    auto [last, second] = std::from_chars(at + 1, end, function, 16);
    at = last;
    error = second;
  }
  if (error != std::errc() || at != end || slot > 31 || function > 7) {
    return failf(ErrorKind::Invalid, "'addr' accepts SLOT[.FUNCTION], 0 to 1f and 0 to 7, not '{}'", *addr);
  }
  unsigned devfn = bus::pci::devfn_of(slot, function);
  if (bus.at(devfn) != nullptr)
    return failf(ErrorKind::Busy, "PCI address {} is taken by {}", *addr, bus.at(devfn)->name());
  return devfn;
}

// An unset chardev= is a device with nothing attached.
Result<chardev::Chardev*> back_end(const PcConfig& config, const std::optional<std::string>& id) {
  if (!id) return nullptr;
  if (!config.find_chardev) return failf(ErrorKind::NotFound, "there is no chardev '{}'", *id);
  return config.find_chardev(*id);
}

}  // namespace

// The drivers; a friend of the board, which owns what is made here.
class ExtraDevices {
 public:
  struct Driver {
    const char* name;
    const char* help;
    std::string (*options)();
    Result<> (*add)(PcBoard&, const PcConfig&, const config::KeyValues&);
  };

  static Result<> debug_exit(PcBoard& board, const PcConfig&, const config::KeyValues& values) {
    DebugExitOptions options;
    TRY(debug_exit_group().apply(values, options));
    MachineHost& host = board.wiring_.host;
    auto& device = board.own(std::make_unique<devices::DebugExit>(
        devices::DebugExit::Wiring{.exit = [&host](int status) { host.request_exit(status); }}));
    return ports(board, options.iobase, options.iosize, device);
  }

  static Result<> debug_console(PcBoard& board, const PcConfig& config, const config::KeyValues& values) {
    DebugConsoleOptions options;
    TRY(debug_console_group().apply(values, options));
    auto& device = board.own(std::make_unique<devices::DebugConsole>(devices::DebugConsole::Wiring{
        .output = TRY(back_end(config, options.chardev)), .readback = options.readback}));
    return ports(board, options.iobase, 1, device);
  }

  static Result<> serial(PcBoard& board, const PcConfig& config, const config::KeyValues& values) {
    constexpr uint16_t kBases[] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
    constexpr unsigned kIrqs[] = {4, 3, 4, 3};
    SerialOptions options;
    TRY(serial_group().apply(values, options));
    unsigned index = options.index.value_or(board.next_serial_);
    if (index > 3) return fail(ErrorKind::Invalid, "there are four serial ports at most");
    board.next_serial_ = index + 1;
    auto& device = board.own(std::make_unique<devices::Uart16550>(
        devices::Uart16550::Wiring{.clock = board.wiring_.virtual_clock,
                                   .irq = board.isa_irq(options.irq.value_or(kIrqs[index])),
                                   .backend = TRY(back_end(config, options.chardev))}));
    return ports(board, options.iobase.value_or(kBases[index]), 8, device);
  }

  static Result<> pci_test(PcBoard& board, const PcConfig&, const config::KeyValues& values) {
    PciTestOptions options;
    TRY(pci_test_group().apply(values, options));
    if (options.membar != 0 && (options.membar < 4096 || !std::has_single_bit(options.membar))) {
      return failf(ErrorKind::Invalid, "'membar' accepts a power of two from 4 KiB, not {}", options.membar);
    }
    unsigned devfn = TRY(pci_place(board.pci_, options.addr));
    board.pci_.attach(board.own(std::make_unique<devices::PciTestDevice>(options.membar)), devfn);
    return {};
  }

  static Result<> edu(PcBoard& board, const PcConfig&, const config::KeyValues& values) {
    EduOptions options;
    TRY(edu_group().apply(values, options));
    unsigned devfn = TRY(pci_place(board.pci_, options.addr));
    board.pci_.attach(board.own(std::make_unique<devices::Edu>(devices::Edu::Wiring{
                          .clock = board.wiring_.virtual_clock, .dma_mask = options.dma_mask})),
                      devfn);
    return {};
  }

  static Result<> pc_test(PcBoard& board, const PcConfig&, const config::KeyValues& values) {
    NoOptions options;
    TRY(pc_test_group().apply(values, options));
    using Device = devices::PcTestDevice;
    auto& device = board.own(
        std::make_unique<Device>(Device::Wiring{.gsi = &board.interrupts_, .flush = [&board](uint64_t) {
                                                  board.cpus_.signal_all(cpu::pending::kTlbFlush);
                                                }}));
    TRY(board.map_ports(std::initializer_list<PcBoard::PortRange>{
        {0xe0, Device::kScratchSize, device, Device::kScratch},
        {0xe4, Device::kFlushSize, device, Device::kFlush},
        {0x2000, Device::kLinesSize, device, Device::kLines},
    }));
    TRY(board.memory().map_io(Gpa{0xff000000}, Device::kMemorySize, device, Device::kMemory));
    return {};
  }

  static std::span<const Driver> drivers() {
    static constexpr Driver kDrivers[] = {
        {"edu", "a PCI device for learning", [] { return edu_group().help(); }, edu},
        {"isa-debug-exit", "a write ends the emulator", [] { return debug_exit_group().help(); }, debug_exit},
        {"isa-debugcon", "a port that prints bytes", [] { return debug_console_group().help(); },
         debug_console},
        {"isa-serial", "a 16550A serial port", [] { return serial_group().help(); }, serial},
        {"pc-testdev", "ports and memory for guest test suites", [] { return pc_test_group().help(); },
         pc_test},
        {"pci-testdev", "counts what a guest writes", [] { return pci_test_group().help(); }, pci_test},
    };
    return kDrivers;
  }

  static const Driver* find(const std::string& name) {
    for (const Driver& driver : drivers()) {
      if (driver.name == name) return &driver;
    }
    return nullptr;
  }

 private:
  static Result<> ports(PcBoard& board, uint32_t base, uint32_t size, memory::IoHandler& handler) {
    if (base + size > 0x10000)
      return failf(ErrorKind::Invalid, "ports {:#x} to {:#x} do not exist", base, base + size - 1);
    TRY(board.ports_.map_io(Gpa{base}, size, handler));
    return {};
  }
};

Result<> add_extra_device(PcBoard& board, const PcConfig& config, const DeviceRequest& request) {
  const ExtraDevices::Driver* driver = ExtraDevices::find(request.driver);
  if (driver == nullptr) {
    std::vector<std::string_view> names;
    for (const auto& known : ExtraDevices::drivers()) names.emplace_back(known.name);
    return failf(ErrorKind::NotFound, "-device {}: there is no such device{}", request.driver,
                 config::did_you_mean(request.driver, names));
  }
  TRY_IN(driver->add(board, config, request.values), "-device " + request.driver);
  return {};
}

std::string extra_devices_help() {
  std::string text;
  for (const ExtraDevices::Driver& driver : ExtraDevices::drivers()) {
    text += fmt::format("name \"{}\", {}\n", driver.name, driver.help);
  }
  return text;
}

Result<std::string> extra_device_help(const std::string& name) {
  const ExtraDevices::Driver* driver = ExtraDevices::find(name);
  if (driver == nullptr) return failf(ErrorKind::NotFound, "-device {}: there is no such device", name);
  return driver->options();
}

}  // namespace rhea::machine
