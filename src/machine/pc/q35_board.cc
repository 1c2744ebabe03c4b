// See q35_board.h.
#include "machine/pc/q35_board.h"

#include "machine/pc/pci_windows.h"

namespace rhea::machine {
namespace {

using bus::pci::devfn_of;

constexpr unsigned kHostBridge = devfn_of(0, 0), kLpc = devfn_of(31, 0), kSmbus = devfn_of(31, 3);
constexpr uint16_t kHotplug = 0xcc0;

// The firmware's interface to SMIs (QEMU's docs: fw_cfg files etc/smi/…): bit 0 is broadcast.
constexpr uint64_t kBroadcast = 1;
constexpr const char* kSupported = "etc/smi/supported-features";
constexpr const char* kRequested = "etc/smi/requested-features";
constexpr const char* kFeaturesOk = "etc/smi/features-ok";

std::vector<uint8_t> wide(uint64_t value) {
  std::vector<uint8_t> bytes(8);
  bytes[0] = static_cast<uint8_t>(value);
  return bytes;
}

}  // namespace

Q35Board::Q35Board(const PcConfig& config, const Wiring& from, std::unique_ptr<PcMemory> memory)
    : PcBoard(config, from, std::move(memory)),
      lpc_({.clock = from.virtual_clock,
            .gsi = &interrupts(),
            .reset = [this](bool) { wiring().host.request_reset(); },
            .machine = this,
            .smm = config.smm,
            .tco_reboots = config.watchdog_reboots}),
      pci_({.memory = pc_memory().memory(),
            .ports = ports(),
            .intx = &lpc_,
            .apics = &apics(),
            .express = true,
            .route = &devices::Ich9Lpc::route}),
      pci_config_({.root = pci_, .reset_control = &lpc_.reset_control()}),
      mch_({.root = pci_,
            .board = &pc_memory(),
            .extended_tseg_mib = config.extended_tseg_mib,
            .smm = config.smm}),
      hotplug_(site(), pci_, [this] { lpc_.acpi().raise_gpe(devices::AcpiPciHotplug::kEvent); }) {}

Result<> Q35Board::add_chipset() {
  pci_.attach(mch_, kHostBridge);
  pci_.attach(lpc_, kLpc);
  pci_.attach(smbus_, kSmbus);
  for (bus::Device* device :
       std::initializer_list<bus::Device*>{&mch_, &lpc_, &smbus_, &pci_config_, &hotplug_.registers()})
    add(*device);
  if (smm()) offer_smi_features();
  return map_ports(std::initializer_list<PortRange>{
      {0xb2, 2, lpc_.apm_ports()},
      {0xcf8, 8, pci_config_},
      {kHotplug, devices::AcpiPciHotplug::kIoSize, hotplug_.registers()},
  });
}

void Q35Board::describe(acpi::Config& config) {
  if (lpc_.base() != 0) config.pm_base = lpc_.base();
  config.gpe0 = static_cast<uint16_t>(config.pm_base + 0x20);
  config.gpe0_bytes = static_cast<uint8_t>(lpc_.acpi().gpe_bytes());
  config.sci = static_cast<uint8_t>(lpc_.sci_gsi());
  config.hotplug_port = kHotplug;
  hotplug_.describe(config);
  const auto window = mch_.mmconfig();
  config.mmconfig_base = window ? window->base : 0;
  config.mmconfig_size = window ? window->size : 0;
  place_window64(config, pci_);
}

// The firmware reads what there is, writes what it wants, and reads whether that was taken, which settles it
// until the next reset.
void Q35Board::offer_smi_features() {
  fw_cfg().set_file(kSupported, wide(kBroadcast));
  fw_cfg().set_file(kRequested, wide(0), true);
  fw_cfg().set_file(kFeaturesOk, {0}, false, {.selected = [this] {
                      if (smi_features_settled_) return;
                      const std::vector<uint8_t>* wanted = fw_cfg().file(kRequested);
                      uint64_t bits = 0;
                      for (size_t i = 0; i < wanted->size() && i < 8; ++i)
                        bits |= uint64_t{(*wanted)[i]} << (8 * i);
                      if ((bits & ~kBroadcast) != 0) return;
                      smi_features_settled_ = true;
                      smi_broadcast_ = (bits & kBroadcast) != 0;
                      fw_cfg().change_file(kFeaturesOk, {1});
                    }});
}

void Q35Board::raise_smi() {
  if (smi_broadcast_) {
    cpus().signal_all(cpu::pending::kSmi);
  } else {
    PcBoard::raise_smi();
  }
}

void Q35Board::reset() {
  smi_features_settled_ = smi_broadcast_ = false;
  if (smm()) {
    fw_cfg().change_file(kRequested, wide(0));
    fw_cfg().change_file(kFeaturesOk, {0});
  }
  hotplug_.adopt();
  PcBoard::reset();
}

}  // namespace rhea::machine
