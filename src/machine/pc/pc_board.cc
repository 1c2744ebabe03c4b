// See pc_board.h.
#include "machine/pc/pc_board.h"

#include "machine/firmware/fw_cfg_contents.h"
#include "machine/pc/tsc_frequency.h"
#include "machine/plug/registry.h"

namespace rhea::machine {
namespace {

using bus::pci::devfn_of;

constexpr uint64_t kIoApicBase = 0xfec00000, kHpetBase = 0xfed00000;
constexpr unsigned kTimerIrq = 0, kKeyboardIrq = 1, kRtcIrq = 8, kSciIrq = 9, kMouseIrq = 12, kIdeIrq = 14;
constexpr unsigned kHostBridge = devfn_of(0, 0), kIsaBridge = devfn_of(1, 0), kIde = devfn_of(1, 1),
                   kPowerManagement = devfn_of(1, 3);

// PIIX4 7.1.30 (DEVACTB): bit 25 enables the SMI on writes to the APM port.
constexpr unsigned kDeviceActivityB = 0x58;
constexpr uint8_t kApmcEnable = 0x02;

struct SerialPort {
  uint16_t port;
  unsigned irq;
};
constexpr SerialPort kSerialPorts[4] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};

}  // namespace

PcBoard::PcBoard(const PcConfig& config, const Wiring& wiring, std::unique_ptr<PcMemory> memory)
    : wiring_(wiring),
      config_smm_(config.smm),
      memory_(std::move(memory)),
      ports_("ports", wiring.lock, LogItem::Unimp),
      cpus_(wiring.cores, wiring.host),
      pic_({.intr = bus::IrqLine(apics_, 0)}),
      apics_({.cpus = cpus_,
              .clock = wiring.virtual_clock,
              .tsc_hz = config.tsc_hz != 0 ? config.tsc_hz : host_tsc_hz(),
              .lock = wiring.lock,
              .extint = pic_}),
      ioapic_({.apics = apics_}),
      interrupts_(pic_, ioapic_),
      piix3_({.isa = &interrupts_, .reset = [this](bool) { wiring_.host.request_reset(); }}),
      pci_({.memory = memory_->memory(), .ports = ports_, .intx = &piix3_, .apics = &apics_}),
      pci_config_({.root = pci_, .reset_control = &piix3_}),
      host_bridge_({.board = memory_.get()}),
      ide_({.irq14 = isa_irq(kIdeIrq), .irq15 = isa_irq(kIdeIrq + 1), .boot_path = "/pci@i0cf8/ide@1,1"}),
      pm_({.clock = wiring.virtual_clock, .sci = bus::IrqLine(sci_, kSciIrq), .machine = this}),
      hpet_(make_hpet(config)),
      i8042_({.irq1 = isa_irq(kKeyboardIrq),
              .irq12 = isa_irq(kMouseIrq),
              .a20 = [this](bool open) { cpus_.set_a20(open); },
              .reset = [this] { wiring_.host.request_reset(); },
              .input = config.backends.input}),
      port92_({.a20 = [this](bool open) { cpus_.set_a20(open); },
               .reset = [this] { wiring_.host.request_reset(); }}),
      pit_({.clock = wiring.virtual_clock, .irq0 = timer_irq(devices::Hpet::kFromPit, kTimerIrq)}),
      rtc_({.clock = config.rtc_runs_with_vm ? wiring.virtual_clock : wiring.host_clock,
            .irq8 = timer_irq(devices::Hpet::kFromRtc, kRtcIrq),
            .base_seconds = config.rtc_base_seconds,
            .nmi_mask = {},
            .slew = config.rtc_slew}),
      dma_({.memory = memory_->memory()}),
      fw_cfg_({.memory = memory_->memory()}),
      site_(*this, config.backends) {}

PcBoard::Site::Site(PcBoard& board, Backends backends)
    : DeviceSite({.host = board.wiring_.host,
                  .lock = board.wiring_.lock,
                  .virtual_clock = board.wiring_.virtual_clock,
                  .host_clock = board.wiring_.host_clock,
                  .memory = board.memory_->memory(),
                  .ports = board.ports_,
                  .interrupts = board.interrupts_,
                  .backends = std::move(backends)}),
      board_(board) {}

void PcBoard::Site::flush_guest_tlbs() {
  board_.cpus_.signal_all(cpu::pending::kTlbFlush);
}

PcBoard::~PcBoard() = default;

Result<std::unique_ptr<PcBoard>> PcBoard::create(PcConfig config, const Wiring& wiring) {
  std::unique_ptr<PcMemory> memory =
      TRY_IN(PcMemory::create(config.ram_bytes, config.bios, wiring.lock), "memory");
  for (size_t i = 0; i < wiring.cores.size(); i++) {
    wiring.cores[i]->apic_id = config.topology.apic_id(static_cast<unsigned>(i));
  }
  std::unique_ptr<PcBoard> board(new PcBoard(config, wiring, std::move(memory)));
  std::lock_guard guard(wiring.lock);
  TRY(board->assemble(config));
  return board;
}

Result<> PcBoard::assemble(PcConfig& config) {
  apics_.add_eoi_listener(ioapic_);
  pci_.attach(host_bridge_, kHostBridge);
  pci_.attach(piix3_, kIsaBridge);
  pci_.attach(ide_, kIde);
  pci_.attach(pm_, kPowerManagement);
  devices_ = {&host_bridge_, &piix3_,  &ide_, &pm_,  &pci_config_, &pic_,    &ioapic_, &apics_,
              &i8042_,       &port92_, &pit_, &rtc_, &dma_,        &fw_cfg_, &post_,   &x87_error_};
  if (hpet_) devices_.push_back(hpet_.get());

  TRY(map_ports(std::initializer_list<PortRange>{
      {0x00, 0x10, dma_, devices::I8237Pair::kFirst},
      {0x81, 0x0f, dma_, devices::I8237Pair::kPages + 1},
      {0xc0, 0x20, dma_, devices::I8237Pair::kSecond},
      {0x20, 2, pic_, devices::I8259Pair::kFirst},
      {0xa0, 2, pic_, devices::I8259Pair::kSecond},
      {0x4d0, 2, pic_, devices::I8259Pair::kEdgeLevel},
      {0x40, 4, pit_, devices::I8254::kCounters},
      {0x1f0, devices::IdeChannel::kCommandBytes, ide_.channel(0).command_block()},
      {0x3f6, devices::IdeChannel::kControlBytes, ide_.channel(0).control_block()},
      {0x170, devices::IdeChannel::kCommandBytes, ide_.channel(1).command_block()},
      {0x376, devices::IdeChannel::kControlBytes, ide_.channel(1).control_block()},
      {0x60, 1, i8042_, 0},
      {0x64, 1, i8042_, 1},
      {0x61, 1, pit_, devices::I8254::kPortB},
      {0x70, 4, rtc_},
      {0x80, 1, post_},
      {0x92, 1, port92_},
      {0xf0, devices::X87Error::kIoSize, x87_error_},
      {0xb2, 2, pm_.apm_ports()},
      {0x510, devices::FwCfg::kIoSize, fw_cfg_},
      {0xcf8, 8, pci_config_},
      {0xafe0, devices::Piix4Pm::kGpeBytes, pm_.gpe_ports()},
  }));
  TRY(memory_->memory().map_io(Gpa{kIoApicBase}, devices::IoApic::kIoSize, ioapic_));
  if (hpet_) TRY(memory_->memory().map_io(Gpa{kHpetBase}, devices::Hpet::kIoSize, *hpet_));
  TRY(apics_.map(memory_->memory()));
  TRY(add_serial_ports(config));
  if (config.debugcon != nullptr) {
    auto& console = own(
        std::make_unique<devices::DebugConsole>(devices::DebugConsole::Wiring{.output = config.debugcon}));
    TRY(map_ports(std::initializer_list<PortRange>{{config.debugcon_port, 1, console}}));
  }
  site_.tree().add_bus("pci.0", pci_);
  site_.tree().add_bus("ide.0", ide_.channel(0));
  site_.tree().add_bus("ide.1", ide_.channel(1));
  for (const DeviceRequest& request : config.devices) TRY(add_device(site_, request));
  fill_firmware_config(config);
  wire_cores();
  return {};
}

std::unique_ptr<devices::Hpet> PcBoard::make_hpet(const PcConfig& config) {
  if (!config.hpet) return nullptr;
  return std::make_unique<devices::Hpet>(devices::Hpet::Wiring{
      .clock = wiring_.virtual_clock,
      .gsi = &ioapic_,
      .irq0 = isa_irq(kTimerIrq),
      .irq8 = isa_irq(kRtcIrq),
      .message = [this](uint64_t address, uint32_t data) { pci_.send_message(address, data); }});
}

bus::IrqLine PcBoard::timer_irq(unsigned hpet_pin, unsigned isa) {
  return hpet_ ? bus::IrqLine(*hpet_, hpet_pin) : isa_irq(isa);
}

Result<> PcBoard::map_ports(std::span<const PortRange> table) {
  for (const PortRange& range : table) {
    TRY(ports_.map_io(Gpa{range.port}, range.size, range.handler, range.offset));
  }
  return {};
}

Result<> PcBoard::add_serial_ports(const PcConfig& config) {
  for (size_t i = 0; i < config.serial.size(); i++) {
    if (!config.serial[i]) continue;
    auto& port = own(std::make_unique<devices::Uart16550>(devices::Uart16550::Wiring{
        .clock = wiring_.virtual_clock, .irq = isa_irq(kSerialPorts[i].irq), .backend = *config.serial[i]}));
    TRY(map_ports(std::initializer_list<PortRange>{{kSerialPorts[i].port, 8, port}}));
    site_.take_serial(static_cast<unsigned>(i));
  }
  return {};
}

void PcBoard::fill_firmware_config(PcConfig& config) {
  FirmwareConfig firmware;
  firmware.ram = memory_->layout();
  firmware.topology = config.topology;
  firmware.cpus = static_cast<unsigned>(wiring_.cores.size());
  firmware.uuid = config.uuid;
  firmware.graphics = config.graphics;
  firmware.floppy_types = site_.floppy_types();
  firmware.boot_order = config.boot_order;
  firmware.boot_menu = config.boot_menu;
  firmware.boot_menu_ms = config.boot_menu_ms;
  firmware.boot_fail_wait_ms = config.boot_fail_wait_ms;
  firmware.kernel = std::move(config.kernel);
  firmware.hpet = config.hpet;
  firmware.cpuid_signature = config.cpuid_signature;
  firmware.cpuid_features = config.cpuid_features;
  for (size_t i = 0; i < config.serial.size(); i++) firmware.serial[i] = config.serial[i].has_value();

  for (CmosByte byte : cmos_contents(firmware)) rtc_.set_cmos(byte.index, byte.value);
  FwCfgContents contents = fw_cfg_contents(std::move(firmware));
  for (FwCfgItem& item : contents.items) {
    if (item.file) {
      fw_cfg_.set_item(item.key, std::move(item.file), item.file_begin);
    } else {
      fw_cfg_.set_item(item.key, std::move(item.data));
    }
  }
  for (FwCfgFile& file : contents.files) fw_cfg_.set_file(file.name, std::move(file.data));
  for (const PcConfig::FirmwareItem& item : config.firmware_items) fw_cfg_.set_file(item.name, item.data);
}

void PcBoard::wire_cores() {
  for (size_t i = 0; i < cpus_.count(); i++) {
    cpu::Core& core = cpus_.core(i);
    core.memory = &memory_->memory();
    core.smm_memory = &memory_->smm_memory();
    core.ports = &ports_;
    core.apic = &apics_.controller(i);
    core.board = this;
    core.x87_error = [](void* board) {
      auto& self = *static_cast<PcBoard*>(board);
      std::lock_guard guard(self.wiring_.lock);
      self.x87_error_.ferr();
    };
  }
}

void PcBoard::reset() {
  memory_->memory().begin();
  memory_->smm_memory().begin();
  memory_->restore_bios();
  for (bus::Device* device : devices_) device->reset(bus::ResetKind::Cold);
  site_.tree().reset(bus::ResetKind::Cold);
  cpus_.set_a20(true);
  // Firmware that finds SMIs by APM already enabled leaves SMM alone.
  if (!config_smm_) pm_.set_config8(kDeviceActivityB + 3, kApmcEnable);
  memory_->smm_memory().commit();
  memory_->memory().commit();
}

void PcBoard::state(bus::StateVisitor& v) {
  for (bus::Device* device : devices_) {
    v.enter(device->name());
    device->state(v);
    v.leave();
  }
  site_.tree().state(v);
}

// To the first vCPU only: firmware of this board prepares no other for SMM.
void PcBoard::raise_smi() {
  cpus_.signal(0, cpu::pending::kSmi);
}

void PcBoard::raise_nmi() {
  apics_.pulse_nmi();
}

}  // namespace rhea::machine
