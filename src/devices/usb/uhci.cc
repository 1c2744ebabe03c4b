#include "devices/usb/uhci.h"

#include <algorithm>
#include <span>

#include "base/log.h"
#include "devices/usb/guest_words.h"

namespace rhea::devices {

using bus::usb::Reply;
using bus::usb::UsbPort;

namespace {

constexpr unsigned kIoSize = 32;
// 2.1: registers.
constexpr unsigned kCommand = 0, kStatus = 2, kInterruptEnable = 4, kFrame = 6, kFrameList = 8,
                   kFrameListHigh = 10, kSofModify = 12, kPort0 = 16, kPort1 = 18;
constexpr uint16_t kRun = 1, kHostReset = 2, kGlobalReset = 4, kResume = 16, kCommandBits = 0xff;
constexpr uint16_t kUsbInt = 1, kErrorInt = 2, kResumeDetect = 4, kSystemError = 8, kProcessError = 16,
                   kHalted = 32, kStatusClear = 31;
constexpr uint16_t kTimeoutEnable = 1, kResumeEnable = 2, kCompleteEnable = 4, kShortEnable = 8;
constexpr uint16_t kConnected = 1, kConnectChange = 2, kEnabled = 4, kEnableChange = 8, kPortResume = 0x40,
                   kPortAlways = 0x80, kLowSpeed = 0x100, kPortReset = 0x200, kSuspend = 0x1000;
constexpr uint16_t kLineJ = 0x10, kLineK = 0x20;
constexpr uint16_t kPortWritable = kEnabled | kPortResume | kPortReset | kSuspend;
// 3.1, 3.2: links and transfer descriptors.
constexpr uint32_t kTerminate = 1, kIsQueue = 2, kDepthFirst = 4, kLinkAddress = ~15u;
constexpr uint32_t kActive = 1u << 23, kStalled = 1u << 22, kNak = 1u << 19, kTimeout = 1u << 18,
                   kOnComplete = 1u << 24, kErrors = 3u << 27, kOneError = 1u << 27, kShortDetect = 1u << 29,
                   kActualLength = 0x7ff;
constexpr uint8_t kPidIn = 0x69, kPidOut = 0xe1, kPidSetup = 0x2d;
constexpr uint8_t kCompleted = 1, kShort = 2;  // pending_
constexpr int64_t kFrameNs = 1'000'000;
constexpr unsigned kBytesPerFrame = 1280, kMostSteps = 2048;
constexpr int kMostLateFrames = 16;

unsigned length_of(uint32_t token) {
  return ((token >> 21) + 1) & 0x7ff;
}

}  // namespace

Uhci::Uhci(const Wiring& wiring)
    : PciFunction({.vendor = 0x8086,
                   .device = wiring.device,
                   .revision = 1,
                   .class_code = 0x0c0300,
                   .interrupt_pin = wiring.interrupt_pin}),
      wiring_(wiring) {
  add_bar(4, bus::pci::BarKind::Io, kIoSize, *this);
  define8(0x60, 0x10);             // SBRN: release 1.0
  define16(0xc0, 0x2000, 0xafbf);  // LEGSUP: PIRQ enabled
  for (unsigned i = 0; i < kPorts; ++i) {
    ports_[i] = std::make_unique<UsbPort>(static_cast<bus::usb::PortOwner&>(*this), i, std::to_string(i + 1),
                                          speed_bit(bus::usb::Speed::Low) | speed_bit(bus::usb::Speed::Full));
    bus_.add(*ports_[i]);
  }
  timer_ = wiring_.clock.make_timer([this] { frame_over(); });
  reset_controller();
}

Uhci::~Uhci() = default;

void Uhci::reset(bus::ResetKind kind) {
  PciFunction::reset(kind);
  reset_controller();
}

void Uhci::reset_controller() {
  timer_->cancel();
  command_ = interrupt_enable_ = frame_ = 0;
  status_ = kHalted;
  pending_ = 0;
  frame_list_ = 0;
  sof_modify_ = 0x40;
  seen_.clear();
  for (unsigned i = 0; i < kPorts; ++i) {
    port_[i] = 0;
    if (ports_[i]->device() != nullptr) attached(*ports_[i]);
  }
  update_interrupt();
}

void Uhci::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  v.field("command", command_);
  v.field("status", status_);
  v.field("interrupt_enable", interrupt_enable_);
  v.field("frame", frame_);
  v.field("frame_list", frame_list_);
  v.field("sof_modify", sof_modify_);
  v.field("pending", pending_);
  for (uint16_t& port : port_) v.field("port", port);
  v.field("frame_ends_ns", frame_ends_ns_);
  if (!v.loading()) return;
  frame_ &= 0x7ff;
  frame_list_ &= ~0xfffu;
  if ((command_ & kRun) != 0) {
    int64_t now = wiring_.clock.now_ns();
    if (frame_ends_ns_ < 0 || frame_ends_ns_ > now + kFrameNs) frame_ends_ns_ = now;
    timer_->arm(frame_ends_ns_);
  } else {
    timer_->cancel();
  }
}

// ---- ports ----

void Uhci::attached(UsbPort& port) {
  uint16_t& bits = port_[port.index()];
  bits = static_cast<uint16_t>((bits & kSuspend) | kConnected | kConnectChange);
  if (port.device()->speed() == bus::usb::Speed::Low) bits |= kLowSpeed;
  wake_host(port);
}

void Uhci::detached(UsbPort& port) {
  uint16_t& bits = port_[port.index()];
  if ((bits & kEnabled) != 0) bits |= kEnableChange;
  bits = static_cast<uint16_t>((bits | kConnectChange) & ~(kConnected | kEnabled | kLowSpeed));
  wake_host(port);
}

// 2.1.2: seen only while the bus is suspended.
void Uhci::wake_host(UsbPort& port) {
  uint16_t& bits = port_[port.index()];
  if ((bits & kSuspend) != 0) bits |= kPortResume;
  if ((command_ & 8) == 0 && (status_ & kHalted) == 0) return;
  status_ |= kResumeDetect;
  update_interrupt();
}

void Uhci::write_port(unsigned index, uint16_t value) {
  uint16_t& bits = port_[index];
  bus::usb::UsbDevice* device = ports_[index]->device();
  bool reset_begins = (value & kPortReset) != 0 && (bits & kPortReset) == 0;
  bits = static_cast<uint16_t>(bits & ~(value & (kConnectChange | kEnableChange)));
  uint16_t wanted = value & kPortWritable;
  if (device == nullptr) wanted &= static_cast<uint16_t>(~kEnabled);
  if ((value & kPortReset) != 0) wanted &= static_cast<uint16_t>(~kEnabled);  // 2.1.7: a reset disables
  bits = static_cast<uint16_t>((bits & ~kPortWritable) | wanted);
  if (reset_begins && device != nullptr) device->bus_reset();
}

// ---- registers ----

uint16_t Uhci::read16(unsigned offset) const {
  switch (offset) {
    case kCommand: return command_;
    case kStatus: return status_;
    case kInterruptEnable: return interrupt_enable_;
    case kFrame: return frame_;
    case kFrameList: return static_cast<uint16_t>(frame_list_);
    case kFrameListHigh: return static_cast<uint16_t>(frame_list_ >> 16);
    case kSofModify: return sof_modify_;
    case kPort0:
    case kPort1: {
      uint16_t bits = port_[offset == kPort1];
      if ((bits & kConnected) != 0) bits |= (bits & kLowSpeed) != 0 ? kLineK : kLineJ;
      return bits | kPortAlways;
    }
    default: return offset >= 20 ? 0xff7f : 0;  // bit 7 tells that there are no more ports
  }
}

uint64_t Uhci::io_read(uint64_t offset, unsigned size) {
  uint32_t value = read16(static_cast<unsigned>(offset) & ~1u);
  if (size == 4) value |= uint32_t{read16((static_cast<unsigned>(offset) & ~1u) + 2)} << 16;
  return (offset & 1) != 0 ? value >> 8 : value;
}

void Uhci::io_write(uint64_t offset, unsigned size, uint64_t value) {
  auto at = static_cast<unsigned>(offset);
  if (size == 1) {
    unsigned shift = (at & 1) * 8;
    write16(at & ~1u, static_cast<uint16_t>(value << shift), static_cast<uint16_t>(0xff << shift));
    return;
  }
  write16(at & ~1u, static_cast<uint16_t>(value), 0xffff);
  if (size == 4) write16((at & ~1u) + 2, static_cast<uint16_t>(value >> 16), 0xffff);
}

// Bits outside of `mask` were not written.
void Uhci::write16(unsigned offset, uint16_t value, uint16_t mask) {
  auto merged = [value, mask](uint16_t old) { return static_cast<uint16_t>((old & ~mask) | (value & mask)); };
  switch (offset) {
    case kCommand: write_command(merged(command_)); return;
    case kStatus:
      status_ = static_cast<uint16_t>(status_ & ~(value & mask & kStatusClear));
      if ((value & mask & kUsbInt) != 0) pending_ = 0;
      break;
    case kInterruptEnable: interrupt_enable_ = merged(interrupt_enable_) & 15; break;
    case kFrame:
      if ((command_ & kRun) == 0) frame_ = merged(frame_) & 0x7ff;
      break;
    case kFrameList:
      frame_list_ = (frame_list_ & 0xffff0000) | (merged(static_cast<uint16_t>(frame_list_)) & 0xf000u);
      break;
    case kFrameListHigh:
      frame_list_ = (frame_list_ & 0xffff) | uint32_t{merged(static_cast<uint16_t>(frame_list_ >> 16))} << 16;
      break;
    case kSofModify: sof_modify_ = static_cast<uint8_t>(merged(sof_modify_) & 0x7f); break;
    case kPort0:
    case kPort1: {
      // Bits that a narrow write leaves alone keep their value; those cleared by ones are not written.
      unsigned index = offset == kPort1 ? 1 : 0;
      write_port(index, static_cast<uint16_t>((value & mask) | (port_[index] & ~mask & kPortWritable)));
      break;
    }
    default: break;
  }
  update_interrupt();
}

void Uhci::write_command(uint16_t value) {
  if ((value & kHostReset) != 0) {
    reset_controller();
    return;
  }
  if ((value & kGlobalReset) != 0 && (command_ & kGlobalReset) == 0) {
    for (auto& port : ports_) {
      if (port->device() != nullptr) port->device()->bus_reset();
    }
    reset_controller();
    command_ = kGlobalReset;
    return;
  }
  if ((command_ & kResume) != 0 && (value & kResume) == 0) {
    for (uint16_t& port : port_) port = static_cast<uint16_t>(port & ~kPortResume);
  }
  bool ran = (command_ & kRun) != 0;
  command_ = value & kCommandBits;
  if ((command_ & kRun) != 0) {
    status_ = static_cast<uint16_t>(status_ & ~kHalted);
    if (!ran) {
      frame_ends_ns_ = wiring_.clock.now_ns();
      start_frames();
    }
  } else {
    status_ |= kHalted;
    timer_->cancel();
  }
}

void Uhci::update_interrupt() {
  bool completed = ((pending_ & kCompleted) != 0 && (interrupt_enable_ & kCompleteEnable) != 0) ||
                   ((pending_ & kShort) != 0 && (interrupt_enable_ & kShortEnable) != 0);
  bool error = (status_ & kErrorInt) != 0 && (interrupt_enable_ & kTimeoutEnable) != 0;
  bool resume = (status_ & kResumeDetect) != 0 && (interrupt_enable_ & kResumeEnable) != 0;
  set_intx(completed || error || resume || (status_ & (kProcessError | kSystemError)) != 0);
}

void Uhci::halt(uint16_t why) {
  status_ |= static_cast<uint16_t>(why | kHalted);
  command_ &= static_cast<uint16_t>(~kRun);
  timer_->cancel();
}

// ---- frames ----

void Uhci::start_frames() {
  frame_ends_ns_ += kFrameNs;
  timer_->arm(frame_ends_ns_);
}

// A late timer makes up for the frames it missed, but not for a second of them.
void Uhci::frame_over() {
  int64_t now = wiring_.clock.now_ns();
  if (now - frame_ends_ns_ > kMostLateFrames * kFrameNs) frame_ends_ns_ = now - kMostLateFrames * kFrameNs;
  for (;;) {
    run_frame();
    frame_ = (frame_ + 1) & 0x7ff;
    if ((command_ & kRun) == 0 || frame_ends_ns_ + kFrameNs > now) break;
    frame_ends_ns_ += kFrameNs;
  }
  update_interrupt();
  if ((command_ & kRun) != 0) start_frames();
}

// 3.4.1, figure 6: the frame's list, queues breadth first unless a descriptor says otherwise.
void Uhci::run_frame() {
  bool any = std::ranges::any_of(port_, [](uint16_t bits) { return (bits & kEnabled) != 0; });
  if (!any) return;
  budget_ = kBytesPerFrame;
  seen_.clear();
  uint32_t link = kTerminate;
  if (!read_words(frame_list_ + (frame_ & 0x3ffu) * 4, {&link, 1})) return;
  for (unsigned steps = 0; steps < kMostSteps && (link & kTerminate) == 0; ++steps) {
    if ((link & kIsQueue) != 0) {
      if (seen_before(link & kLinkAddress)) return;
      if (!run_queue(link & kLinkAddress, link)) return;
      continue;
    }
    Td td{};
    if (run_td(link & kLinkAddress, false, td) == Step::Halt) return;
    link = td.link;
  }
}

// Drivers close the list into a ring so that bulk transfers use what is left of a frame: once round without
// progress is enough.
bool Uhci::seen_before(uint32_t queue) {
  if (std::ranges::find(seen_, queue) != seen_.end()) return true;
  seen_.push_back(queue);
  return false;
}

// One queue; `next` is where to go on. False: the frame is over.
bool Uhci::run_queue(uint32_t at, uint32_t& next) {
  uint32_t queue[2] = {};
  if (!read_words(at, queue)) return false;
  next = queue[0];
  uint32_t element = queue[1];
  for (unsigned steps = 0; steps < kMostSteps && (element & kTerminate) == 0; ++steps) {
    if ((element & kIsQueue) != 0) {  // a queue in a queue
      next = element;
      return true;
    }
    Td td{};
    Step step = run_td(element & kLinkAddress, true, td);
    if (step == Step::Halt) return false;
    if (step == Step::NotDone) return true;
    element = td.link;
    write_word(at + 4, element);
    if ((element & kDepthFirst) == 0) return true;
  }
  return true;
}

// Done: the queue goes on to the next descriptor. Halt: nothing more in this frame.
Uhci::Step Uhci::run_td(uint32_t at, bool in_queue, Td& td) {
  uint32_t words[4] = {};
  if (!read_words(at, words)) return Step::Halt;
  td = {words[0], words[1], words[2], words[3]};
  if ((td.status & kActive) == 0) return in_queue ? Step::NotDone : Step::Done;
  auto pid = static_cast<uint8_t>(td.token);
  unsigned length = length_of(td.token);
  if ((pid != kPidIn && pid != kPidOut && pid != kPidSetup) || length > kBytesPerFrame) {
    guest_error("uhci: transfer descriptor at {:#x} with token {:#x}", at, td.token);
    halt(kProcessError);
    return Step::Halt;
  }
  if (length > budget_) return Step::Halt;
  std::vector<uint8_t> data(length);
  Reply reply = transact(td, data);
  Step step = Step::NotDone;
  switch (reply.status) {
    case bus::usb::Status::Nak: td.status |= kNak; break;
    case bus::usb::Status::NoResponse: failed(td); break;
    case bus::usb::Status::Stall:
      td.status = (td.status & ~kActive) | kStalled;
      status_ |= kErrorInt;
      break;
    case bus::usb::Status::Ack: {
      budget_ -= length;
      seen_.clear();
      td.status = (td.status & ~(kActive | kStalled | kNak | kTimeout | kActualLength)) |
                  ((static_cast<uint32_t>(reply.length) - 1) & kActualLength);
      bool is_short = pid == kPidIn && reply.length < length;
      if ((td.status & kOnComplete) != 0) pending_ |= kCompleted;
      // 3.2.2, SPD: a short packet stops its queue.
      bool stops = is_short && in_queue && (td.status & kShortDetect) != 0;
      if (stops) pending_ |= kShort;
      if (pending_ != 0) status_ |= kUsbInt;
      step = stops ? Step::NotDone : Step::Done;
      break;
    }
  }
  write_word(at + 4, td.status);
  return step;
}

void Uhci::failed(Td& td) {
  td.status |= kTimeout;
  if ((td.status & kErrors) == 0) return;  // no limit
  td.status -= kOneError;
  if ((td.status & kErrors) != 0) return;
  td.status = (td.status & ~kActive) | kStalled;
  status_ |= kErrorInt;
  if ((td.status & kOnComplete) != 0) {
    pending_ |= kCompleted;
    status_ |= kUsbInt;
  }
}

Reply Uhci::transact(const Td& td, std::vector<uint8_t>& data) {
  auto pid = static_cast<uint8_t>(td.token);
  unsigned endpoint = td.token >> 15 & 15;
  bus::usb::UsbDevice* device = find_device(static_cast<uint8_t>(td.token >> 8 & 0x7f));
  if (device == nullptr) return {bus::usb::Status::NoResponse};
  if (pid == kPidIn) {
    Reply reply = device->in(endpoint, data);
    if (reply.status == bus::usb::Status::Ack && !dma_write(td.buffer, std::span(data).first(reply.length)))
      return {bus::usb::Status::NoResponse};
    return reply;
  }
  if (!data.empty() && !dma_read(td.buffer, data)) return {bus::usb::Status::NoResponse};
  if (pid == kPidOut) return device->out(endpoint, data);
  if (data.size() != 8) return {bus::usb::Status::NoResponse};
  return device->setup(std::span<const uint8_t, 8>(data.data(), 8));
}

bus::usb::UsbDevice* Uhci::find_device(uint8_t address) {
  return find_below(ports_, address,
                    [this](size_t i) { return (port_[i] & (kEnabled | kSuspend)) == kEnabled; });
}

bool Uhci::read_words(uint32_t at, std::span<uint32_t> to) {
  if (read_guest_words(to, [&](std::span<uint8_t> raw) { return dma_read(at, raw); })) return true;
  halt(kSystemError);
  return false;
}

void Uhci::write_word(uint32_t at, uint32_t value) {
  static_cast<void>(
      write_guest_words({&value, 1}, [&](std::span<const uint8_t> raw) { return dma_write(at, raw); }));
}

}  // namespace rhea::devices
