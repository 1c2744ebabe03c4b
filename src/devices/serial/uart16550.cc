#include "devices/serial/uart16550.h"

namespace rhea::devices {

namespace {

enum Register : uint64_t {
  kData,
  kInterruptEnable,
  kIdentification,
  kLineControl,
  kModemControl,
  kLineStatus,
  kModemStatus,
  kScratch
};

// 8.5 interrupt identification, by priority; 8.6 interrupt enable.
constexpr uint8_t kIidLine = 0x06, kIidData = 0x04, kIidTimeout = 0x0c, kIidThr = 0x02, kIidModem = 0x00,
                  kIidNone = 0x01, kIidFifos = 0xc0;
constexpr uint8_t kIerData = 0x01, kIerThr = 0x02, kIerLine = 0x04, kIerModem = 0x08;
// 8.4 FIFO control.
constexpr uint8_t kFcrEnable = 0x01, kFcrClearRx = 0x02, kFcrClearTx = 0x04, kFcrKept = 0xc9;
// 8.1 line control, 8.7 modem control.
constexpr uint8_t kDivisorLatch = 0x80;
constexpr uint8_t kDtr = 0x01, kRts = 0x02, kOut1 = 0x04, kOut2 = 0x08, kLoop = 0x10;
// 8.3 line status.
constexpr uint8_t kDataReady = 0x01, kOverrun = 0x02, kBreak = 0x10, kThrEmpty = 0x20,
                  kTransmitterEmpty = 0x40, kFifoError = 0x80, kErrors = 0x1e;
// 8.8 modem status.
constexpr uint8_t kDeltas = 0x0b, kTrailingRing = 0x04, kCts = 0x10, kDsr = 0x20, kRi = 0x40, kDcd = 0x80;
constexpr uint8_t kConnected = kCts | kDsr | kDcd;

constexpr int64_t kBaudBase = 115200;

}  // namespace

void Uart16550::Fifo::push(uint8_t byte, uint8_t flag) {
  const unsigned at = (head + unsigned{count}) % kDepth;
  data[at] = byte;
  flags[at] = flag;
  ++count;
}

uint8_t Uart16550::Fifo::pop() {
  const uint8_t byte = data[head];
  head = static_cast<uint8_t>((head + 1u) % kDepth);
  --count;
  return byte;
}

bool Uart16550::Fifo::any_flags() const {
  for (unsigned i = 0; i < count; ++i) {
    if (flags[(head + i) % kDepth] != 0) return true;
  }
  return false;
}

void Uart16550::Fifo::visit(bus::StateVisitor& v, std::string_view name) {
  v.enter(name);
  v.bytes("data", data);
  v.bytes("flags", flags);
  v.field("head", head);
  v.field("count", count);
  v.leave();
  head = static_cast<uint8_t>(head % kDepth);
  if (count > kDepth) count = kDepth;
}

Uart16550::Uart16550(const Wiring& wiring) : wiring_(wiring) {
  timeout_ = wiring_.clock.make_timer([this] {
    timed_out_ = rx_.count != 0;
    update();
  });
  msr_ = wiring_.backend != nullptr ? kConnected : 0;
  if (wiring_.backend != nullptr) wiring_.backend->attach(this);
}

Uart16550::~Uart16550() {
  if (wiring_.backend != nullptr) wiring_.backend->attach(nullptr);
}

void Uart16550::reset(bus::ResetKind) {
  rx_.clear();
  tx_.clear();
  divisor_ = 12;
  ier_ = fcr_ = lcr_ = mcr_ = lsr_ = scratch_ = 0;
  msr_ = wiring_.backend != nullptr ? kConnected : 0;
  thr_interrupt_ = timed_out_ = false;
  timeout_->cancel();
  update();
  room_made();
}

void Uart16550::state(bus::StateVisitor& v) {
  rx_.visit(v, "rx");
  tx_.visit(v, "tx");
  v.field("divisor", divisor_);
  v.field("ier", ier_);
  v.field("fcr", fcr_);
  v.field("lcr", lcr_);
  v.field("mcr", mcr_);
  v.field("lsr", lsr_);
  v.field("msr", msr_);
  v.field("scratch", scratch_);
  v.field("thr_interrupt", thr_interrupt_);
  v.field("timed_out", timed_out_);
  if (!v.loading()) return;
  if (rx_.count != 0 && fifos() && !timed_out_) timeout_->arm(wiring_.clock.now_ns() + 4 * character_ns());
  update();
}

bool Uart16550::fifos() const {
  return (fcr_ & kFcrEnable) != 0;
}

unsigned Uart16550::trigger() const {
  static constexpr std::array<uint8_t, 4> kLevels = {1, 4, 8, 14};
  return fifos() ? kLevels[fcr_ >> 6] : 1;
}

// Start, five to eight data bits, parity, stop.
int64_t Uart16550::character_ns() const {
  const int64_t bits = 7 + (lcr_ & 3) + ((lcr_ & 4) != 0 ? 1 : 0) + ((lcr_ & 8) != 0 ? 1 : 0);
  const int64_t divisor = divisor_ == 0 ? 0x10000 : divisor_;
  return bits * divisor * 1'000'000'000 / kBaudBase;
}

uint8_t Uart16550::line_status() {
  uint8_t status = lsr_;  // overrun
  if (rx_.count != 0) status = static_cast<uint8_t>(status | kDataReady | rx_.top_flags());
  if (fifos() && rx_.any_flags()) status |= kFifoError;
  if (tx_.count == 0) status |= kThrEmpty | kTransmitterEmpty;
  return status;
}

uint8_t Uart16550::identify() {
  const uint8_t fifo_bits = fifos() ? kIidFifos : 0;
  uint8_t id = kIidNone;
  if ((ier_ & kIerLine) != 0 && (line_status() & kErrors) != 0)
    id = kIidLine;
  else if ((ier_ & kIerData) != 0 && rx_.count >= trigger())
    id = kIidData;
  else if ((ier_ & kIerData) != 0 && timed_out_)
    id = kIidTimeout;
  else if ((ier_ & kIerThr) != 0 && thr_interrupt_)
    id = kIidThr;
  else if ((ier_ & kIerModem) != 0 && (msr_ & (kDeltas | kTrailingRing)) != 0)
    id = kIidModem;
  return id | fifo_bits;
}

void Uart16550::update() {
  wiring_.irq.set((identify() & kIidNone) == 0);
}

void Uart16550::room_made() {
  if (wiring_.backend != nullptr && can_receive() != 0) wiring_.backend->resume_input();
}

uint8_t Uart16550::read_data() {
  if (rx_.count == 0) return rx_.data[rx_.head];
  const uint8_t byte = rx_.pop();
  timed_out_ = false;
  if (rx_.count != 0 && fifos())
    timeout_->arm(wiring_.clock.now_ns() + 4 * character_ns());
  else
    timeout_->cancel();
  update();
  room_made();
  return byte;
}

uint8_t Uart16550::read_line_status() {
  const uint8_t status = line_status();
  lsr_ = 0;
  if (rx_.count != 0) rx_.top_flags() = 0;
  update();
  return status;
}

uint64_t Uart16550::io_read(uint64_t offset, unsigned) {
  const bool latch = (lcr_ & kDivisorLatch) != 0;
  switch (offset) {
    case kData: return latch ? divisor_ & 0xff : read_data();
    case kInterruptEnable: return latch ? divisor_ >> 8 : ier_;
    case kIdentification: {
      const uint8_t id = identify();
      if ((id & 0x0f) == kIidThr) {  // 8.5: reading it as the source resets it
        thr_interrupt_ = false;
        update();
      }
      return id;
    }
    case kLineControl: return lcr_;
    case kModemControl: return mcr_;
    case kLineStatus: return read_line_status();
    case kModemStatus: {
      const uint8_t status = msr_;
      msr_ = static_cast<uint8_t>(msr_ & ~(kDeltas | kTrailingRing));
      update();
      return status;
    }
    case kScratch: return scratch_;
    default: return 0xff;
  }
}

void Uart16550::io_write(uint64_t offset, unsigned, uint64_t value) {
  const uint8_t byte = static_cast<uint8_t>(value);
  const bool latch = (lcr_ & kDivisorLatch) != 0;
  switch (offset) {
    case kData:
      if (latch)
        divisor_ = static_cast<uint16_t>((divisor_ & 0xff00) | byte);
      else
        write_data(byte);
      break;
    case kInterruptEnable:
      if (latch) {
        divisor_ = static_cast<uint16_t>((divisor_ & 0x00ff) | byte << 8);
        break;
      }
      // Enabling the transmitter interrupt while it is empty raises it at once.
      if ((byte & kIerThr) != 0 && (ier_ & kIerThr) == 0 && tx_.count == 0) thr_interrupt_ = true;
      ier_ = byte & 0x0f;
      update();
      break;
    case kIdentification: write_fifo_control(byte); break;
    case kLineControl: lcr_ = byte; break;
    case kModemControl: write_modem_control(byte); break;
    case kScratch: scratch_ = byte; break;
    default: break;  // the status registers are read-only but for factory tests
  }
}

void Uart16550::write_data(uint8_t value) {
  thr_interrupt_ = false;
  if ((mcr_ & kLoop) != 0) {
    take(value, 0);
    thr_interrupt_ = true;
    update();
    return;
  }
  // Without room the newest character is lost, as on the chip.
  if (tx_.count < capacity()) tx_.push(value, 0);
  send();
}

void Uart16550::send() {
  while (tx_.count != 0) {
    const std::span<const uint8_t> byte(&tx_.data[tx_.head], 1);
    if (wiring_.backend != nullptr && wiring_.backend->write(byte) == 0) break;
    tx_.pop();
  }
  if (tx_.count == 0) thr_interrupt_ = true;
  update();
}

void Uart16550::output_ready() {
  if (tx_.count != 0) send();
}

void Uart16550::write_fifo_control(uint8_t value) {
  const bool toggled = ((fcr_ ^ value) & kFcrEnable) != 0;
  if (toggled || (value & kFcrClearRx) != 0) {
    rx_.clear();
    timed_out_ = false;
    timeout_->cancel();
  }
  if (toggled || (value & kFcrClearTx) != 0) {
    tx_.clear();
    thr_interrupt_ = true;
  }
  // 8.4: the other bits are taken only together with the enable bit.
  fcr_ = (value & kFcrEnable) != 0 ? value & kFcrKept : 0;
  update();
  room_made();
}

void Uart16550::write_modem_control(uint8_t value) {
  mcr_ = value & 0x1f;
  if ((mcr_ & kLoop) == 0) {
    set_modem_status(wiring_.backend != nullptr ? kConnected : 0);
    room_made();
    return;
  }
  uint8_t lines = 0;
  if ((mcr_ & kRts) != 0) lines |= kCts;
  if ((mcr_ & kDtr) != 0) lines |= kDsr;
  if ((mcr_ & kOut1) != 0) lines |= kRi;
  if ((mcr_ & kOut2) != 0) lines |= kDcd;
  set_modem_status(lines);
}

void Uart16550::set_modem_status(uint8_t lines) {
  const uint8_t changed = static_cast<uint8_t>((msr_ ^ lines) & 0xf0);
  uint8_t deltas = (changed >> 4) & kDeltas;
  if ((changed & kRi) != 0 && (lines & kRi) == 0) deltas |= kTrailingRing;
  msr_ = static_cast<uint8_t>(lines | deltas | (msr_ & (kDeltas | kTrailingRing)));
  update();
}

void Uart16550::take(uint8_t byte, uint8_t flags) {
  if (rx_.count >= capacity()) {
    lsr_ |= kOverrun;
    // Without FIFOs the new character replaces the old one.
    if (!fifos()) {
      rx_.clear();
      rx_.push(byte, flags);
    }
    return;
  }
  rx_.push(byte, flags);
  timed_out_ = false;
  if (fifos()) timeout_->arm(wiring_.clock.now_ns() + 4 * character_ns());
}

size_t Uart16550::can_receive() {
  if ((mcr_ & kLoop) != 0 || rx_.count >= capacity()) return 0;
  return capacity() - rx_.count;
}

void Uart16550::receive(std::span<const uint8_t> bytes) {
  for (const uint8_t byte : bytes) take(byte, 0);
  update();
}

void Uart16550::receive_break() {
  take(0, kBreak);
  update();
}

}  // namespace rhea::devices
