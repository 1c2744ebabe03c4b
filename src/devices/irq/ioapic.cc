#include "devices/irq/ioapic.h"

#include <fmt/format.h>

#include <string_view>

#include "base/log.h"

namespace rhea::devices {

namespace {

// 3.1.1, 3.1.2 and the EOI register.
constexpr uint64_t kSelect = 0x00, kWindow = 0x10, kEoi = 0x40;
// 3.2: indices.
constexpr uint8_t kId = 0x00, kVersion = 0x01, kArbitration = 0x02, kTable = 0x10;
constexpr uint32_t kVersionValue = 0x20 | (IoApic::kPins - 1) << 16;

// 3.2.4.
constexpr uint64_t kLow = 1 << 13;
constexpr uint64_t kLogical = 1 << 11, kRemoteIrr = 1 << 14, kLevel = 1 << 15, kMasked = 1 << 16;
constexpr uint64_t kWritable = 0xff0000000001afff;

constexpr bus::DeliveryMode mode_of(uint64_t entry) {
  return static_cast<bus::DeliveryMode>(entry >> 8 & 7);
}

}  // namespace

IoApic::IoApic(const Wiring& wiring) : wiring_(wiring) {
  entries_.fill(kMasked);
}

void IoApic::reset(bus::ResetKind) {
  entries_.fill(kMasked);
  select_ = id_ = 0;
}

void IoApic::state(bus::StateVisitor& v) {
  for (uint64_t& entry : entries_) {
    v.field("entry", entry);
    entry &= kWritable | kRemoteIrr;
  }
  v.field("lines", lines_);
  v.field("select", select_);
  v.field("id", id_);
}

void IoApic::service(unsigned pin) {
  uint64_t& entry = entries_[pin];
  if ((entry & kMasked) != 0) return;
  const bus::DeliveryMode mode = mode_of(entry);
  const bool fixed = mode == bus::DeliveryMode::Fixed || mode == bus::DeliveryMode::LowestPriority;
  const bool level = (entry & kLevel) != 0 && fixed;  // the other modes are edges whatever the bit says
  if (level) {
    if ((entry & kRemoteIrr) != 0 || (lines_ >> pin & 1) == 0) return;
    entry |= kRemoteIrr;
  }
  wiring_.apics.deliver({.destination = static_cast<uint32_t>(entry >> 56),
                         .logical = (entry & kLogical) != 0,
                         .mode = mode,
                         .vector = static_cast<uint8_t>(entry),
                         .level_triggered = level});
}

bool IoApic::masked(unsigned pin) const {
  return (entries_[pin] & kMasked) != 0;
}

void IoApic::set_irq(unsigned pin, bool level) {
  if (pin >= kPins) return;
  const uint32_t mask = uint32_t{1} << pin;
  const bool rising = level && (lines_ & mask) == 0;
  lines_ = level ? lines_ | mask : lines_ & ~mask;
  // 3.2.4: an edge while masked is lost; a level is seen again when the mask goes.
  if (!rising) return;
  ++counts_[pin];
  service(pin);
}

std::string IoApic::text() const {
  constexpr std::string_view kModes[] = {"fixed", "lowest", "smi", "...", "nmi", "init", "...", "extINT"};
  std::string text =
      fmt::format("ioapic0: ver=0x{:x} id=0x{:02x} sel=0x{:02x}", kVersionValue & 0xff, id_, select_);
  if (select_ >= kTable) text += fmt::format(" (redir[{}])", (select_ - kTable) >> 1);
  std::string requests, remote;
  for (unsigned pin = 0; pin < kPins; ++pin) {
    uint64_t entry = entries_[pin];
    text += fmt::format("\n  pin {:<2} 0x{:016x} dest={:X} vec={:<3} {} {:<5} {:<6} {:<6} {}", pin, entry,
                        entry >> 56, entry & 0xff, (entry & kLow) != 0 ? "active-lo" : "active-hi",
                        (entry & kLevel) != 0 ? "level" : "edge", (entry & kMasked) != 0 ? "masked" : "",
                        kModes[entry >> 8 & 7], (entry & kLogical) != 0 ? "logical" : "physical");
    if ((lines_ >> pin & 1) != 0) requests += fmt::format(" {}", pin);
    if ((entry & kRemoteIrr) != 0) remote += fmt::format(" {}", pin);
  }
  return text + fmt::format("\n  IRR     {}\n  Remote IRR{}\n", requests.empty() ? " (none)" : requests,
                            remote.empty() ? " (none)" : remote);
}

void IoApic::end_of_interrupt(uint8_t vector) {
  for (unsigned pin = 0; pin < kPins; ++pin) {
    uint64_t& entry = entries_[pin];
    if (static_cast<uint8_t>(entry) != vector || (entry & kRemoteIrr) == 0) continue;
    entry &= ~kRemoteIrr;
    service(pin);
  }
}

uint32_t IoApic::read_register() const {
  if (select_ == kId || select_ == kArbitration) return uint32_t{id_} << 24;
  if (select_ == kVersion) return kVersionValue;
  const unsigned pin = (select_ - kTable) / 2u;
  if (select_ < kTable || pin >= kPins) return 0xffffffff;
  return static_cast<uint32_t>((select_ & 1) != 0 ? entries_[pin] >> 32 : entries_[pin]);
}

void IoApic::write_register(uint32_t value) {
  if (select_ == kId) {
    id_ = static_cast<uint8_t>(value >> 24 & 15);
    return;
  }
  const unsigned pin = (select_ - kTable) / 2u;
  if (select_ < kTable || pin >= kPins) {
    guest_error("ioapic: write of {:#x} to register {:#x}", value, select_);
    return;
  }
  uint64_t& entry = entries_[pin];
  const bool high = (select_ & 1) != 0;
  const uint64_t wide = high ? uint64_t{value} << 32 : value;
  const uint64_t mask = kWritable & (high ? 0xffffffff00000000 : 0xffffffff);
  entry = (entry & ~mask) | (wide & mask);
  // Software without an EOI register clears a stuck remote IRR by a detour through edge mode.
  if ((entry & kLevel) == 0) entry &= ~kRemoteIrr;
  if ((entry & kLevel) != 0) service(pin);
}

uint64_t IoApic::io_read(uint64_t offset, unsigned) {
  if (offset == kSelect) return select_;
  if (offset == kWindow) return read_register();
  return offset == kEoi ? 0 : 0xffffffff;
}

void IoApic::io_write(uint64_t offset, unsigned, uint64_t value) {
  switch (offset) {
    case kSelect: select_ = static_cast<uint8_t>(value); break;
    case kWindow: write_register(static_cast<uint32_t>(value)); break;
    case kEoi: end_of_interrupt(static_cast<uint8_t>(value)); break;
    default: guest_error("ioapic: write of {:#x} to offset {:#x}", value, offset); break;
  }
}

}  // namespace rhea::devices
