// The LPC bridge of ICH9 (function 31.0): eight PCI interrupt lines steered to ISA interrupts and to I/O APIC
// inputs 16..23, power management I/O with SMI control and the TCO watchdog, the APM ports, the root complex
// register block with the routing of the chipset's own devices, and the reset control register.
//
// Intel 316972-004 (ICH9): 13.1 (configuration), 13.7 (APM), 13.8 (power management I/O), 10.1 (chip
// configuration registers). Missing: LPC decode ranges and the firmware hub registers have no effect, SMI
// sources other than APM and TCO, GPE sources of the chipset. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "async/clock.h"
#include "bus/irq.h"
#include "bus/pci/pci_function.h"
#include "devices/bridge/acpi_pm.h"
#include "devices/bridge/ich9_tco.h"
#include "devices/bridge/io_window.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class Ich9Lpc final : public bus::pci::PciFunction, public bus::IrqSink {
 public:
  struct Wiring {
    async::Clock& clock;                   // virtual
    bus::IrqSink* gsi = nullptr;           // 0..15 are ISA interrupts, too
    std::function<void(bool hard)> reset;  // the guest asks for a reset of the machine
    PowerListener* machine = nullptr;
    bool smm = true;           // false: SMIs by APM look as if firmware had taken them over
    bool tco_reboots = false;  // the watchdog may reset the machine
  };
  explicit Ich9Lpc(Wiring wiring);

  std::string_view name() const override { return "ICH9-LPC"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  void update_mappings() override;
  // PIRQA#..PIRQH# are pins 0..7.
  void set_irq(unsigned pin, bool level) override;
  // Which of them a device of the root bus drives: slots 25..31 by the root complex registers' reset values,
  // others rotate through PIRQE..PIRQH.
  static unsigned route(unsigned slot, unsigned pin) { return slot >= 25 ? pin & 3 : 4 + ((slot + pin) & 3); }

  AcpiPm& acpi() { return acpi_; }
  // Where the firmware has put the power management registers; 0: nowhere.
  uint16_t base() const;
  // The number of the SCI, as the firmware has chosen it.
  unsigned sci_gsi() const;

  static constexpr uint64_t kPmSize = 128;
  memory::IoHandler& power_ports() { return registers_; }  // what base() maps
  // Offsets 0 and 1, for ports 0xB2 and 0xB3; one byte for 0xCF9.
  memory::IoHandler& apm_ports() { return apm_; }
  memory::IoHandler& reset_control() { return reset_port_; }

 protected:
  void config_written(unsigned offset, unsigned size) override;

 private:
  static constexpr uint64_t kRcrbSize = 0x4000;

  struct Part : memory::IoHandler {
    explicit Part(Ich9Lpc& o) : owner(o) {}
    Ich9Lpc& owner;
  };
  struct Registers final : Part {
    using Part::Part;
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  };
  struct Apm final : Part {
    using Part::Part;
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }
  };
  struct ResetPort final : Part {
    using Part::Part;
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }
  };
  struct Rcrb final : Part {
    using Part::Part;
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  };

  uint8_t read_pm(unsigned offset) const;
  void write_pm(unsigned offset, uint8_t value);
  void apm_written(uint8_t command);
  void drive();

  Wiring wiring_;
  AcpiPm acpi_;
  Ich9Tco tco_;
  Registers registers_{*this};
  Apm apm_{*this};
  ResetPort reset_port_{*this};
  Rcrb rcrb_{*this};
  IoWindow pm_window_{registers_};
  IoWindow rcrb_window_{rcrb_, -1};
  std::array<uint8_t, kPmSize> pm_{};         // those that are neither ACPI's nor TCO's
  std::array<uint8_t, 0x500> chip_config_{};  // of the root complex block, from 0x3000
  std::array<bool, 8> pirq_{};
  bool sci_ = false;
  uint32_t driven_ = 0;  // GSIs
  uint8_t reset_control_ = 0, apm_control_ = 0, apm_status_ = 0;
};

}  // namespace rhea::devices
