// See ide_channel.h.
#include "devices/ata/ide_channel.h"

#include <cstring>

#include "devices/ata/ata_regs.h"

namespace rhea::devices {
namespace {

enum Register : unsigned { kData, kFeature, kCount, kLbaLow, kLbaMid, kLbaHigh, kDevice, kCommand };
constexpr unsigned kErrorRegister = kFeature, kStatusRegister = kCommand;
constexpr uint8_t kAlwaysSet = 0xa0;  // obsolete bits of the device register

void shift_in(uint8_t& now, uint8_t& before, uint8_t value) {
  before = now;
  now = value;
}

}  // namespace

IdeChannel::~IdeChannel() {
  for (AtaUnit* unit : units_) {
    if (unit != nullptr) unit->connect(nullptr, nullptr);
  }
}

void IdeChannel::plug(AtaUnit& unit, unsigned place) {
  units_[place & 1] = &unit;
  unit.connect(this, this);
}

void IdeChannel::unplug(AtaUnit& unit) {
  units_[place_of(unit)] = nullptr;
  unit.connect(nullptr, nullptr);
}

std::string IdeChannel::boot_path(unsigned place) const {
  if (wiring_.boot_path.empty()) return {};
  return wiring_.boot_path + "/disk@" + std::to_string(place & 1);
}

// The units are devices of their own, which the board resets.
void IdeChannel::reset() {
  pending_ = {};
  selected_ = 0;
  control_ = 0;
  drive_line();
}

void IdeChannel::state(bus::StateVisitor& v) {
  v.field("selected", selected_);
  v.field("control", control_);
  v.field("pending0", pending_[0]);
  v.field("pending1", pending_[1]);
  if (!v.loading()) return;
  selected_ &= 1;
  drive_line();
}

void IdeChannel::drive_line() {
  const bool level = pending_[selected_] && (control_ & ata::kControlNoInterrupt) == 0;
  if (level && !line_ && wiring_.master != nullptr) wiring_.master->interrupted();
  line_ = level;
  wiring_.irq.set(level);
}

void IdeChannel::unit_interrupt(AtaUnit& unit) {
  pending_[place_of(unit)] = true;
  drive_line();
}

bool IdeChannel::dma_ready(AtaUnit&) {
  return wiring_.master != nullptr && wiring_.master->started();
}

size_t IdeChannel::dma_move(AtaUnit&, bool to_guest, std::span<uint8_t> data) {
  return wiring_.master != nullptr ? wiring_.master->move(to_guest, data) : 0;
}

void IdeChannel::dma_ended(AtaUnit&) {
  if (wiring_.master != nullptr) wiring_.master->ended();
}

void IdeChannel::dma_started() {
  if (selected() != nullptr) selected()->dma_go();
}

uint64_t IdeChannel::CommandPorts::io_read(uint64_t offset, unsigned size) {
  uint64_t value = 0;
  if (offset == kData) {
    channel.read_data({reinterpret_cast<uint8_t*>(&value), size});
    return value;
  }
  for (unsigned i = 0; i < size; ++i) {
    const uint64_t at = offset + i;
    const uint8_t byte = at < kCommandBytes ? channel.read(static_cast<unsigned>(at)) : 0xff;
    value |= uint64_t{byte} << (8 * i);
  }
  return value;
}

void IdeChannel::CommandPorts::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset == kData) {
    channel.write_data({reinterpret_cast<const uint8_t*>(&value), size});
    return;
  }
  for (unsigned i = 0; i < size && offset + i < kCommandBytes; ++i)
    channel.write(static_cast<unsigned>(offset + i), static_cast<uint8_t>(value >> (8 * i)));
}

// A block that ends within an access ends that access, too: the rest of it reads as 0.
void IdeChannel::CommandPorts::io_read_run(uint64_t offset, unsigned size, std::span<uint8_t> data) {
  if (offset != kData) return IoHandler::io_read_run(offset, size, data);
  while (!data.empty()) {
    const size_t moved = channel.read_data(data);
    const size_t whole = moved == 0 ? data.size() : (moved + size - 1) / size * size;
    std::memset(data.data() + moved, 0, whole - moved);
    data = data.subspan(whole);
  }
}

void IdeChannel::CommandPorts::io_write_run(uint64_t offset, unsigned size, std::span<const uint8_t> data) {
  if (offset != kData) return IoHandler::io_write_run(offset, size, data);
  while (!data.empty()) {
    const size_t moved = channel.write_data(data);
    data = data.subspan(moved == 0 ? data.size() : (moved + size - 1) / size * size);
  }
}

// Up to the end of the block that is being moved; bytes moved, 0: none is.
size_t IdeChannel::read_data(std::span<uint8_t> into) {
  AtaUnit* unit = selected();
  if (unit == nullptr || !unit->pio_to_guest()) return 0;
  const std::span<uint8_t> window = unit->pio_window();
  const size_t bytes = std::min(into.size(), window.size());
  std::memcpy(into.data(), window.data(), bytes);
  unit->pio_moved(bytes);
  return bytes;
}

size_t IdeChannel::write_data(std::span<const uint8_t> from) {
  AtaUnit* unit = selected();
  if (unit == nullptr || unit->pio_to_guest()) return 0;
  const std::span<uint8_t> window = unit->pio_window();
  if (window.empty()) return 0;
  const size_t bytes = std::min(from.size(), window.size());
  std::memcpy(window.data(), from.data(), bytes);
  unit->pio_moved(bytes);
  return bytes;
}

uint8_t IdeChannel::status() const {
  const AtaUnit* unit = selected();
  if (unit == nullptr) return 0;
  return (control_ & ata::kControlReset) != 0 ? uint8_t{ata::kStatusBusy} : unit->task().status;
}

uint8_t IdeChannel::read(unsigned reg) {
  AtaUnit* unit = selected();
  if (unit == nullptr) return 0;
  const AtaTaskFile& task = unit->task();
  const AtaTaskFile::Set& set = (control_ & ata::kControlHighOrder) != 0 ? task.before : task.now;
  switch (reg) {
    case kErrorRegister: return (control_ & ata::kControlHighOrder) != 0 ? task.before.feature : task.error;
    case kCount: return set.count;
    case kLbaLow: return set.lba_low;
    case kLbaMid: return set.lba_mid;
    case kLbaHigh: return set.lba_high;
    case kDevice: return task.device | kAlwaysSet;
    case kStatusRegister: {
      const uint8_t value = status();
      pending_[selected_] = false;
      drive_line();
      return value;
    }
    default: return 0xff;
  }
}

void IdeChannel::write(unsigned reg, uint8_t value) {
  control_ = static_cast<uint8_t>(control_ & ~ata::kControlHighOrder);
  if (reg == kCommand) return write_command(value);
  constexpr uint8_t kInUse = ata::kStatusBusy | ata::kStatusData;
  if (selected() != nullptr && (selected()->task().status & kInUse) != 0) return;
  for (AtaUnit* unit : units_) {
    if (unit == nullptr) continue;
    AtaTaskFile& task = unit->task();
    switch (reg) {
      case kFeature: shift_in(task.now.feature, task.before.feature, value); break;
      case kCount: shift_in(task.now.count, task.before.count, value); break;
      case kLbaLow: shift_in(task.now.lba_low, task.before.lba_low, value); break;
      case kLbaMid: shift_in(task.now.lba_mid, task.before.lba_mid, value); break;
      case kLbaHigh: shift_in(task.now.lba_high, task.before.lba_high, value); break;
      default: task.device = value; break;
    }
  }
  if (reg != kDevice) return;
  selected_ = (value & ata::kDeviceSecond) != 0 ? 1 : 0;
  drive_line();
}

void IdeChannel::write_command(uint8_t value) {
  if ((control_ & ata::kControlReset) != 0) return;
  pending_[selected_] = false;
  drive_line();
  if (value != ata::kDiagnostic) {
    if (selected() != nullptr) selected()->command(value);
    return;
  }
  // For both; the first one answers.
  for (AtaUnit* unit : units_) {
    if (unit != nullptr) unit->command(value);
  }
  selected_ = 0;
  pending_[1] = false;
  drive_line();
}

void IdeChannel::write_control(uint8_t value) {
  const bool was_reset = (control_ & ata::kControlReset) != 0;
  control_ = value;
  const bool is_reset = (value & ata::kControlReset) != 0;
  if (is_reset != was_reset) {
    for (AtaUnit* unit : units_) {
      if (unit != nullptr) unit->soft_reset();
    }
    pending_ = {};
    selected_ = 0;
  }
  drive_line();
}

}  // namespace rhea::devices
