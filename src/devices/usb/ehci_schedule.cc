// The schedules: chapter 4.
#include <algorithm>

#include "base/log.h"
#include "devices/usb/ehci.h"
#include "devices/usb/ehci_regs.h"
#include "devices/usb/guest_words.h"

namespace rhea::devices {

using namespace ehci;
using bus::usb::Reply;
using bus::usb::Status;

namespace {

constexpr int64_t kFrameNs = 1'000'000, kSoonNs = 125'000;
constexpr int kMostLateFrames = 16;
constexpr unsigned kMostSteps = 256, kMostTransfers = 64;
constexpr uint32_t kBytesPerRun = 64 << 10;  // a frame's eight microframes of 13 packets, about
constexpr uint32_t kMostAtOnce = 16 << 10;
constexpr uint32_t kLargestTransfer = 5 * 4096;

uint32_t bytes_left(uint32_t token) {
  return token >> 16 & 0x7fff;
}

}  // namespace

// The timer's next turn is in `ns` at the latest.
void Ehci::hurry(int64_t ns) {
  if ((command_ & kRun) == 0) return;
  const int64_t now = wiring_.clock.now_ns();
  timer_->arm(std::min(frame_ends_ns_ > now ? frame_ends_ns_ : now, now + ns));
}

void Ehci::timer_fired() {
  const int64_t now = wiring_.clock.now_ns();
  budget_ = kBytesPerRun;
  next_frame(now);
  const bool progress = run_async();
  if ((command_ & kDoorbell) != 0) {
    command_ &= ~kDoorbell;
    status_ |= kAsyncAdvance;
  }
  update_interrupt();
  if ((command_ & kRun) != 0)
    timer_->arm(progress ? std::min(frame_ends_ns_, now + kSoonNs) : frame_ends_ns_);
}

// The frames that are over by now. A late timer makes up for those it missed, but not for a second of them.
void Ehci::next_frame(int64_t now) {
  if (now - frame_ends_ns_ > kMostLateFrames * kFrameNs) frame_ends_ns_ = now - kMostLateFrames * kFrameNs;
  while (frame_ends_ns_ <= now && (command_ & kRun) != 0) {
    frame_ends_ns_ += kFrameNs;
    run_periodic();
    const uint32_t before = index_;
    index_ = (index_ + 8) & 0x3fff;
    if (((index_ ^ before) & 0x2000) != 0) status_ |= kRollover;
  }
}

// 4.6: the frame's list. Queues that ask for it are served once a frame, whatever their microframes.
void Ehci::run_periodic() {
  if ((status_ & kPeriodicRuns) == 0) return;
  uint32_t link = kTerminate;
  if (!read_words(periodic_ + (index_ >> 3 & 0x3ff) * 4, {&link, 1})) return;
  for (unsigned steps = 0; steps < kMostSteps && (link & kTerminate) == 0; ++steps) {
    if ((link & kLinkType) == kTypeQueue) {
      if (run_queue(link & kLinkAddress, link) == Step::Idle && (command_ & kRun) == 0) return;
    } else if (!read_words(link & kLinkAddress, {&link, 1})) {
      return;
    }
  }
}

// 4.8: round the ring until nobody makes progress. Whether there was any.
bool Ehci::run_async() {
  if ((status_ & kAsyncRuns) == 0 || async_ == 0) return false;
  bool any = false;
  uint32_t at = async_;
  uint32_t first_idle = 0;  // the queue where a round without progress began
  for (unsigned steps = 0; steps < kMostSteps && budget_ != 0; ++steps) {
    if (at == first_idle) break;
    uint32_t link = kTerminate;
    const Step step = run_queue(at, link);
    if ((command_ & kRun) == 0) return any;
    if (step == Step::Progress) {
      any = true;
      first_idle = 0;
    } else if (first_idle == 0) {
      first_idle = at;
    }
    if ((link & kTerminate) != 0 || (link & kLinkType) != kTypeQueue) break;
    at = link & kLinkAddress;
  }
  return any;
}

// 4.10: one queue, for as long as its transfers go on. `link` is where its list goes on.
Ehci::Step Ehci::run_queue(uint32_t at, uint32_t& link) {
  Queue queue{.at = at};
  link = kTerminate;
  if (!read_words(at, queue.words)) return Step::Idle;
  link = queue.words[kLink];
  Step out = Step::Idle;
  for (unsigned count = 0; count < kMostTransfers && budget_ != 0; ++count) {
    const uint32_t token = queue.words[kToken];
    if ((token & kStopped) != 0) break;
    if ((token & kActive) == 0 && !next_transfer(queue)) break;
    const Step step = transfer(queue);
    if (step == Step::Progress) out = Step::Progress;
    if (step != Step::Progress) break;
  }
  // The horizontal link and the characteristics are the driver's.
  if (queue.changed) write_words(at + kCurrent * 4, std::span(queue.words).subspan(kCurrent));
  return out;
}

// 4.10.2: after a short packet at the alternate one.
bool Ehci::next_transfer(Queue& queue) {
  uint32_t at = queue.words[kNext];
  if (bytes_left(queue.words[kToken]) != 0 && (queue.words[kAlternate] & kTerminate) == 0)
    at = queue.words[kAlternate];
  if ((at & kTerminate) != 0) return false;
  std::array<uint32_t, 8> transfer{};
  if (!read_words(at & kLinkAddress, transfer) || (transfer[2] & kActive) == 0) return false;
  const uint32_t toggle = queue.words[kToken] & kToggle;
  queue.words[kCurrent] = at & kLinkAddress;
  std::ranges::copy(transfer, queue.words.begin() + kNext);
  // 3.6.2, DTC: the toggle is the queue's.
  if ((queue.words[kCharacteristics] & kToggleControl) == 0)
    queue.words[kToken] = (queue.words[kToken] & ~kToggle) | toggle;
  queue.changed = true;
  return true;
}

// The active transfer, as far as the device and the budget go.
Ehci::Step Ehci::transfer(Queue& queue) {
  Step out = Step::Waits;
  while (budget_ != 0) {
    const uint32_t token = queue.words[kToken];
    const uint32_t packet = std::max(queue.words[kCharacteristics] >> 16 & 0x7ff, 1u);
    const uint32_t most = std::max(kMostAtOnce / packet * packet, packet);
    const uint32_t left = bytes_left(token);
    if (left > kLargestTransfer) {
      guest_error("ehci: a transfer of {} bytes", left);
      queue.words[kToken] = (token & ~kActive) | kStopped | kTransactionError;
      retire(queue, false);
      return Step::Progress;
    }
    const uint32_t length = std::min(left, most);
    const Reply reply = transact(queue, length);
    switch (reply.status) {
      case Status::Nak: return out;
      case Status::Stall:
        queue.words[kToken] = (token & ~kActive) | kStopped;
        retire(queue, false);
        return Step::Progress;
      case Status::NoResponse:
        // 4.10.3: three times, then the queue halts.
        queue.words[kToken] =
            ((token & kErrorCount) > kOneError ? token - kOneError : token & ~kErrorCount & ~kActive) |
            kTransactionError;
        queue.changed = true;
        if ((queue.words[kToken] & kActive) != 0) break;
        queue.words[kToken] |= kStopped;
        retire(queue, false);
        return Step::Progress;
      case Status::Ack: {
        const auto moved = static_cast<uint32_t>(std::min<size_t>(reply.length, length));
        const bool is_short = moved < length;
        budget_ -= std::min(budget_, std::max(moved, packet));
        out = Step::Progress;
        advance(queue, moved, is_short);
        if ((queue.words[kToken] & kActive) == 0) return out;
        break;
      }
    }
  }
  return out;
}

// 3.5.3, 3.5.4: the token and the offset in the buffer after that many bytes.
void Ehci::advance(Queue& queue, uint32_t bytes, bool is_short) {
  uint32_t& token = queue.words[kToken];
  const uint32_t left = bytes_left(token) - bytes;
  const uint32_t at = (queue.words[kBuffers] & 0xfff) + bytes;
  const uint32_t page = std::min((token >> 12 & 7) + (at >> 12), 7u);
  const uint32_t packet = std::max(queue.words[kCharacteristics] >> 16 & 0x7ff, 1u);
  const uint32_t packets = std::max((bytes + packet - 1) / packet, 1u);
  if (packets % 2 != 0) token ^= kToggle;
  token = (token & 0x80008fff) | left << 16 | page << 12;
  queue.words[kBuffers] = (queue.words[kBuffers] & ~0xfffu) | (at & 0xfff);
  queue.changed = true;
  if (left != 0 && !is_short) return;
  token &= ~kActive;
  retire(queue, is_short);
}

// The transfer is over: its descriptor gets the token, software its interrupt.
void Ehci::retire(Queue& queue, bool is_short) {
  queue.changed = true;
  const uint32_t token = queue.words[kToken];
  write_words((queue.words[kCurrent] & kLinkAddress) + 8, {&token, 1});
  if ((token & (kStopped | kBabble | kTransactionError)) != 0) status_ |= kErrorInt;
  if ((token & kStopped) != 0 || (token & kOnComplete) != 0 || (is_short && (token >> 8 & 3) == kPidIn))
    status_ |= kUsbInt;
}

Reply Ehci::transact(Queue& queue, uint32_t length) {
  const uint32_t characteristics = queue.words[kCharacteristics];
  const unsigned endpoint = characteristics >> 8 & 15;
  const uint32_t pid = queue.words[kToken] >> 8 & 3;
  bus::usb::UsbDevice* device = find_device(characteristics & 0x7f);
  if (device == nullptr) return {Status::NoResponse};
  std::vector<uint8_t> data(length);
  if (pid == kPidIn) {
    const Reply reply = device->in(endpoint, data);
    if (reply.status == Status::Ack &&
        !move(queue, std::span(data).first(std::min(reply.length, data.size())), true))
      return {Status::NoResponse};
    return reply;
  }
  if (!move(queue, data, false)) return {Status::NoResponse};
  if (pid == kPidOut) return device->out(endpoint, data);
  if (pid != kPidSetup || data.size() != 8) return {Status::NoResponse};
  return device->setup(std::span<const uint8_t, 8>(data.data(), 8));
}

// Between the device and the pages of the transfer's buffer, from where it is.
bool Ehci::move(const Queue& queue, std::span<uint8_t> data, bool to_memory) {
  unsigned page = queue.words[kToken] >> 12 & 7;
  uint32_t offset = queue.words[kBuffers] & 0xfff;
  while (!data.empty()) {
    if (page > 4) return false;
    const auto part = data.first(std::min<size_t>(data.size(), 4096 - offset));
    const uint32_t address = (queue.words[kBuffers + page] & ~0xfffu) + offset;
    if (!(to_memory ? dma_write(address, part) : dma_read(address, part))) {
      raise(kSystemError);
      return false;
    }
    data = data.subspan(part.size());
    offset = 0;
    ++page;
  }
  return true;
}

bus::usb::UsbDevice* Ehci::find_device(uint8_t address) {
  return find_below(ports_, address,
                    [this](size_t i) { return (port_[i] & (kEnabled | kSuspend)) == kEnabled; });
}

// 4.15.2.4: memory that is not there stops the controller.
bool Ehci::read_words(uint32_t at, std::span<uint32_t> to) {
  if (read_guest_words(to, [&](std::span<uint8_t> raw) { return dma_read(at, raw); })) return true;
  status_ = (status_ & ~(kPeriodicRuns | kAsyncRuns)) | kHalted | kSystemError;
  command_ &= ~kRun;
  update_interrupt();
  return false;
}

bool Ehci::write_words(uint32_t at, std::span<const uint32_t> from) {
  return write_guest_words(from, [&](std::span<const uint8_t> raw) { return dma_write(at, raw); });
}

}  // namespace rhea::devices
