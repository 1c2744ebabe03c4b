#include "devices/input/ps2_device.h"

namespace rhea::devices {

// What does not fit pushes out the oldest: a guest that sends commands and never reads loses answers.
void Ps2Device::Queue::push(uint8_t byte) {
  if (count == kDepth) static_cast<void>(pop());
  bytes[(head + count) % kDepth] = byte;
  ++count;
}

uint8_t Ps2Device::Queue::pop() {
  const uint8_t byte = bytes[head];
  head = static_cast<uint16_t>((head + 1u) % kDepth);
  --count;
  return byte;
}

void Ps2Device::Queue::visit(bus::StateVisitor& v, std::string_view name) {
  v.enter(name);
  v.bytes("bytes", bytes);
  v.field("head", head);
  v.field("count", count);
  v.leave();
  head = static_cast<uint16_t>(head % kDepth);
  if (count > kDepth) count = kDepth;
}

std::optional<uint8_t> Ps2Device::take() {
  if (answers_.count != 0) return answers_.pop();
  if (input_.count != 0) return input_.pop();
  return std::nullopt;
}

void Ps2Device::answer(uint8_t byte) {
  answers_.push(byte);
  if (listener_) listener_();
}

void Ps2Device::input(uint8_t byte) {
  input_.push(byte);
  if (listener_) listener_();
}

void Ps2Device::visit_queue(bus::StateVisitor& v) {
  answers_.visit(v, "answers");
  input_.visit(v, "input");
}

}  // namespace rhea::devices
