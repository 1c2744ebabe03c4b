// The PS/2 mouse, with the wheel and five-button extensions that a driver unlocks by sample rates.
//
// IBM PS/2 Hardware Interface Technical Reference, mouse; Microsoft's IntelliMouse identification sequence
// (200, 100, 80 and 200, 200, 80). Caller holds the machine lock.
#pragma once

#include "devices/input/ps2_device.h"

namespace rhea::devices {

class Ps2Mouse final : public Ps2Device {
 public:
  Ps2Mouse() { reset(); }
  void command(uint8_t byte) override;
  void reset() override;
  void state(bus::StateVisitor& v) override;

  // Motion in counts, right and up positive; wheel towards the user positive; buttons: 1 left, 2 right, 4
  // middle.
  void move(int dx, int dy, int dz, uint8_t buttons);

 private:
  void defaults();
  void argument(uint8_t byte);
  void rate_set(uint8_t rate);
  void send_packet();
  void report_status();
  bool moved() const { return dx_ != 0 || dy_ != 0 || dz_ != 0 || buttons_ != sent_buttons_; }

  int32_t dx_ = 0, dy_ = 0, dz_ = 0;
  uint8_t pending_ = 0, id_ = 0, rate_ = 100, resolution_ = 2, buttons_ = 0, sent_buttons_ = 0, unlock_ = 0;
  bool reporting_ = false, remote_ = false, wrap_ = false, scaling_ = false;
};

}  // namespace rhea::devices
