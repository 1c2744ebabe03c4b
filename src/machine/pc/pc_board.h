// The "pc" machine: 82441FX host bridge, 82371SB/AB south bridge, and what a PC has on its ISA bus. The board
// is the only code that knows addresses, interrupt numbers and slots; they stand in the tables of
// pc_board.cc.
//
// Machine lock held for everything after create().
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "async/clock.h"
#include "bus/pci/config_mechanism1.h"
#include "bus/pci/pci_bus.h"
#include "cpu/core.h"
#include "devices/ata/piix3_ide.h"
#include "devices/bridge/i440fx.h"
#include "devices/bridge/piix3.h"
#include "devices/bridge/piix4_pm.h"
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
#include "machine/machine_host.h"
#include "machine/pc/cpu_wires.h"
#include "machine/pc/interrupt_text.h"
#include "machine/pc/isa_interrupts.h"
#include "machine/pc/local_apics.h"
#include "machine/pc/pc_config.h"
#include "machine/pc/pc_memory.h"
#include "machine/plug/device_site.h"

namespace rhea::machine {

class PcBoard final : public Board, private devices::PowerListener {
 public:
  struct Wiring {
    MachineHost& host;
    std::recursive_mutex& lock;
    async::Clock& virtual_clock;
    async::Clock& host_clock;
    std::vector<cpu::Core*> cores;  // those present, by vCPU number; they outlive the board
  };

  // Builds the machine and wires the cores (memory, ports, apic). Errors: NoSpace, and Invalid for a -device.
  static Result<std::unique_ptr<PcBoard>> create(PcConfig config, const Wiring& wiring);
  ~PcBoard() override;

  void reset() override;
  void state(bus::StateVisitor& v);

  DeviceSite& site() { return site_; }
  memory::AddressSpace& memory() { return memory_->memory(); }
  memory::AddressSpace& smm_memory() { return memory_->smm_memory(); }
  memory::AddressSpace& ports() { return ports_; }
  bus::pci::PciBus& pci() { return pci_; }
  // Any input of the I/O APIC (0..23); below 16 also an ISA interrupt.
  bus::IrqSink& interrupts() { return interrupts_; }
  bus::ApicBus& apics() { return apics_; }
  devices::AtKeyboard& keyboard() { return i8042_.keyboard(); }
  devices::Ps2Mouse& mouse() { return i8042_.mouse(); }
  void press_power_button() override { pm_.acpi().press_power_button(); }
  void raise_nmi() override;
  std::string interrupt_counts() const override { return machine::interrupt_counts(pic_, ioapic_); }
  std::string interrupt_state() override { return machine::interrupt_state(pic_, ioapic_); }

 private:
  struct PortRange {
    uint16_t port, size;
    memory::IoHandler& handler;
    uint64_t offset = 0;
  };
  // The SCI shares ISA interrupt 9 with the PCI interrupt lines.
  struct SciSink final : bus::IrqSink {
    explicit SciSink(devices::Piix3& p) : piix3(p) {}
    void set_irq(unsigned pin, bool level) override { piix3.set_shared_isa(pin, level); }
    devices::Piix3& piix3;
  };

  PcBoard(const PcConfig& config, const Wiring& wiring, std::unique_ptr<PcMemory> memory);
  Result<> assemble(PcConfig& config);
  Result<> map_ports(std::span<const PortRange> table);
  Result<> add_serial_ports(const PcConfig& config);
  void fill_firmware_config(PcConfig& config);
  void wire_cores();
  bus::IrqLine isa_irq(unsigned number) { return {interrupts_, number}; }
  std::unique_ptr<devices::Hpet> make_hpet(const PcConfig& config);
  // The lines of the 8254 and the clock: through the HPET, which may take their place.
  bus::IrqLine timer_irq(unsigned hpet_pin, unsigned isa);
  template <class T>
  T& own(std::unique_ptr<T> device);

  void power_off() override { wiring_.host.request_power_off(); }
  void suspend_to_ram() override { wiring_.host.request_suspend(); }
  void raise_smi() override;

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

   private:
    PcBoard& board_;
    unsigned next_serial_ = 0;
  };

  Wiring wiring_;
  bool config_smm_;
  std::unique_ptr<PcMemory> memory_;
  memory::AddressSpace ports_;
  CpuWires cpus_;
  devices::I8259Pair pic_;
  LocalApics apics_;
  devices::IoApic ioapic_;
  IsaInterrupts interrupts_;
  devices::Piix3 piix3_;
  SciSink sci_{piix3_};
  bus::pci::PciBus pci_;
  bus::pci::ConfigMechanism1 pci_config_;
  devices::I440fx host_bridge_;
  devices::Piix3Ide ide_;
  devices::Piix4Pm pm_;
  std::unique_ptr<devices::Hpet> hpet_;
  devices::I8042 i8042_;
  devices::Port92 port92_;
  devices::I8254 pit_;
  devices::Mc146818 rtc_;
  devices::I8237Pair dma_;
  devices::FwCfg fw_cfg_;
  devices::PostPort post_;
  devices::X87Error x87_error_{{.irq13 = isa_irq(13)}};
  std::vector<std::unique_ptr<bus::Device>> owned_;
  std::vector<bus::Device*> devices_;  // the board's own, in the order of reset
  Site site_;                          // last: what is plugged in uses the rest
};

template <class T>
T& PcBoard::own(std::unique_ptr<T> device) {
  T& made = *device;
  devices_.push_back(&made);
  owned_.push_back(std::move(device));
  return made;
}

}  // namespace rhea::machine
