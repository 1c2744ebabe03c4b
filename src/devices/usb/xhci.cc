// Registers of the controller; see xhci.h.
#include "devices/usb/xhci.h"

#include <algorithm>

#include "base/log.h"

namespace rhea::devices {

using namespace xhci;

namespace {

constexpr unsigned kMsixCapability = 0x90;
// 7.2: supported protocol capabilities, in the space of the capability registers.
constexpr unsigned kExtended2 = 0x20, kExtended3 = 0x30;
constexpr int64_t kMicroframeNs = 125'000;
constexpr unsigned kEraseSegments = 4;  // 2^n entries of event ring segment tables

uint32_t low(uint64_t value) {
  return static_cast<uint32_t>(value);
}
uint32_t high(uint64_t value) {
  return static_cast<uint32_t>(value >> 32);
}
void set_low(uint64_t& to, uint32_t value) {
  to = (to & 0xffffffff00000000) | value;
}
void set_high(uint64_t& to, uint32_t value) {
  to = (to & 0xffffffff) | uint64_t{value} << 32;
}

}  // namespace

Xhci::Xhci(const Wiring& wiring)
    : PciFunction({.vendor = wiring.vendor,
                   .device = wiring.device,
                   .revision = wiring.revision,
                   .class_code = 0x0c0330,
                   .interrupt_pin = 1}),
      wiring_(wiring),
      msix_(*this, kMsixCapability, std::clamp(wiring.interrupters, 1u, kInterrupterCount),
            {.bar = 0, .table = kMsixTable, .pending = kMsixPending}),
      slots_(std::clamp(wiring.slots, 1u, kMostSlots) + 1),
      interrupters_(std::clamp(wiring.interrupters, 1u, kInterrupterCount)) {
  add_bar(0, bus::pci::BarKind::Memory64, kBarSize, registers_);
  define8(0x60, 0x30);  // SBRN: release 3.0
  define8(0x61, 0x20);  // FLADJ
  make_ports();
  later_ = wiring_.clock.make_timer([this] {
    auto waiting = std::exchange(waiting_, {});
    for (auto [slot, endpoint] : waiting) run_endpoint(slot, endpoint);
  });
  reset_controller();
}

Xhci::~Xhci() = default;

void Xhci::reset(bus::ResetKind kind) {
  PciFunction::reset(kind);
  msix_.reset();
  reset_controller();
}

void Xhci::reset_controller() {
  later_->cancel();
  waiting_.clear();
  command_ = notifications_ = configure_ = 0;
  status_ = kHalted;
  contexts_ = 0;
  commands_ = {};
  commands_run_ = false;
  for (Slot& slot : slots_) slot = {};
  for (Interrupter& interrupter : interrupters_) interrupter = {};
  for (Port& port : ports_) {
    port.power = port.link = 0;
    connect(port);
  }
  set_intx(false);
}

uint32_t Xhci::frame_index() const {
  if (!running()) return 0;
  return static_cast<uint32_t>((wiring_.clock.now_ns() - started_ns_) / kMicroframeNs) & 0x3fff;
}

// ---- dispatch ----

uint64_t Xhci::Registers::io_read(uint64_t offset, unsigned size) {
  if (offset >= kMsixPending) {
    uint64_t at = offset - kMsixPending + owner.msix_.pending_offset();
    return at + size <= owner.msix_.io_size() ? owner.msix_.io_read(at, size) : 0;
  }
  if (offset >= kMsixTable) {
    uint64_t at = offset - kMsixTable;
    return at + size <= owner.msix_.table_size() ? owner.msix_.io_read(at, size) : 0;
  }
  uint64_t value = owner.read_register(offset & ~uint64_t{3});
  if (size == 8) value |= uint64_t{owner.read_register((offset & ~uint64_t{3}) + 4)} << 32;
  return value;
}

void Xhci::Registers::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset >= kMsixTable) {
    uint64_t at = offset - kMsixTable;
    if (at + size <= owner.msix_.table_size()) owner.msix_.io_write(at, size, value);
    return;
  }
  owner.write_register(offset & ~uint64_t{3}, low(value));
  if (size == 8) owner.write_register((offset & ~uint64_t{3}) + 4, high(value));
}

uint32_t Xhci::read_register(uint64_t offset) {
  if (offset < kOperational) return read_capability(offset);
  if (offset < kPortRegisters) return read_operational(offset - kOperational);
  if (offset < kRuntime) {
    uint64_t at = offset - kPortRegisters;
    return at / kPortStride < ports_.size()
               ? read_port(static_cast<unsigned>(at / kPortStride), static_cast<unsigned>(at % kPortStride))
               : 0;
  }
  if (offset < kDoorbells) {
    if (offset == kRuntime) return frame_index();
    return offset >= kRuntime + kInterrupters ? read_interrupter(offset - kRuntime - kInterrupters) : 0;
  }
  return 0;  // doorbells read as zero
}

void Xhci::write_register(uint64_t offset, uint32_t value) {
  if (offset < kOperational) return;
  if (offset < kPortRegisters) {
    write_operational(offset - kOperational, value);
  } else if (offset < kRuntime) {
    uint64_t at = offset - kPortRegisters;
    if (at / kPortStride < ports_.size())
      write_port(static_cast<unsigned>(at / kPortStride), static_cast<unsigned>(at % kPortStride), value);
  } else if (offset < kDoorbells) {
    if (offset >= kRuntime + kInterrupters) write_interrupter(offset - kRuntime - kInterrupters, value);
  } else if ((offset - kDoorbells) / 4 < slots_.size()) {
    write_doorbell(static_cast<unsigned>((offset - kDoorbells) / 4), value);
  }
}

// ---- capability registers (5.3) ----

uint32_t Xhci::read_capability(uint64_t offset) const {
  auto ports = static_cast<uint32_t>(ports_.size());
  auto slots = static_cast<uint32_t>(slots_.size() - 1);
  auto interrupters = static_cast<uint32_t>(interrupters_.size());
  switch (offset) {
    case 0x00: return 0x01000000 | static_cast<uint32_t>(kOperational);  // HCIVERSION 1.0
    case 0x04: return ports << 24 | interrupters << 8 | slots;
    case 0x08: return kEraseSegments << 4;  // IST 0: isochronous schedules need no head start
    case 0x0c: return 0;
    case 0x10: return (kExtended2 / 4) << 16 | 1;  // 64-bit addresses, contexts of 32 bytes
    case 0x14: return kDoorbells;
    case 0x18: return kRuntime;
    case kExtended2: return 2u << 24 | ((kExtended3 - kExtended2) / 4) << 8 | 2;
    case kExtended3: return 3u << 24 | 2;
    case kExtended2 + 4:
    case kExtended3 + 4: return 0x20425355;  // "USB "
    case kExtended2 + 8: return wiring_.usb2_ports << 8 | 1;
    case kExtended3 + 8: return wiring_.usb3_ports << 8 | (wiring_.usb2_ports + 1);
    default: return 0;
  }
}

// ---- operational registers (5.4) ----

uint32_t Xhci::read_operational(uint64_t offset) const {
  switch (offset) {
    case 0x00: return command_;
    case 0x04: return status_;
    case 0x08: return 1;  // pages of 4 KiB
    case 0x14: return notifications_;
    case 0x18: return commands_run_ ? static_cast<uint32_t>(kCommandRunning) : 0;
    case 0x30: return low(contexts_);
    case 0x34: return high(contexts_);
    case 0x38: return configure_;
    default: return 0;
  }
}

void Xhci::write_operational(uint64_t offset, uint32_t value) {
  switch (offset) {
    case 0x00: write_command(value); break;
    case 0x04:
      status_ &= ~(value & kStatusClear);
      update_interrupt();
      break;
    case 0x14: notifications_ = value & 0xffff; break;
    case 0x18:
      if (commands_run_) {
        if ((value & (kCommandStop | kCommandAbort)) != 0) {
          commands_run_ = false;
          post(0,
               {commands_.dequeue, uint32_t{kCommandRingStopped} << 24, uint32_t{kCommandCompletion} << 10});
        }
      } else {
        set_low(commands_.dequeue, value & ~63u);
        commands_.cycle = (value & kCycleState) != 0;
      }
      break;
    case 0x1c:
      if (!commands_run_) set_high(commands_.dequeue, value);
      break;
    case 0x30: set_low(contexts_, value & ~63u); break;
    case 0x34: set_high(contexts_, value); break;
    case 0x38: configure_ = value & 0xff; break;
    default: break;
  }
}

void Xhci::write_command(uint32_t value) {
  if ((value & kHostReset) != 0) {
    reset_controller();
    return;
  }
  bool run = (value & kRun) != 0;
  if (run && (command_ & kRun) == 0) {
    status_ &= ~kHalted;
    started_ns_ = wiring_.clock.now_ns();
    // Changes from before the start are told now (4.19.3).
    for (const Port& port : ports_) {
      if ((port.status & kChanges) != 0) port_changed(static_cast<unsigned>(&port - ports_.data()), 0);
    }
  } else if (!run) {
    status_ |= kHalted;
    commands_run_ = false;
    later_->cancel();
    waiting_.clear();
  }
  command_ = value & kCommandBits;
  update_interrupt();
}

void Xhci::write_doorbell(unsigned slot, uint32_t value) {
  if (!running()) return;
  unsigned target = value & 0xff;
  if (slot == 0) {
    if (target == 0) run_commands();
    return;
  }
  if (target >= 1 && target <= kEndpoints) run_endpoint(slot, target);
}

// ---- interrupters (5.5.2) ----

uint32_t Xhci::read_interrupter(uint64_t offset) const {
  if (offset / kInterrupterStride >= interrupters_.size()) return 0;
  const Interrupter& i = interrupters_[offset / kInterrupterStride];
  switch (offset % kInterrupterStride) {
    case 0x00: return i.management;
    case 0x04: return i.moderation;
    case 0x08: return i.table_size;
    case 0x10: return low(i.table);
    case 0x14: return high(i.table);
    case 0x18: return low(i.dequeue);
    case 0x1c: return high(i.dequeue);
    default: return 0;
  }
}

void Xhci::write_interrupter(uint64_t offset, uint32_t value) {
  if (offset / kInterrupterStride >= interrupters_.size()) return;
  Interrupter& i = interrupters_[offset / kInterrupterStride];
  switch (offset % kInterrupterStride) {
    case 0x00:
      if ((value & kPending) != 0) i.management &= ~kPending;
      i.management = (i.management & kPending) | (value & kInterrupterEnable);
      update_interrupt();
      break;
    case 0x04: i.moderation = value; break;
    case 0x08: i.table_size = value & 0xffff; break;
    case 0x10: set_low(i.table, value & ~63u); break;
    case 0x14:
      set_high(i.table, value);
      load_segment(i);
      break;
    case 0x18: {
      // EHB is cleared by a one; events beyond the pointer raise again (4.17.2).
      uint64_t busy = i.dequeue & kHandlerBusy & ~uint64_t{value};
      set_low(i.dequeue, (value & ~15u) | static_cast<uint32_t>(busy) | (value & 7));
      raise_if_waiting(i);
      break;
    }
    case 0x1c:
      set_high(i.dequeue, value);
      raise_if_waiting(i);
      break;
    default: break;
  }
}

void Xhci::raise_if_waiting(Interrupter& i) {
  bool empty = (i.dequeue & ~uint64_t{15}) == i.segment + uint64_t{i.at} * 16;
  if (!empty && i.segment_size != 0) raise(static_cast<unsigned>(&i - interrupters_.data()));
}

// ---- state ----

void Xhci::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  msix_.state(v);
  v.field("command", command_);
  v.field("status", status_);
  v.field("notifications", notifications_);
  v.field("configure", configure_);
  v.field("contexts", contexts_);
  v.field("commands", commands_.dequeue);
  v.field("commands_cycle", commands_.cycle);
  v.field("commands_run", commands_run_);
  v.field("started_ns", started_ns_);
  for (Port& port : ports_) {
    v.field("port", port.status);
    v.field("port_power", port.power);
    v.field("port_link", port.link);
  }
  for (Interrupter& i : interrupters_) {
    v.field("management", i.management);
    v.field("moderation", i.moderation);
    v.field("table_size", i.table_size);
    v.field("table", i.table);
    v.field("dequeue", i.dequeue);
    v.field("segment", i.segment);
    v.field("segment_size", i.segment_size);
    v.field("at", i.at);
    v.field("cycle", i.cycle);
    if (i.at >= i.segment_size) i.at = 0;
  }
  for (Slot& slot : slots_) {
    v.field("enabled", slot.enabled);
    v.field("slot_state", slot.state);
    v.field("context", slot.context);
    v.field("root_port", slot.port);
    v.field("route", slot.route);
    v.field("interrupter", slot.interrupter);
    v.field("address", slot.address);
    for (Endpoint& e : slot.endpoints) {
      v.field("state", e.state);
      v.field("type", e.type);
      v.field("ring", e.ring.dequeue);
      v.field("ring_cycle", e.ring.cycle);
      v.field("moved", e.moved);
      v.field("endpoint_context", e.context);
      v.field("skip", e.skip);
    }
  }
  if (!v.loading()) return;
  started_ns_ = std::clamp<int64_t>(started_ns_, 0, wiring_.clock.now_ns());
  waiting_.clear();
  later_->cancel();
  for (unsigned slot = 1; slot < slots_.size(); ++slot) {
    if (!slots_[slot].enabled || !running()) continue;
    for (unsigned e = 1; e <= kEndpoints; ++e) {
      if (slots_[slot].endpoints[e].state == kEndpointRunning) waiting_.emplace_back(slot, e);
    }
  }
  if (!waiting_.empty()) later_->arm(wiring_.clock.now_ns());
}

}  // namespace rhea::devices
