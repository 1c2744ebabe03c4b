// ACPI's fixed hardware as PC chipsets have it: PM1 event and control registers, the PM timer, and a block of
// general-purpose events whose first half is status and second half enables.
//
// ACPI 6.4, 4.8.3 (fixed registers), 4.8.4.1 (general-purpose events). Missing: waking from sleep by anything
// but the power button. Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "async/clock.h"
#include "bus/device.h"
#include "devices/bridge/power_listener.h"

namespace rhea::devices {

class AcpiPm {
 public:
  struct Wiring {
    async::Clock& clock;  // virtual
    PowerListener* machine = nullptr;
    std::function<void(bool level)> sci;
    unsigned gpe_bytes = 4;
  };
  explicit AcpiPm(Wiring wiring);

  // Offsets from the PM base that are answered here: PM1 events, control, timer.
  static constexpr uint64_t kSize = 12;
  uint64_t read(uint64_t offset, unsigned size);
  void write(uint64_t offset, unsigned size, uint64_t value);
  uint8_t read_gpe(uint64_t offset) const { return offset < gpe_.size() ? gpe_[offset] : 0xff; }
  void write_gpe(uint64_t offset, uint8_t value);
  unsigned gpe_bytes() const { return wiring_.gpe_bytes; }

  // The board does in hardware what its firmware's SMI handler would do for the FADT's ACPI_ENABLE and
  // ACPI_DISABLE.
  void enable_sci(bool on);

  void press_power_button();
  void wake();                     // from suspend: wake status, by the power button
  void raise_gpe(unsigned event);  // below 4 * gpe_bytes

  void reset();
  void state(bus::StateVisitor& v);

 private:
  uint8_t read_byte(unsigned offset);
  void write_byte(unsigned offset, uint8_t value);
  void control_written();
  void catch_up();  // the timer's status bit
  void update();    // SCI level and timer

  Wiring wiring_;
  std::unique_ptr<async::Timer> timer_;
  uint16_t status_ = 0, enable_ = 0, control_ = 0;
  std::vector<uint8_t> gpe_;
  uint64_t seen_half_ = 0;  // PM timer periods of 2^23 ticks already accounted for
};

}  // namespace rhea::devices
