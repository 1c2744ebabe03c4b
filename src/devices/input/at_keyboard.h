// The AT (MF2, 102 keys) keyboard: identification, scan sets, indicators, typematic settings, and keys.
//
// IBM PS/2 Hardware Interface Technical Reference, keyboard: commands and scan code sets 1, 2 and 3. Keys are
// given as set 2 make codes (0xe0 prefixes included). Missing: typematic repeat (the host's keyboard
// repeats), set 3 keys beyond those that equal set 2. Caller holds the machine lock.
#pragma once

#include "devices/input/ps2_device.h"

namespace rhea::devices {

class AtKeyboard final : public Ps2Device {
 public:
  AtKeyboard() { reset(); }
  void command(uint8_t byte) override;
  void reset() override;
  void state(bus::StateVisitor& v) override;

  // A key by its set 2 code, 0xe0xx for extended keys. Lost when the buffer is full, as on a keyboard.
  void key(uint16_t code, bool down);
  uint8_t indicators() const { return indicators_; }  // 1 scroll, 2 num, 4 caps

 private:
  void defaults();
  void argument(uint8_t byte);

  uint8_t pending_ = 0;  // the command that waits for its argument
  uint8_t indicators_ = 0, scan_set_ = 2, typematic_ = 0x2b;
  bool scanning_ = true;
};

}  // namespace rhea::devices
