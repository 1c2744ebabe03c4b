// What hangs on a port of the keyboard controller: a PS/2 device that is sent bytes and queues what it says.
//
// IBM PS/2 Hardware Interface Technical Reference (1988): keyboard and mouse commands. Answers to commands go
// ahead of input, as a device that is sent a command breaks off what it was saying. Caller holds the machine
// lock.
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
  // A byte from the host. Answers go to their queue.
  virtual void command(uint8_t byte) = 0;
  virtual void reset() = 0;
  virtual void state(bus::StateVisitor& v) = 0;

  std::optional<uint8_t> take();
  bool empty() const { return answers_.count == 0 && input_.count == 0; }
  // Called when there is something to take.
  void on_data(std::function<void()> listener) { listener_ = std::move(listener); }

 protected:
  static constexpr uint8_t kAck = 0xfa, kResend = 0xfe, kPassed = 0xaa;

  void answer(uint8_t byte);
  // What people did; room is asked for first.
  void input(uint8_t byte);
  bool has_room(unsigned bytes, unsigned depth = kInputDepth) const { return input_.count + bytes <= depth; }
  // Forgets input that was not taken.
  void clear_input() { input_.head = input_.count = 0; }
  void clear() {
    clear_input();
    answers_.head = answers_.count = 0;
  }
  void visit_queue(bus::StateVisitor& v);

  // What a real device holds; the release of a key is let in beyond it, or the key would be stuck.
  static constexpr unsigned kInputDepth = 16, kReleaseDepth = 128;

 private:
  static constexpr unsigned kDepth = 256;
  struct Queue {
    std::array<uint8_t, kDepth> bytes{};
    uint16_t head = 0, count = 0;
    void push(uint8_t byte);
    uint8_t pop();
    void visit(bus::StateVisitor& v, std::string_view name);
  };
  Queue answers_, input_;
  std::function<void()> listener_;
};

}  // namespace rhea::devices
