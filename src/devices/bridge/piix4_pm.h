// The power management function of the 82371AB (PIIX4): ACPI fixed event and control registers, PM timer,
// GPE0 as the "pc" board places it, the APM ports that raise SMIs, and the SMBus host controller.
//
// Intel 290562-001: 7.1 (PCI configuration of function 3), 7.2 (power management I/O), 7.3 (SMBus); ACPI 6.4,
// 4.8.3 (fixed registers) and 4.8.4.1 (general-purpose events). GPE0 at 0xAFE0 is the board's, not the
// chip's. Missing: throttling, device monitors, global standby timer, SMI sources other than APM. Machine
// lock held.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "async/clock.h"
#include "bus/irq.h"
#include "bus/pci/pci_function.h"
#include "devices/bridge/smbus_host.h"

namespace rhea::devices {

// What the guest asks of the machine.
class PowerListener {
 public:
  virtual ~PowerListener() = default;
  virtual void power_off() = 0;
  virtual void suspend_to_ram() = 0;
  virtual void raise_smi() = 0;
};

class Piix4Pm final : public bus::pci::PciFunction {
 public:
  struct Wiring {
    async::Clock& clock;  // virtual
    bus::IrqLine sci;
    PowerListener* machine = nullptr;
  };
  explicit Piix4Pm(const Wiring& wiring);
  ~Piix4Pm() override;

  std::string_view name() const override { return "PIIX4_PM"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  void update_mappings() override;

  // APM control and status: offsets 0 and 1, for ports 0xB2 and 0xB3. GPE0: four bytes, for 0xAFE0.
  memory::IoHandler& apm_ports() { return apm_; }
  memory::IoHandler& gpe_ports() { return gpe_; }
  SmbusHost& smbus() { return smbus_; }

  void press_power_button();
  void wake();                     // from suspend: wake status, by the power button
  void raise_gpe(unsigned event);  // 0..15
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
  struct Window {
    memory::IoHandler& handler;
    uint64_t size;
    std::optional<memory::MapId> map{};
    uint64_t at = 0;
  };

  uint8_t read_byte(unsigned offset);
  void write_byte(unsigned offset, uint8_t value);
  void control_written();
  void apm_written(uint8_t command);
  void catch_up();  // the timer's status bit
  void update();    // SCI level and timer
  void place(Window& window, std::optional<uint64_t> at);

  Wiring wiring_;
  Registers registers_{*this};
  Apm apm_{*this};
  Gpe gpe_{*this};
  SmbusHost smbus_;
  Window pm_window_{registers_, 64};
  Window smbus_window_{smbus_, 64};
  std::unique_ptr<async::Timer> timer_;
  uint16_t status_ = 0, enable_ = 0, control_ = 0;
  std::array<uint8_t, kGpeBytes> gpe_bytes_{};
  uint8_t apm_control_ = 0, apm_status_ = 0;
  uint64_t seen_half_ = 0;  // PM timer periods of 2^23 ticks already accounted for
};

}  // namespace rhea::devices
