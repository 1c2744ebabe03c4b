// The power management function of the 82371AB (PIIX4): ACPI fixed event and control registers, PM timer,
// GPE0 as the "pc" board places it, the APM ports that raise SMIs, and the SMBus host controller.
//
// Intel 290562-001: 7.1 (PCI configuration of function 3), 7.2 (power management I/O), 7.3 (SMBus); ACPI 6.4,
// 4.8.3 and 4.8.4.1 (acpi_pm.h). GPE0 at 0xAFE0 is the board's, not the
// chip's. Missing: throttling, device monitors, global standby timer, SMI sources other than APM. Machine
// lock held.
#pragma once

#include <cstdint>

#include "async/clock.h"
#include "bus/irq.h"
#include "bus/pci/pci_function.h"
#include "devices/bridge/acpi_pm.h"
#include "devices/bridge/io_window.h"
#include "devices/bridge/smbus_host.h"

namespace rhea::devices {

class Piix4Pm final : public bus::pci::PciFunction {
 public:
  struct Wiring {
    async::Clock& clock;  // virtual
    bus::IrqLine sci;
    PowerListener* machine = nullptr;
  };
  explicit Piix4Pm(const Wiring& wiring);

  std::string_view name() const override { return "PIIX4_PM"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  void update_mappings() override;

  // APM control and status: offsets 0 and 1, for ports 0xB2 and 0xB3. GPE0: four bytes, for 0xAFE0.
  memory::IoHandler& apm_ports() { return apm_; }
  memory::IoHandler& gpe_ports() { return gpe_; }
  SmbusHost& smbus() { return smbus_; }

  AcpiPm& acpi() { return acpi_; }
  // Where the firmware has put the registers; 0: nowhere.
  uint16_t base() const;
  static constexpr unsigned kGpeBytes = 4;

 protected:
  void config_written(unsigned offset, unsigned size) override;

 private:
  struct Registers final : memory::IoHandler {
    explicit Registers(Piix4Pm& o) : owner(o) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    Piix4Pm& owner;
  };
  struct Apm final : memory::IoHandler {
    explicit Apm(Piix4Pm& o) : owner(o) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }
    Piix4Pm& owner;
  };
  struct Gpe final : memory::IoHandler {
    explicit Gpe(Piix4Pm& o) : owner(o) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }
    Piix4Pm& owner;
  };

  void apm_written(uint8_t command);

  Wiring wiring_;
  AcpiPm acpi_;
  Registers registers_{*this};
  Apm apm_{*this};
  Gpe gpe_{*this};
  SmbusHost smbus_;
  IoWindow pm_window_{registers_};
  IoWindow smbus_window_{smbus_};
  uint8_t apm_control_ = 0, apm_status_ = 0;
};

}  // namespace rhea::devices
