// See pc_board.h.
#include "machine/pc/pc_board.h"

#include <algorithm>

#include "devices/ata/ata_disk.h"
#include "devices/ata/ide_channel.h"
#include "devices/input/vmport.h"
#include "machine/pc/i440fx_board.h"
#include "machine/pc/isapc_board.h"
#include "machine/pc/q35_board.h"
#include "machine/pc/tsc_frequency.h"
#include "machine/plug/registry.h"
#include "machine/vcpu.h"

namespace rhea::machine {
namespace {

constexpr uint64_t kIoApicBase = 0xfec00000, kHpetBase = 0xfed00000;
// Tables that are built anew may be a little longer.
constexpr size_t kTablesRoom = 4096;
constexpr const char* kTablesFile = "etc/acpi/tables";
constexpr unsigned kTimerGsi = 2;  // where the I/O APIC has interrupt 0
constexpr unsigned kTimerIrq = 0, kKeyboardIrq = 1, kRtcIrq = 8, kMouseIrq = 12;

struct SerialPort {
  uint16_t port;
  unsigned irq;
};
constexpr SerialPort kSerialPorts[4] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};

}  // namespace

namespace {

int64_t rtc_start_ns(const RtcBase& base, const async::Clock& host) {
  constexpr int64_t kLatestSecond = 7'000'000'000;  // nanoseconds in 64 bits reach the year 2262
  const int64_t ns = std::min(base.seconds, kLatestSecond) * 1'000'000'000;
  return base.host ? ns + host.now_ns() : ns;
}

// Disks at the channels that are at the usual ports.
std::array<BiosDisk, 4> bios_disks(const DeviceTree& tree) {
  std::array<BiosDisk, 4> disks{};
  for (const DeviceTree::NamedBus& bus : tree.buses()) {
    const auto* channel = dynamic_cast<devices::IdeChannel*>(bus.bus);
    if (channel == nullptr || (bus.name != "ide.0" && bus.name != "ide.1")) continue;
    for (unsigned place = 0; place < 2; ++place) {
      const auto* disk = dynamic_cast<devices::AtaDisk*>(channel->at(place));
      if (disk == nullptr) continue;
      const block::Geometry& shape = disk->geometry();
      disks[(bus.name == "ide.1" ? 2 : 0) + place] = {shape.cylinders, shape.heads, shape.sectors,
                                                      disk->bios_translation()};
    }
  }
  return disks;
}

}  // namespace

PcBoard::PcBoard(const PcConfig& config, const Wiring& wiring, std::unique_ptr<PcMemory> memory)
    : wiring_(wiring),
      type_(config.machine),
      smm_(config.smm),
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
      pace_({.cpus = cpus_,
             .clock = wiring.virtual_clock,
             .host = wiring.host,
             .connected = [this](devices::TickPacer::Source source) { return has_ticks_of(source); },
             .pending = [this] { return tick_pending(); },
             .holds_time = config.translated}),
      hpet_(make_hpet(config)),
      i8042_({.irq1 = isa_irq(kKeyboardIrq),
              .irq12 = isa_irq(kMouseIrq),
              .a20 = [this](bool open) { cpus_.set_a20(open); },
              .reset = [this] { wiring_.host.request_reset(); },
              .input = config.backends.input}),
      port92_({.a20 = [this](bool open) { cpus_.set_a20(open); },
               .reset = [this] { wiring_.host.request_reset(); }}),
      pit_({.clock = wiring.virtual_clock,
            .irq0 = timer_irq(devices::Hpet::kFromPit, kTimerIrq),
            .speaker =
                [this](uint64_t period) {
                  if (speaker_ != nullptr) speaker_->tone(period);
                },
            .pacer = &pace_}),
      rtc_({.clock = config.rtc_runs_with_vm       ? wiring.virtual_clock
                     : wiring.rtc_clock != nullptr ? *wiring.rtc_clock
                                                   : wiring.host_clock,
            .irq8 = timer_irq(devices::Hpet::kFromRtc, kRtcIrq),
            .base_ns = rtc_start_ns(config.rtc_base, wiring.host_clock),
            .nmi_mask = {},
            .slew = config.rtc_slew}),
      dma_({.memory = memory_->memory()}),
      fw_cfg_({.memory = memory_->memory()}),
      boot_order_(config.boot_order),
      boot_once_(config.boot_once),
      floppy_check_(config.floppy_check),
      site_(*this, config.backends) {
  site_.tree().reserve_paths(static_cast<unsigned>(wiring.cores.size()));
}

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
  PcMemory::Options options{.layout = RamLayout::of(config.ram_bytes, config.machine->chipset),
                            .mergeable = config.ram_mergeable,
                            .dumpable = config.ram_dumpable,
                            .ram = config.ram};
  std::unique_ptr<PcMemory> memory = TRY_IN(PcMemory::create(options, config.bios, wiring.lock), "memory");
  for (size_t i = 0; i < wiring.cores.size(); i++) {
    wiring.cores[i]->apic_id = config.topology.apic_id(static_cast<unsigned>(i));
  }
  std::unique_ptr<PcBoard> board;
  switch (config.machine->chipset) {
    case Chipset::I440fx: board = std::make_unique<I440fxBoard>(config, wiring, std::move(memory)); break;
    case Chipset::Q35: board = std::make_unique<Q35Board>(config, wiring, std::move(memory)); break;
    case Chipset::None: board = std::make_unique<IsaPcBoard>(config, wiring, std::move(memory)); break;
  }
  std::lock_guard guard(wiring.lock);
  TRY(board->assemble(config));
  return board;
}

Result<> PcBoard::assemble(PcConfig& config) {
  TRY(add_chipset());
  TRY(add_common_devices());
  if (config.vmport) TRY(add_vmport(config));
  if (!config.pcspk_audiodev.empty()) TRY(add_speaker(config.pcspk_audiodev));
  TRY(add_firmware(config));
  for (auto& [index, path] : config.boot_paths) TRY(site_.add_boot_path(index, path));
  TRY(add_serial_ports(config));
  if (config.debugcon != nullptr) {
    auto& console = own(
        std::make_unique<devices::DebugConsole>(devices::DebugConsole::Wiring{.output = config.debugcon}));
    TRY(map_ports(std::initializer_list<PortRange>{{config.debugcon_port, 1, console}}));
  }
  if (PciLayout pci = pci_layout(); pci.bus != nullptr) site_.tree().add_bus(pci.name, *pci.bus);
  for (const DeviceRequest& request : config.devices) TRY(add_device(site_, request));
  fill_firmware_config(config);
  wire_cores();
  return {};
}

Result<> PcBoard::add_common_devices() {
  for (bus::Device* device : std::initializer_list<bus::Device*>{
           &pic_, &ioapic_, &apics_, &i8042_, &port92_, &pit_, &rtc_, &dma_, &fw_cfg_, &post_, &x87_error_}) {
    add(*device);
  }
  if (hpet_) add(*hpet_);
  TRY(map_ports(std::initializer_list<PortRange>{
      {0x00, 0x10, dma_, devices::I8237Pair::kFirst},
      {0x81, 0x0f, dma_, devices::I8237Pair::kPages + 1},
      {0xc0, 0x20, dma_, devices::I8237Pair::kSecond},
      {0x20, 2, pic_, devices::I8259Pair::kFirst},
      {0xa0, 2, pic_, devices::I8259Pair::kSecond},
      {0x4d0, 2, pic_, devices::I8259Pair::kEdgeLevel},
      {0x40, 4, pit_, devices::I8254::kCounters},
      {0x60, 1, i8042_, 0},
      {0x64, 1, i8042_, 1},
      {0x61, 1, pit_, devices::I8254::kPortB},
      {0x70, 4, rtc_},
      {0x80, 1, post_},
      {0x92, 1, port92_},
      {0xf0, devices::X87Error::kIoSize, x87_error_},
      {0x510, devices::FwCfg::kIoSize, fw_cfg_},
  }));
  apics_.add_eoi_listener(ioapic_);
  TRY(apics_.map(memory_->memory()));
  if (type_->has_pci()) TRY(memory_->memory().map_io(Gpa{kIoApicBase}, devices::IoApic::kIoSize, ioapic_));
  if (hpet_) TRY(memory_->memory().map_io(Gpa{kHpetBase}, devices::Hpet::kIoSize, *hpet_));
  return {};
}

// The registers of the vCPU whose thread is at the port.
Result<> PcBoard::add_vmport(const PcConfig& config) {
  auto& port = own(std::make_unique<devices::VmPort>(
      devices::VmPort::Wiring{.registers =
                                  [] {
                                    cpu::Core* core = current_core();
                                    return core != nullptr ? core->s.gpr : nullptr;
                                  },
                              .signal = [this] { i8042_.mouse().signal(); },
                              .input = config.backends.input,
                              .ram_bytes = config.ram_bytes}));
  for (cpu::Core* core : wiring_.cores) core->register_port = devices::VmPort::kPort;
  return map_ports(
      std::initializer_list<PortRange>{{devices::VmPort::kPort, devices::VmPort::kIoSize, port}});
}

Result<> PcBoard::add_speaker(const std::string& audiodev) {
  auto backend = find_backend(site_.backends().audiodev, "audiodev", audiodev);
  if (!backend)
    return failf(ErrorKind::NotFound, "Property 'isa-pcspk.audiodev' can't find value '{}'", audiodev);
  speaker_ = &own(std::make_unique<devices::PcSpeaker>(
      devices::PcSpeaker::Wiring{.clock = wiring_.virtual_clock, .backend = **backend}));
  return {};
}

Result<> PcBoard::add_firmware(const PcConfig& config) {
  flash_ = TRY(SystemFlash::create(site_.backends(), config.flash,
                                   {.memory = memory_->memory(), .smm = memory_->smm_memory()}));
  if (!flash_) {
    if (config.bios.empty()) return fail(ErrorKind::NotFound, "the machine has no firmware");
    return {};
  }
  for (bus::Device* chip : flash_->devices()) add(*chip);
  return memory_->map_firmware(flash_->code(), flash_->code_size());
}

std::unique_ptr<devices::Hpet> PcBoard::make_hpet(const PcConfig& config) {
  if (!config.hpet || !type_->has_pci()) return nullptr;
  return std::make_unique<devices::Hpet>(devices::Hpet::Wiring{
      .clock = wiring_.virtual_clock,
      .gsi = &ioapic_,
      .irq0 = isa_irq(kTimerIrq),
      .irq8 = isa_irq(kRtcIrq),
      .message = [this](uint64_t address, uint32_t data) { send_message(address, data); },
      .pacer = &pace_});
}

// Whether they are masked does not matter: they may not be at the next moment, when the guest waits for them
// already.
bool PcBoard::has_ticks_of(devices::TickPacer::Source source) const {
  const bool hpet = hpet_ && hpet_->legacy();
  return hpet == (source == devices::TickPacer::Source::Hpet);
}

bool PcBoard::tick_pending() const {
  if (!pic_.masked(kTimerIrq) && pic_.requested(kTimerIrq)) return true;
  return !ioapic_.masked(kTimerGsi) && apics_.requested(ioapic_.vector(kTimerGsi));
}

void PcBoard::send_message(uint64_t address, uint32_t data) {
  if (address >= bus::kMsiBase && address - bus::kMsiBase < bus::kMsiSize) {
    apics_.deliver(bus::decode_msi(address, data));
  } else {
    memory_->memory().store(address, 4, data);
  }
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
  firmware.machine = type_;
  firmware.ram = memory_->layout();
  firmware.topology = config.topology;
  firmware.cpus = static_cast<unsigned>(wiring_.cores.size());
  firmware.uuid = config.uuid;
  firmware.graphics = config.graphics;
  firmware.floppies = site_.floppy_controller();
  firmware.floppy_types = site_.floppy_types();
  firmware.disks = bios_disks(site_.tree());
  firmware.boot_order = boot_once_.empty() ? boot_order_ : boot_once_;
  firmware.boot_strict = config.boot_strict;
  firmware.floppy_check = config.floppy_check;
  firmware.boot_menu = config.boot_menu;
  firmware.boot_menu_ms = config.boot_menu_ms;
  firmware.boot_fail_wait_ms = config.boot_fail_wait_ms;
  for (const auto& [index, path] : site_.boot_paths()) firmware.boot_paths.push_back(path);
  firmware.kernel = std::move(config.kernel);
  firmware.hpet = hpet_ != nullptr;
  firmware.cpuid_signature = config.cpuid_signature;
  firmware.cpuid_features = config.cpuid_features;
  firmware.smbios = std::move(config.smbios);
  for (size_t i = 0; i < config.serial.size(); i++) firmware.serial[i] = config.serial[i].has_value();

  for (CmosByte byte : cmos_contents(firmware)) rtc_.set_cmos(byte.index, byte.value);
  acpi_ = acpi_config(firmware);
  acpi_.extra_tables = std::move(config.acpi_tables);
  if (config.pci_window64_room != 0) acpi_.pci_window64_room = config.pci_window64_room;
  FwCfgContents contents = fw_cfg_contents(std::move(firmware));
  for (FwCfgItem& item : contents.items) {
    if (item.file) {
      fw_cfg_.set_item(item.key, std::move(item.file), item.file_begin);
    } else {
      fw_cfg_.set_item(item.key, std::move(item.data));
    }
  }
  for (FwCfgFile& file : contents.files) fw_cfg_.set_file(file.name, std::move(file.data));
  if (type_->has_pci() && config.acpi) add_acpi_tables();
  for (const PcConfig::FirmwareItem& item : config.firmware_items) fw_cfg_.set_file(item.name, item.data);
}

void PcBoard::add_acpi_tables() {
  describe(acpi_);
  acpi::Blobs blobs = acpi::build(acpi_);
  const devices::FwCfgCallbacks renew{.selected = [this] { renew_acpi_tables(); }};
  blobs.tables.resize((blobs.tables.size() + kTablesRoom) / kTablesRoom * kTablesRoom);
  fw_cfg_.set_file(kTablesFile, std::move(blobs.tables), false, renew);
  fw_cfg_.set_file("etc/acpi/rsdp", std::move(blobs.rsdp), false, renew);
  fw_cfg_.set_file("etc/table-loader", std::move(blobs.loader), false, renew);
}

// The firmware reads the tables after it has placed everything that they speak of.
void PcBoard::renew_acpi_tables() {
  if (acpi_renewed_) return;
  acpi_renewed_ = true;
  describe(acpi_);
  acpi::Blobs blobs = acpi::build(acpi_);
  fw_cfg_.change_file(kTablesFile, std::move(blobs.tables));
  fw_cfg_.change_file("etc/acpi/rsdp", std::move(blobs.rsdp));
  fw_cfg_.change_file("etc/table-loader", std::move(blobs.loader));
}

Result<> PcBoard::set_boot_order(const std::string& order) {
  for (char letter : order) {
    if (letter < 'a' || letter > 'p') return failf(ErrorKind::Invalid, "Invalid boot device '{}'", letter);
    if (std::ranges::count(order, letter) > 1)
      return failf(ErrorKind::Invalid, "Boot device '{}' was given twice", letter);
  }
  boot_order_ = order;
  boot_once_.clear();
  show_boot_order(order);
  return {};
}

void PcBoard::show_boot_order(const std::string& order) {
  for (CmosByte byte : cmos_boot_order(order, floppy_check_)) rtc_.set_cmos(byte.index, byte.value);
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
  // Sizes of files are settled before the firmware runs: with all devices that are there now.
  if (fw_cfg_.file(kTablesFile) != nullptr) add_acpi_tables();
  acpi_renewed_ = false;
  memory_->smm_memory().commit();
  memory_->memory().commit();
  // The order of -boot once= is for what this reset starts.
  if (!boot_once_.empty()) {
    show_boot_order(boot_once_);
    boot_once_.clear();
  } else {
    show_boot_order(boot_order_);
  }
}

void PcBoard::state(bus::StateVisitor& v) {
  for (bus::Device* device : devices_) {
    v.enter(device->name());
    device->state(v);
    v.leave();
  }
  site_.tree().state(v);
}

// To the first vCPU only: firmware of these boards prepares no other for SMM, unless it negotiates more.
void PcBoard::raise_smi() {
  cpus_.signal(0, cpu::pending::kSmi);
}

void PcBoard::raise_nmi() {
  apics_.pulse_nmi();
}

}  // namespace rhea::machine
