// Registers and ports.
#include "devices/usb/ehci.h"

#include "base/failf.h"
#include "devices/usb/ehci_regs.h"

namespace rhea::devices {

using namespace ehci;
using bus::usb::Speed;
using bus::usb::UsbPort;

Ehci::Ehci(const Wiring& wiring)
    : PciFunction({.vendor = 0x8086,
                   .device = wiring.device,
                   .revision = 0x10,
                   .class_code = 0x0c0320,
                   .interrupt_pin = wiring.interrupt_pin}),
      wiring_(wiring) {
  add_bar(0, bus::pci::BarKind::Memory32, kIoSize, *this);
  define8(0x60, 0x20);        // SBRN: release 2.0
  define8(0x61, 0x20, 0x3f);  // FLADJ
  for (unsigned i = 0; i < kPorts; ++i) {
    ports_[i] = std::make_unique<UsbPort>(static_cast<bus::usb::PortOwner&>(*this), i, std::to_string(i + 1),
                                          speed_bit(Speed::High));
    bus_.add(*ports_[i]);
  }
  timer_ = wiring_.clock.make_timer([this] { timer_fired(); });
  reset_controller();
}

Ehci::~Ehci() = default;

void Ehci::reset(bus::ResetKind kind) {
  PciFunction::reset(kind);
  reset_controller();
}

void Ehci::reset_controller() {
  timer_->cancel();
  command_ = kDefaultThreshold;
  status_ = kHalted;
  enabled_ = index_ = periodic_ = async_ = configured_ = 0;
  frame_ends_ns_ = 0;
  budget_ = 0;
  for (unsigned i = 0; i < kPorts; ++i) {
    port_[i] = kPower;
    if (companion_[i] != nullptr) {
      set_owner(i, true);
    } else if (ports_[i]->device() != nullptr) {
      port_[i] |= kConnected | kConnectChange;
    }
  }
  update_interrupt();
}

void Ehci::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  v.field("command", command_);
  v.field("status", status_);
  v.field("enabled", enabled_);
  v.field("index", index_);
  v.field("periodic", periodic_);
  v.field("async", async_);
  v.field("configured", configured_);
  v.field("budget", budget_);
  for (uint32_t& port : port_) v.field("port", port);
  v.field("frame_ends_ns", frame_ends_ns_);
  if (!v.loading()) return;
  index_ &= 0x3fff;
  periodic_ &= ~0xfffu;
  async_ &= kLinkAddress;
  for (unsigned i = 0; i < kPorts; ++i) {
    if (companion_[i] == nullptr) port_[i] &= ~kOwner;
    const uint32_t bits = port_[i];
    set_owner(i, companion_owns(i));
    port_[i] = bits;
    if (ports_[i]->device() == nullptr) port_[i] &= ~(kConnected | kEnabled);
  }
  timer_->cancel();
  if ((command_ & kRun) == 0) return;
  const int64_t now = wiring_.clock.now_ns();
  if (frame_ends_ns_ < 0 || frame_ends_ns_ > now + 1'000'000) frame_ends_ns_ = now;
  timer_->arm(frame_ends_ns_);
}

// ---- ports ----

Result<> Ehci::add_companion(unsigned first, std::span<UsbPort* const> ports) {
  if (first + ports.size() > kPorts)
    return failf(ErrorKind::Invalid, "firstport + port number of the companion exceeds {} ports", kPorts);
  for (size_t i = 0; i < ports.size(); ++i) {
    if (companion_[first + i] != nullptr)
      return failf(ErrorKind::Invalid, "port {} has a companion already", first + i);
  }
  ++companions_;
  for (unsigned i = 0; i < ports.size(); ++i) {
    companion_[first + i] = ports[i];
    ports_[first + i]->set_speeds(speed_bit(Speed::Low) | speed_bit(Speed::Full) | speed_bit(Speed::High));
    set_owner(first + i, true);
  }
  return {};
}

// The port's device goes along.
void Ehci::set_owner(unsigned index, bool companion) {
  uint32_t& bits = port_[index];
  if (companion_[index] == nullptr) return;
  bits = (bits & ~kOwner) | (companion ? kOwner : 0);
  UsbPort& port = *ports_[index];
  UsbPort& other = *companion_[index];
  const bool can_go = port.device() != nullptr && other.free() && other.takes(port.device()->speeds());
  if (companion && can_go) port.lend_to(other);
  if (!companion) port.take_back();
}

void Ehci::attached(UsbPort& port) {
  if (companion_owns(port.index())) return set_owner(port.index(), true);
  port_[port.index()] |= kConnected | kConnectChange;
  raise(kPortChange);
}

void Ehci::detached(UsbPort& port) {
  uint32_t& bits = port_[port.index()];
  if ((bits & kEnabled) != 0) bits |= kEnableChange;
  bits = (bits & ~(kConnected | kEnabled | kSuspend | kReset | kResume)) | kConnectChange;
  raise(kPortChange);
}

void Ehci::wake_host(UsbPort& port) {
  uint32_t& bits = port_[port.index()];
  if ((bits & kSuspend) == 0) return;
  bits |= kResume;
  raise(kPortChange);
}

// 2.3.9. The end of a reset enables, if the device runs at high speed.
void Ehci::write_port(unsigned index, uint32_t value) {
  uint32_t& bits = port_[index];
  bus::usb::UsbDevice* device = ports_[index]->device();
  bits &= ~(value & (kConnectChange | kEnableChange | kOverCurrentChange));
  if ((value & kEnabled) == 0) bits &= ~kEnabled;
  const bool was_reset = (bits & kReset) != 0;
  if ((value & kReset) != 0) {
    if (!was_reset && device != nullptr) device->bus_reset();
    bits = (bits & ~(kEnabled | kSuspend | kResume)) | kReset;
  } else if (was_reset) {
    bits &= ~kReset;
    if (device != nullptr && device->speed() == Speed::High) bits |= kEnabled;
  }
  if ((value & kSuspend) != 0 && (bits & (kEnabled | kReset)) == kEnabled) bits |= kSuspend;
  if ((value & kResume) != 0 && (bits & kSuspend) != 0) {
    bits |= kResume;
  } else if ((value & kResume) == 0 && (bits & kResume) != 0) {
    bits &= ~(kResume | kSuspend);
  }
  bits = (bits & ~kWakeBits) | (value & kWakeBits);
  const bool companion = (value & kOwner) != 0;
  if (companion != companion_owns(index) && (companion || configured_ != 0)) set_owner(index, companion);
}

// ---- registers ----

uint32_t Ehci::read32(unsigned offset) const {
  switch (offset) {
    case 0: return 0x01000000 | kCapLength;
    case kStructural: return kPorts | (companions_ != 0 ? 2u << 8 | companions_ << 12 : 0);
    case kCapabilities: return 0;  // 32-bit addresses, 1024 frames
    case kCommand: return command_;
    case kStatus: return status_;
    case kInterruptEnable: return enabled_;
    case kFrameIndex: return index_;
    case kPeriodicList: return periodic_;
    case kAsyncList: return async_;
    case kConfigFlag: return configured_;
    default: break;
  }
  if (offset < kPort0 || offset >= kPort0 + 4 * kPorts) return 0;
  const unsigned index = (offset - kPort0) / 4;
  uint32_t bits = port_[index];
  // The line of a device that is not enabled tells low speed from the others.
  if ((bits & (kConnected | kEnabled)) == kConnected && ports_[index]->device() != nullptr)
    bits |= ports_[index]->device()->speed() == Speed::Low ? kLineK : kLineJ;
  return bits;
}

uint64_t Ehci::io_read(uint64_t offset, unsigned) {
  const auto at = static_cast<unsigned>(offset);
  return read32(at & ~3u) >> (8 * (at & 3));
}

// 2: software writes whole registers; narrower writes fill up with what is there, ones that clear apart.
void Ehci::io_write(uint64_t offset, unsigned size, uint64_t value) {
  const auto at = static_cast<unsigned>(offset) & ~3u;
  if (size == 4) return write32(at, static_cast<uint32_t>(value));
  const unsigned shift = 8 * (static_cast<unsigned>(offset) & 3);
  const uint32_t mask = (size == 1 ? 0xffu : 0xffffu) << shift;
  uint32_t old = read32(at) & ~mask;
  if (at == kStatus) old = 0;
  if (at >= kPort0) old &= ~(kConnectChange | kEnableChange | kOverCurrentChange);
  write32(at, old | (static_cast<uint32_t>(value << shift) & mask));
}

void Ehci::write32(unsigned offset, uint32_t value) {
  switch (offset) {
    case kCommand: return write_command(value);
    case kStatus: status_ &= ~(value & kStatusClear); break;
    case kInterruptEnable: enabled_ = value & kStatusClear; break;
    case kFrameIndex:
      if ((command_ & kRun) == 0) index_ = value & 0x3fff;
      break;
    case kPeriodicList: periodic_ = value & ~0xfffu; break;
    case kAsyncList: async_ = value & kLinkAddress; break;
    case kConfigFlag:
      // 4.2.1: all ports to us, or to the companions.
      if (configured_ == (value & 1)) break;
      configured_ = value & 1;
      for (unsigned i = 0; i < kPorts; ++i) set_owner(i, configured_ == 0);
      break;
    default:
      if (offset >= kPort0 && offset < kPort0 + 4 * kPorts) write_port((offset - kPort0) / 4, value);
      break;
  }
  update_interrupt();
}

void Ehci::write_command(uint32_t value) {
  if ((value & kHostReset) != 0) {
    for (auto& port : ports_) {
      if (port->device() != nullptr) port->device()->bus_reset();
    }
    reset_controller();
    return;
  }
  const bool ran = (command_ & kRun) != 0;
  command_ = value & kCommandBits;
  if ((command_ & kRun) == 0) {
    status_ = (status_ & ~(kPeriodicRuns | kAsyncRuns)) | kHalted;
    timer_->cancel();
    return;
  }
  // 2.3.2: the schedules follow their bits at once.
  status_ &= ~(kHalted | kPeriodicRuns | kAsyncRuns);
  if ((command_ & kPeriodicEnable) != 0) status_ |= kPeriodicRuns;
  if ((command_ & kAsyncEnable) != 0) status_ |= kAsyncRuns;
  if (!ran) frame_ends_ns_ = wiring_.clock.now_ns();
  hurry(0);
}

void Ehci::raise(uint32_t bits) {
  status_ |= bits;
  update_interrupt();
}

void Ehci::update_interrupt() {
  set_intx((status_ & enabled_ & kStatusClear) != 0);
}

}  // namespace rhea::devices
