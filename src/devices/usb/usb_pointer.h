// USB mouse and tablet: one reports motion, in the boot protocol's form and a wheel, the other places on the
// screen.
//
// HID 1.11, B.2 (boot mouse); HID Usage Tables 1.12, chapter 4. Changes of buttons are queued, motion between
// them adds up. Caller holds the machine lock.
#pragma once

#include <array>

#include "devices/usb/hid.h"
#include "display/input.h"

namespace rhea::devices {

class UsbPointer final : public HidDevice, private display::PointerSink {
 public:
  enum class Form : uint8_t { Mouse, Tablet };
  struct Wiring {
    async::Clock& clock;  // virtual
    display::InputHub* hub = nullptr;
    Form form = Form::Tablet;
  };
  explicit UsbPointer(const Wiring& wiring);
  ~UsbPointer() override;

  std::string_view name() const override { return tablet() ? "usb-tablet" : "usb-mouse"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;

  void motion(int dx, int dy) override;
  void place(int x, int y) override;
  void button(display::Button button, bool down) override;
  void wheel(int dz, int dw) override;
  void sync() override;

 private:
  static constexpr unsigned kQueue = 16;
  struct Event {
    uint8_t buttons = 0;
    int32_t x = 0, y = 0;  // motion or place
    int32_t wheel = 0;     // away from the user positive, as HID has it
  };

  bool tablet() const { return form_ == Form::Tablet; }
  std::string_view input_name() const override { return tablet() ? "QEMU HID Tablet" : "QEMU HID Mouse"; }
  bool takes_places() const override { return tablet(); }
  void configuration_changed() override;
  bool next_report(std::vector<uint8_t>& report) override;
  std::vector<uint8_t> current_report() const override;
  bool take_output(std::span<const uint8_t>) override { return false; }
  std::vector<uint8_t> report_of(const Event& event) const;
  Event& last() { return queue_[(head_ + count_ - 1) % kQueue]; }

  Form form_;
  display::InputHub* hub_;
  std::array<Event, kQueue> queue_{};
  uint8_t head_ = 0, count_ = 0;
  Event now_;       // since the last sync()
  Event reported_;  // to the host
  bool dirty_ = false;
};

}  // namespace rhea::devices
