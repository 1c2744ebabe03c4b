// A USB keyboard: the boot protocol's report of modifiers and six keys, and its five indicators.
//
// HID 1.11, B.1 (boot keyboard); HID Usage Tables 1.12, chapter 10. Caller holds the machine lock.
#pragma once

#include <array>

#include "devices/usb/hid.h"
#include "display/input.h"

namespace rhea::devices {

class UsbKeyboard final : public HidDevice, private display::KeyboardSink {
 public:
  struct Wiring {
    async::Clock& clock;  // virtual
    display::InputHub* hub = nullptr;
  };
  explicit UsbKeyboard(const Wiring& wiring);
  ~UsbKeyboard() override;

  std::string_view name() const override { return "usb-kbd"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  void key(display::Key key, bool down) override;

 private:
  static constexpr unsigned kQueue = 32;

  std::string_view input_name() const override { return "QEMU USB Keyboard"; }
  void configuration_changed() override;
  bool next_report(std::vector<uint8_t>& report) override;
  std::vector<uint8_t> current_report() const override;
  bool take_output(std::span<const uint8_t> report) override;
  void apply(uint8_t usage, bool down);
  void forget_keys();

  display::InputHub* hub_;
  // Changes that the host has not seen, usage and direction in turn.
  std::array<uint8_t, kQueue> usages_{};
  uint32_t downs_ = 0;  // a bit for each place of the queue
  uint8_t head_ = 0, count_ = 0;
  uint8_t modifiers_ = 0;
  std::array<uint8_t, 32> pressed_{};  // a bit for each usage
  uint8_t leds_ = 0;
};

}  // namespace rhea::devices
