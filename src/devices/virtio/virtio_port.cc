// One port of a virtio-serial bus: the two queues on one side, a character back end on the other. Neither
// side is ever waited for: what the back end does not take stays in the ring, and a chain that it took in
// part is popped again and goes on where it was.
#include <algorithm>
#include <array>

#include "devices/virtio/virtio_serial.h"

namespace rhea::devices::virtio {

namespace {

constexpr size_t kChunk = 4096;

}  // namespace

VirtioPort::~VirtioPort() {
  if (bus_ != nullptr) bus_->unplug(*this);
}

void VirtioPort::plugged(VirtioSerial& bus, unsigned number) {
  bus_ = &bus;
  number_ = number;
  if (options_.backend != nullptr) options_.backend->attach(this);
}

void VirtioPort::stop() {
  open_ = blocked_ = false;
  sent_ = 0;
}

void VirtioPort::state(bus::StateVisitor& v) {
  v.field("open", open_);
  v.field("sent", sent_);
  v.field("blocked", blocked_);
}

void VirtioPort::set_open(bool open) {
  open_ = open;
  if (open) input_wanted();
}

void VirtioPort::input_wanted() {
  if (options_.backend != nullptr) options_.backend->resume_input();
}

// True: the whole chain was taken.
bool VirtioPort::write_some(const Chain& chain) {
  std::array<uint8_t, kChunk> bytes;
  while (sent_ < chain.out_bytes) {
    const size_t n = std::min<uint64_t>(bytes.size(), chain.out_bytes - sent_);
    const auto piece = std::span(bytes).first(n);
    if (!copy_from(bus_->ram(), chain.out, sent_, piece)) {
      bus_->break_down("a buffer is not in RAM");
      return false;
    }
    const size_t taken = options_.backend == nullptr ? n : options_.backend->write(piece);
    sent_ += std::min(taken, n);
    if (taken < n) return false;
  }
  return true;
}

void VirtioPort::output() {
  if (bus_ == nullptr || !bus_->running()) return;
  blocked_ = false;
  Virtqueue& ring = bus_->output_queue(number_);
  do {
    ring.disable_kicks();
    while (const std::optional<Chain> chain = ring.pop()) {
      if (!write_some(*chain)) {
        blocked_ = true;
        ring.unpop(*chain);
        ring.flush();
        return;
      }
      sent_ = 0;
      ring.fill(*chain, 0);
    }
    ring.flush();
  } while (ring.enable_kicks());
}

size_t VirtioPort::can_receive() {
  if (bus_ == nullptr || !bus_->running() || (bus_->multiport() && !open_)) return 0;
  Virtqueue& ring = bus_->input_queue(number_);
  const std::optional<Chain> chain = ring.pop();
  if (!chain) return 0;
  ring.unpop(*chain);
  return std::min<uint64_t>(chain->in_bytes, kChunk);
}

void VirtioPort::receive(std::span<const uint8_t> bytes) {
  if (bus_ == nullptr) return;
  Virtqueue& ring = bus_->input_queue(number_);
  while (!bytes.empty()) {
    const std::optional<Chain> chain = ring.pop();
    if (!chain) break;
    const auto written = copy_to(bus_->ram(), chain->in, 0, bytes);
    if (!written) {
      bus_->break_down("a buffer is not in RAM");
      return;
    }
    ring.fill(*chain, static_cast<uint32_t>(*written));
    bytes = bytes.subspan(*written);
  }
  ring.flush();
}

}  // namespace rhea::devices::virtio
