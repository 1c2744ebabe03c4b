// See i440fx_board.h.
#include "machine/pc/i440fx_board.h"

#include "machine/pc/pci_windows.h"

namespace rhea::machine {
namespace {

using bus::pci::devfn_of;

constexpr unsigned kSciIrq = 9, kIdeIrq = 14;
constexpr unsigned kHostBridge = devfn_of(0, 0), kIsaBridge = devfn_of(1, 0), kIde = devfn_of(1, 1),
                   kPowerManagement = devfn_of(1, 3);
constexpr uint16_t kGpe0 = 0xafe0, kHotplug = 0xae00;

// PIIX4 7.1.30 (DEVACTB): bit 25 enables the SMI on writes to the APM port.
constexpr unsigned kDeviceActivityB = 0x58;
constexpr uint8_t kApmcEnable = 0x02;

}  // namespace

I440fxBoard::I440fxBoard(const PcConfig& config, const Wiring& from, std::unique_ptr<PcMemory> memory)
    : PcBoard(config, from, std::move(memory)),
      piix3_({.isa = &interrupts(), .reset = [this](bool) { wiring().host.request_reset(); }}),
      pci_({.memory = pc_memory().memory(), .ports = ports(), .intx = &piix3_, .apics = &apics()}),
      pci_config_({.root = pci_, .reset_control = &piix3_}),
      host_bridge_({.board = &pc_memory()}),
      ide_({.irq14 = isa_irq(kIdeIrq), .irq15 = isa_irq(kIdeIrq + 1), .boot_path = "/pci@i0cf8/ide@1,1"}),
      pm_({.clock = from.virtual_clock, .sci = bus::IrqLine(sci_, kSciIrq), .machine = this}),
      hotplug_(site(), pci_, [this] { pm_.acpi().raise_gpe(devices::AcpiPciHotplug::kEvent); }) {}

Result<> I440fxBoard::add_chipset() {
  pci_.attach(host_bridge_, kHostBridge);
  pci_.attach(piix3_, kIsaBridge);
  pci_.attach(ide_, kIde);
  pci_.attach(pm_, kPowerManagement);
  for (bus::Device* device : std::initializer_list<bus::Device*>{&host_bridge_, &piix3_, &ide_, &pm_,
                                                                 &pci_config_, &hotplug_.registers()})
    add(*device);
  site().tree().add_bus("ide.0", ide_.channel(0));
  site().tree().add_bus("ide.1", ide_.channel(1));
  return map_ports(std::initializer_list<PortRange>{
      {0xb2, 2, pm_.apm_ports()},
      {0x1f0, devices::IdeChannel::kCommandBytes, ide_.channel(0).command_block()},
      {0x3f6, devices::IdeChannel::kControlBytes, ide_.channel(0).control_block()},
      {0x170, devices::IdeChannel::kCommandBytes, ide_.channel(1).command_block()},
      {0x376, devices::IdeChannel::kControlBytes, ide_.channel(1).control_block()},
      {0xcf8, 8, pci_config_},
      {kHotplug, devices::AcpiPciHotplug::kIoSize, hotplug_.registers()},
      {kGpe0, devices::Piix4Pm::kGpeBytes, pm_.gpe_ports()},
  });
}

void I440fxBoard::describe(acpi::Config& config) {
  if (pm_.base() != 0) config.pm_base = pm_.base();
  config.gpe0 = kGpe0;
  config.gpe0_bytes = devices::Piix4Pm::kGpeBytes;
  config.sci = kSciIrq;
  config.hotplug_port = kHotplug;
  hotplug_.describe(config);
  place_window64(config, pci_);
}

void I440fxBoard::reset() {
  hotplug_.adopt();
  PcBoard::reset();
  // Firmware that finds SMIs by APM already enabled leaves SMM alone.
  if (!smm()) pm_.set_config8(kDeviceActivityB + 3, kApmcEnable);
}

}  // namespace rhea::machine
