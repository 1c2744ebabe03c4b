// The PS/2 mouse, with the wheel and five-button extensions that a driver unlocks by sample rates.
//
// IBM PS/2 Hardware Interface Technical Reference, mouse; Microsoft's IntelliMouse identification sequence
// (200, 100, 80 and 200, 200, 80). Motion that the guest has not fetched adds up. Caller holds the machine
// lock.
#pragma once

#include "devices/input/ps2_device.h"
#include "display/input.h"

namespace rhea::devices {

class Ps2Mouse final : public Ps2Device, public display::PointerSink {
 public:
  // Null: nobody moves it. The hub outlives the mouse.
  explicit Ps2Mouse(display::InputHub* hub = nullptr);
  ~Ps2Mouse() override;
  Ps2Mouse(const Ps2Mouse&) = delete;
  Ps2Mouse& operator=(const Ps2Mouse&) = delete;

  void command(uint8_t byte) override;
  void reset() override;
  void state(bus::StateVisitor& v) override;

  std::string_view input_name() const override { return "QEMU PS/2 Mouse"; }
  bool takes_places() const override { return false; }
  void motion(int dx, int dy) override;
  void place(int, int) override {}
  void button(display::Button button, bool down) override;
  void wheel(int dz, int dw) override;
  void sync() override;
  // A report without news, for a device that borrows this one's interrupt.
  void signal();
  // There is room again: motion that adds up may go.
  void resume() { sync(); }

 private:
  void defaults();
  void argument(uint8_t byte);
  void rate_set(uint8_t rate);
  void send_packet(bool as_answer);
  void report_status();
  bool moved() const { return dx_ != 0 || dy_ != 0 || dz_ != 0 || buttons_ != sent_buttons_; }

  display::InputHub* hub_;
  // Counts to the right and up, clicks towards the user.
  int32_t dx_ = 0, dy_ = 0, dz_ = 0;
  uint8_t pending_ = 0, id_ = 0, rate_ = 100, resolution_ = 2, unlock_ = 0;
  uint8_t buttons_ = 0, sent_buttons_ = 0;  // 1 left, 2 right, 4 middle, 8 and 16 the other two
  bool reporting_ = false, remote_ = false, wrap_ = false, scaling_ = false;
};

}  // namespace rhea::devices
