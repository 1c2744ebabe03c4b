// What every PC has: vCPUs with their APICs, memory, the interrupt controllers, timers and clock, DMA,
// keyboard controller, serial ports, firmware and its configuration device. Each chipset is a board of its
// own on top: i440fx_board.h, q35_board.h, isapc_board.h. Boards are the only code that knows addresses,
// interrupt numbers and slots.
//
// Machine lock held for everything after create().
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "async/clock.h"
#include "bus/pci/pci_bus.h"
#include "cpu/core.h"
#include "devices/audio/pc_speaker.h"
#include "devices/bridge/power_listener.h"
#include "devices/dma/i8237.h"
#include "devices/input/i8042.h"
#include "devices/irq/i8259.h"
#include "devices/irq/ioapic.h"
#include "devices/misc/debug_ports.h"
#include "devices/misc/fw_cfg.h"
#include "devices/misc/x87_error.h"
#include "devices/serial/uart16550.h"
#include "devices/timer/hpet.h"
#include "devices/timer/i8254.h"
#include "devices/timer/mc146818.h"
#include "machine/board.h"
#include "machine/firmware/fw_cfg_contents.h"
#include "machine/machine_host.h"
#include "machine/pc/cpu_wires.h"
#include "machine/pc/guest_pace.h"
#include "machine/pc/interrupt_text.h"
#include "machine/pc/isa_interrupts.h"
#include "machine/pc/local_apics.h"
#include "machine/pc/pc_config.h"
#include "machine/pc/pc_memory.h"
#include "machine/plug/device_site.h"

namespace rhea::machine {

class PcBoard : public Board, protected devices::PowerListener {
 public:
  struct Wiring {
    MachineHost& host;
    std::recursive_mutex& lock;
    async::Clock& virtual_clock;
    async::Clock& host_clock;
    std::vector<cpu::Core*> cores;      // those present, by vCPU number; they outlive the board
    async::Clock* rtc_clock = nullptr;  // unless the clock runs with the machine; null: host_clock
  };

  // Builds the machine and wires the cores (memory, ports, apic). Errors: NoSpace, and Invalid for a -device.
  static Result<std::unique_ptr<PcBoard>> create(PcConfig config, const Wiring& wiring);
  ~PcBoard() override;

  void reset() override;
  void state(bus::StateVisitor& v);
  void raise_nmi() override;

  const MachineType& type() const { return *type_; }
  DeviceSite& site() { return site_; }
  memory::AddressSpace& memory() { return memory_->memory(); }
  memory::AddressSpace& smm_memory() { return memory_->smm_memory(); }
  memory::AddressSpace& ports() { return ports_; }
  // Any input of the I/O APIC (0..23); below 16 also an ISA interrupt.
  bus::IrqSink& interrupts() { return interrupts_; }
  bus::ApicBus& apics() { return apics_; }
  devices::AtKeyboard& keyboard() { return i8042_.keyboard(); }
  devices::Ps2Mouse& mouse() { return i8042_.mouse(); }
  std::string interrupt_counts() const override { return machine::interrupt_counts(pic_, ioapic_); }
  std::string interrupt_state() override { return machine::interrupt_state(pic_, ioapic_); }
  devices::Mc146818& rtc() { return rtc_; }
  devices::FwCfg& fw_cfg() { return fw_cfg_; }
  devices::I8237Pair& dma() { return dma_; }
  // The order of boot devices from the next reset on (letters as in -boot). Errors: Invalid.
  Result<> set_boot_order(const std::string& order);
  // What the guest wrote to its firmware's flash is on the drive.
  bool firmware_saved() const { return flash_ == nullptr || !flash_->busy(); }

 protected:
  struct PortRange {
    uint16_t port, size;
    memory::IoHandler& handler;
    uint64_t offset = 0;
  };
  struct PciLayout {
    bus::pci::PciBus* bus = nullptr;  // null: none
    std::string name;                 // of its root bus
    unsigned first_slot = 1;          // for -device without addr=
  };

  PcBoard(const PcConfig& config, const Wiring& wiring, std::unique_ptr<PcMemory> memory);

  // What the chipset has.
  virtual Result<> add_chipset() = 0;
  virtual PciLayout pci_layout() = 0;
  // The registers' places as the firmware has set them, for ACPI's tables.
  virtual void describe(acpi::Config& config) = 0;

  Wiring& wiring() { return wiring_; }
  PcMemory& pc_memory() { return *memory_; }
  CpuWires& cpus() { return cpus_; }
  bool smm() const { return smm_; }
  Result<> map_ports(std::span<const PortRange> table);
  bus::IrqLine isa_irq(unsigned number) { return {interrupts_, number}; }
  // A device of the board's own, reset in the order of adding.
  void add(bus::Device& device) { devices_.push_back(&device); }
  template <class T>
  T& own(std::unique_ptr<T> device) {
    T& made = *device;
    devices_.push_back(&made);
    owned_.push_back(std::move(device));
    return made;
  }

  void power_off() override { wiring_.host.request_power_off(); }
  void suspend_to_ram() override { wiring_.host.request_suspend(); }
  void raise_smi() override;

 private:
  // What -device is offered.
  class Site final : public DeviceSite {
   public:
    Site(PcBoard& board, Backends backends);
    void flush_guest_tlbs() override;
    devices::FwCfg* fw_cfg() override { return &board_.fw_cfg_; }
    devices::I8237Pair* isa_dma() override { return &board_.dma_; }
    unsigned next_serial() override { return next_serial_; }
    void take_serial(unsigned index) override { next_serial_ = index + 1; }
    unsigned vcpus() const override { return static_cast<unsigned>(board_.wiring_.cores.size()); }
    unsigned first_free_slot() const override { return board_.pci_layout().first_slot; }

   private:
    PcBoard& board_;
    unsigned next_serial_ = 0;
  };

  bool has_ticks_of(devices::TickPacer::Source source) const;
  bool tick_pending() const;
  Result<> assemble(PcConfig& config);
  Result<> add_common_devices();
  Result<> add_vmport(const PcConfig& config);
  Result<> add_speaker(const std::string& audiodev);
  Result<> add_firmware(const PcConfig& config);
  Result<> add_serial_ports(const PcConfig& config);
  void fill_firmware_config(PcConfig& config);
  void add_acpi_tables();
  void renew_acpi_tables();
  void show_boot_order(const std::string& order);
  void wire_cores();
  std::unique_ptr<devices::Hpet> make_hpet(const PcConfig& config);
  void send_message(uint64_t address, uint32_t data);
  // The lines of the 8254 and the clock: through the HPET, which may take their place.
  bus::IrqLine timer_irq(unsigned hpet_pin, unsigned isa);

  Wiring wiring_;
  const MachineType* type_;
  bool smm_;
  std::unique_ptr<PcMemory> memory_;
  memory::AddressSpace ports_;
  CpuWires cpus_;
  devices::I8259Pair pic_;
  LocalApics apics_;
  devices::IoApic ioapic_;
  IsaInterrupts interrupts_;
  GuestPace pace_;
  std::unique_ptr<devices::Hpet> hpet_;
  devices::I8042 i8042_;
  devices::Port92 port92_;
  devices::PcSpeaker* speaker_ = nullptr;  // one that is heard
  devices::I8254 pit_;
  devices::Mc146818 rtc_;
  devices::I8237Pair dma_;
  devices::FwCfg fw_cfg_;
  devices::PostPort post_;
  devices::X87Error x87_error_{{.irq13 = isa_irq(13)}};
  std::unique_ptr<SystemFlash> flash_;
  std::vector<std::unique_ptr<bus::Device>> owned_;
  std::vector<bus::Device*> devices_;  // the board's own, in the order of reset
  acpi::Config acpi_;
  bool acpi_renewed_ = false;  // since the last reset
  std::string boot_order_, boot_once_;
  bool floppy_check_;
  Site site_;  // last: what is plugged in uses the rest
};

}  // namespace rhea::machine
