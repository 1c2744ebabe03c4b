// What hangs on a port of the keyboard controller: a PS/2 device that is sent bytes and queues its answers.
//
// IBM PS/2 Hardware Interface Technical Reference (1988): keyboard and mouse commands. Caller holds the
// machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

#include "bus/device.h"

namespace rhea::devices {

class Ps2Device {
 public:
  virtual ~Ps2Device() = default;
  // A byte from the host. Answers go to the queue.
  virtual void command(uint8_t byte) = 0;
  virtual void reset() = 0;
  virtual void state(bus::StateVisitor& v) = 0;

  std::optional<uint8_t> take();
  bool empty() const { return count_ == 0; }
  // Called when the queue is no longer empty.
  void on_data(std::function<void()> listener) { listener_ = std::move(listener); }

 protected:
  static constexpr uint8_t kAck = 0xfa, kResend = 0xfe, kPassed = 0xaa;

  // Answers always fit; input from people (room asked for first) may not.
  void answer(uint8_t byte);
  bool has_room(unsigned bytes) const { return count_ + bytes <= kInputDepth; }
  void clear() { head_ = count_ = 0; }
  void visit_queue(bus::StateVisitor& v);

 private:
  static constexpr unsigned kDepth = 256, kInputDepth = 16;
  std::array<uint8_t, kDepth> queue_{};
  uint16_t head_ = 0, count_ = 0;
  std::function<void()> listener_;
};

}  // namespace rhea::devices
