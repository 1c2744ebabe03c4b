// Rings of the controller, and its events; see xhci.h. Section 4.9.
#include "base/log.h"
#include "devices/usb/guest_words.h"
#include "devices/usb/xhci.h"

namespace rhea::devices {

using namespace xhci;

namespace {
constexpr unsigned kMostLinks = 32;
constexpr uint32_t kSmallestSegment = 16, kLargestSegment = 4096;
}  // namespace

bool Xhci::read_words(uint64_t at, std::span<uint32_t> to) {
  return read_guest_words(to, [&](std::span<uint8_t> raw) { return dma_read(at, raw); });
}

bool Xhci::write_words(uint64_t at, std::span<const uint32_t> from) {
  return write_guest_words(from, [&](std::span<const uint8_t> raw) { return dma_write(at, raw); });
}

void Xhci::system_error() {
  guest_error("xhci: the controller cannot reach what it was given");
  status_ |= kSystemError | kHalted;
  command_ &= ~kRun;
  update_interrupt();
}

// The next block that is not a link, if the guest has handed it over. `at` is its address; the ring then
// stands behind it.
bool Xhci::fetch(Ring& ring, Trb& trb, uint64_t& at) {
  for (unsigned links = 0; links < kMostLinks; ++links) {
    std::array<uint32_t, 4> words{};
    if (!read_words(ring.dequeue, words)) {
      system_error();
      return false;
    }
    trb = {words[0] | uint64_t{words[1]} << 32, words[2], words[3]};
    if (((trb.control & kCycle) != 0) != ring.cycle) return false;
    at = ring.dequeue;
    if (trb.type() != kLink) {
      ring.dequeue += 16;
      return true;
    }
    ring.dequeue = trb.parameter & ~uint64_t{15};
    if ((trb.control & kToggleCycle) != 0) ring.cycle = !ring.cycle;
  }
  guest_error("xhci: a ring of links only");
  return false;
}

// 4.9.4: segments are taken in the order of the table.
void Xhci::load_segment(Interrupter& i) {
  i.segment_size = i.at = 0;
  i.cycle = true;
  std::array<uint32_t, 4> entry{};
  if (i.table_size == 0 || !read_words(i.table, entry)) return;
  uint32_t size = entry[2] & 0xffff;
  if (size < kSmallestSegment || size > kLargestSegment) {
    guest_error("xhci: an event ring segment of {} entries", size);
    return;
  }
  if (i.table_size != 1) guest_error("xhci: of {} event ring segments the first is used", i.table_size);
  i.segment = (entry[0] | uint64_t{entry[1]} << 32) & ~uint64_t{63};
  i.segment_size = size;
}

void Xhci::post(unsigned interrupter, Trb event) {
  if (interrupter >= interrupters_.size()) interrupter = 0;
  Interrupter& i = interrupters_[interrupter];
  if (i.segment_size == 0) return;
  // Full when the place behind this one is where the guest still reads; the last place would be for a "ring
  // full" event, which drivers treat like what it is: lost events.
  uint64_t next = i.segment + uint64_t{(i.at + 1) % i.segment_size} * 16;
  if (next == (i.dequeue & ~uint64_t{15})) {
    guest_error("xhci: event ring {} is full", interrupter);
    return;
  }
  event.control = (event.control & ~kCycle) | (i.cycle ? kCycle : 0);
  std::array<uint32_t, 4> words = {static_cast<uint32_t>(event.parameter),
                                   static_cast<uint32_t>(event.parameter >> 32), event.status, event.control};
  if (!write_words(i.segment + uint64_t{i.at} * 16, words)) {
    system_error();
    return;
  }
  if (++i.at == i.segment_size) {
    i.at = 0;
    i.cycle = !i.cycle;
  }
  raise(interrupter);
}

void Xhci::raise(unsigned interrupter) {
  Interrupter& i = interrupters_[interrupter];
  // 4.17.2: while the handler is busy nothing is raised; it says so when it is done.
  if ((i.dequeue & kHandlerBusy) != 0) return;
  i.dequeue |= kHandlerBusy;
  i.management |= kPending;
  status_ |= kEventInterrupt;
  if ((i.management & kInterrupterEnable) == 0 || (command_ & kInterruptEnable) == 0) return;
  if (msix_.enabled()) {
    msix_.notify(interrupter);
    i.management &= ~kPending;  // 5.5.2.1: a message clears it
  } else {
    update_interrupt();
  }
}

void Xhci::update_interrupt() {
  if (msix_.enabled()) {
    set_intx(false);
    return;
  }
  const Interrupter& i = interrupters_[0];
  constexpr uint32_t kBoth = kPending | kInterrupterEnable;
  set_intx((i.management & kBoth) == kBoth && (command_ & kInterruptEnable) != 0);
}

}  // namespace rhea::devices
