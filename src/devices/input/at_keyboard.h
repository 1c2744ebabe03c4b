// The AT (MF2, 102 keys) keyboard: identification, scan sets, indicators, typematic settings, and keys.
//
// IBM PS/2 Hardware Interface Technical Reference, keyboard: commands and scan code sets 1, 2 and 3, with the
// sequences of Print Screen and Pause. Missing: typematic repeat (viewers repeat), the shift codes that a
// real keyboard puts around the grey cursor keys while Num Lock is on (no driver needs them). Caller holds
// the machine lock.
#pragma once

#include <initializer_list>

#include "devices/input/ps2_device.h"
#include "display/input.h"

namespace rhea::devices {

class AtKeyboard final : public Ps2Device, public display::KeyboardSink {
 public:
  // Null: nobody types. The hub outlives the keyboard.
  explicit AtKeyboard(display::InputHub* hub = nullptr);
  ~AtKeyboard() override;
  AtKeyboard(const AtKeyboard&) = delete;
  AtKeyboard& operator=(const AtKeyboard&) = delete;

  void command(uint8_t byte) override;
  void reset() override;
  void state(bus::StateVisitor& v) override;

  std::string_view input_name() const override { return "QEMU PS/2 Keyboard"; }
  // A press is lost when the buffer is full, as on a keyboard.
  void key(display::Key key, bool down) override;
  uint8_t indicators() const { return indicators_; }  // 1 scroll, 2 num, 4 caps

 private:
  void defaults();
  void argument(uint8_t byte);
  void set_indicators(uint8_t value);
  void set_all_breaks(bool on);
  void set_break(uint8_t code, bool on);
  bool special(display::Key key, bool down);
  void send(std::initializer_list<uint8_t> bytes, bool down);
  void send_code(uint16_t code, bool down);
  void send_set3(uint8_t code, bool down);

  display::InputHub* hub_;
  uint8_t pending_ = 0;  // the command that waits for its argument
  uint8_t indicators_ = 0, scan_set_ = 2, typematic_ = 0x2b;
  bool scanning_ = true;
  bool alt_ = false, ctrl_ = false;        // held: Print Screen and Pause are other codes then
  std::array<uint8_t, 32> set3_breaks_{};  // a bit a code of set 3: its release is reported
};

}  // namespace rhea::devices
