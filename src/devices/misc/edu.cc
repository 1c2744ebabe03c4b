#include "devices/misc/edu.h"

#include <span>

#include "base/log.h"

namespace rhea::devices {

namespace {

constexpr uint64_t kBarSize = 0x100000, kBufferAt = 0x40000;
constexpr uint64_t kIdentification = 0x00, kLiveness = 0x04, kFactorial = 0x08, kStatus = 0x20,
                   kInterrupts = 0x24, kRaise = 0x60, kAcknowledge = 0x64, kSource = 0x80,
                   kDestination = 0x88, kCount = 0x90, kCommand = 0x98;
constexpr uint32_t kId = 0x010000ed;
constexpr uint32_t kRaiseWhenDone = 0x80, kFactorialDone = 0x001, kDmaDone = 0x100;
constexpr uint64_t kStart = 1, kToMemory = 2, kRaiseAfterDma = 4;
constexpr int64_t kDmaNs = 100'000;

}  // namespace

Edu::Edu(const Wiring& wiring)
    : PciFunction(
          {.vendor = 0x1234, .device = 0x11e8, .revision = 0x10, .class_code = 0x00ff00, .interrupt_pin = 1}),
      wiring_(wiring),
      msi_(*this, 0x40, {.vectors = 1, .wide = true}) {
  add_bar(0, bus::pci::BarKind::Memory32, kBarSize, *this);
  timer_ = wiring_.clock.make_timer([this] { finish_dma(); });
}

void Edu::reset(bus::ResetKind kind) {
  timer_->cancel();
  buffer_ = {};
  liveness_ = factorial_ = status_ = interrupts_ = 0;
  source_ = destination_ = count_ = command_ = 0;
  PciFunction::reset(kind);
}

void Edu::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  v.bytes("buffer", buffer_);
  v.field("liveness", liveness_);
  v.field("factorial", factorial_);
  v.field("status", status_);
  v.field("interrupts", interrupts_);
  v.field("source", source_);
  v.field("destination", destination_);
  v.field("count", count_);
  v.field("command", command_);
  if (!v.loading()) return;
  if ((command_ & kStart) != 0)
    timer_->arm(wiring_.clock.now_ns() + kDmaNs);
  else
    timer_->cancel();
}

void Edu::raise(uint32_t bits) {
  interrupts_ |= bits;
  if (interrupts_ == 0) return;
  if (msi_.enabled())
    msi_.notify(0);
  else
    set_intx(true);
}

void Edu::lower(uint32_t bits) {
  interrupts_ &= ~bits;
  if (interrupts_ == 0) set_intx(false);
}

void Edu::compute(uint32_t n) {
  uint32_t result = 1;
  // 34! and all beyond are multiples of 2^32.
  for (uint32_t i = 2; i <= n && result != 0; ++i) result *= i;
  factorial_ = result;
  if ((status_ & kRaiseWhenDone) != 0) raise(kFactorialDone);
}

bool Edu::in_buffer(uint64_t at) const {
  return at >= kBufferAt && at - kBufferAt <= buffer_.size() && count_ <= buffer_.size() - (at - kBufferAt);
}

void Edu::start_dma(uint64_t command) {
  command_ = command & (kStart | kToMemory | kRaiseAfterDma);
  if ((command_ & kStart) != 0) timer_->arm(wiring_.clock.now_ns() + kDmaNs);
}

void Edu::finish_dma() {
  const bool to_memory = (command_ & kToMemory) != 0;
  const uint64_t inside = to_memory ? source_ : destination_;
  const uint64_t outside = (to_memory ? destination_ : source_) & wiring_.dma_mask;
  if (in_buffer(inside)) {
    const auto part = std::span(buffer_).subspan(inside - kBufferAt, count_);
    static_cast<void>(to_memory ? dma_write(outside, part) : dma_read(outside, part));
  } else {
    guest_error("edu: DMA of {} bytes at {:#x} is outside of the buffer", count_, inside);
  }
  command_ &= ~kStart;
  if ((command_ & kRaiseAfterDma) != 0) raise(kDmaDone);
}

uint64_t Edu::io_read(uint64_t offset, unsigned size) {
  const uint64_t ones = size >= 8 ? ~uint64_t{0} : 0xffffffff;
  if (size == 8 && offset < kSource) return ones;
  switch (offset) {
    case kIdentification: return kId;
    case kLiveness: return liveness_;
    case kFactorial: return factorial_;
    case kStatus: return status_;
    case kInterrupts: return interrupts_;
    case kSource: return source_ & ones;
    case kDestination: return destination_ & ones;
    case kCount: return count_ & ones;
    case kCommand: return command_ & ones;
    default: return ones;
  }
}

void Edu::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (size == 8 && offset < kSource) return;
  const uint32_t low = static_cast<uint32_t>(value);
  const bool busy = (command_ & kStart) != 0;
  if (offset >= kSource && offset <= kCommand && busy) {
    guest_error("edu: a register is written during DMA");
    return;
  }
  switch (offset) {
    case kLiveness: liveness_ = ~low; break;
    case kFactorial: compute(low); break;
    case kStatus: status_ = low & kRaiseWhenDone; break;
    case kRaise: raise(low); break;
    case kAcknowledge: lower(low); break;
    case kSource: source_ = value; break;
    case kDestination: destination_ = value; break;
    case kCount: count_ = value; break;
    case kCommand: start_dma(value); break;
    default: guest_error("edu: write of {:#x} to offset {:#x}", value, offset); break;
  }
}

}  // namespace rhea::devices
