// See piix3_ide.h.
#include "devices/ata/piix3_ide.h"

#include <algorithm>

#include "base/trace.h"

namespace rhea::devices {
namespace {

constexpr unsigned kPrimaryTiming = 0x40, kSecondaryTiming = 0x42, kSlaveTiming = 0x44;
constexpr uint8_t kStart = 0x01, kToMemory = 0x08;
constexpr uint8_t kActive = 0x01, kError = 0x02, kInterrupt = 0x04, kCapable = 0x60;
constexpr uint32_t kEndOfTable = 0x80000000;
constexpr size_t kDescriptor = 8;

inline trace::Event<uint32_t, uint8_t> trace_bmdma_start{"bmdma_start", "table {:#x} command {:#04x}"};

}  // namespace

Piix3Ide::Engine::Engine(Piix3Ide& function, const bus::IrqLine& irq, const std::string& path)
    : ide(function), channel({.irq = irq, .master = this, .boot_path = path}) {}

bool Piix3Ide::Engine::started() const {
  return (command & kStart) != 0 && (status & kActive) != 0;
}

// Table of 1.2: address, byte count (0 is 64 KiB), end of table.
bool Piix3Ide::Engine::next_piece() {
  if (last_piece) return false;
  std::array<uint8_t, kDescriptor> raw{};
  if (!ide.dma_read(next, raw)) {
    status |= kError;
    return false;
  }
  const auto word = [&raw](size_t at) {
    return uint32_t{raw[at]} | uint32_t{raw[at + 1]} << 8 | uint32_t{raw[at + 2]} << 16 |
           uint32_t{raw[at + 3]} << 24;
  };
  piece_at = word(0) & ~1u;
  piece_left = word(4) & 0xfffe;
  if (piece_left == 0) piece_left = 0x10000;
  last_piece = (word(4) & kEndOfTable) != 0;
  next += kDescriptor;
  return true;
}

size_t Piix3Ide::Engine::move(bool to_guest, std::span<uint8_t> data) {
  if (!started()) return 0;
  size_t moved = 0;
  while (moved < data.size()) {
    if (piece_left == 0 && !next_piece()) break;
    const size_t now = std::min<size_t>(piece_left, data.size() - moved);
    const auto part = data.subspan(moved, now);
    if (!(to_guest ? ide.dma_write(piece_at, part) : ide.dma_read(piece_at, part))) {
      status |= kError;
      break;
    }
    piece_at += static_cast<uint32_t>(now);
    piece_left -= static_cast<uint32_t>(now);
    moved += now;
  }
  return moved;
}

// Still active if the table had room for more.
void Piix3Ide::Engine::ended() {
  if (piece_left == 0 && last_piece) status = static_cast<uint8_t>(status & ~kActive);
}

void Piix3Ide::Engine::interrupted() {
  status |= kInterrupt;
}

void Piix3Ide::Engine::start() {
  trace_bmdma_start(table, command);
  status |= kActive;
  next = table;
  piece_left = 0;
  last_piece = false;
  channel.dma_started();
}

uint8_t Piix3Ide::Engine::read(unsigned reg) const {
  switch (reg) {
    case 0: return command;
    case 2: return status;
    case 4:
    case 5:
    case 6:
    case 7: return static_cast<uint8_t>(table >> (8 * (reg - 4)));
    default: return 0xff;
  }
}

void Piix3Ide::Engine::write(unsigned reg, uint8_t value) {
  if (reg == 0) {
    const bool starts = (value & kStart) != 0 && (command & kStart) == 0;
    const bool stops = (value & kStart) == 0 && (command & kStart) != 0;
    command = value & (kStart | kToMemory);
    if (stops) status = static_cast<uint8_t>(status & ~kActive);
    if (starts) start();
  } else if (reg == 2) {
    const uint8_t cleared = value & (kError | kInterrupt);
    status = static_cast<uint8_t>((status & ~(kCapable | cleared)) | (value & kCapable));
  } else if (reg >= 4) {
    const unsigned shift = 8 * (reg - 4);
    table = (table & ~(0xffu << shift)) | uint32_t{value} << shift;
    table &= ~3u;
  }
}

void Piix3Ide::Engine::visit(bus::StateVisitor& v) {
  channel.state(v);
  v.field("command", command);
  v.field("status", status);
  v.field("table", table);
  v.field("next", next);
  v.field("piece_at", piece_at);
  v.field("piece_left", piece_left);
  v.field("last_piece", last_piece);
}

uint64_t Piix3Ide::Registers::io_read(uint64_t offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) {
    const uint64_t at = offset + i;
    const uint8_t byte = at < kRegisters ? ide.engines_[at / 8].read(static_cast<unsigned>(at % 8)) : 0xff;
    value |= uint64_t{byte} << (8 * i);
  }
  return value;
}

void Piix3Ide::Registers::io_write(uint64_t offset, unsigned size, uint64_t value) {
  for (unsigned i = 0; i < size && offset + i < kRegisters; ++i) {
    const uint64_t at = offset + i;
    ide.engines_[at / 8].write(static_cast<unsigned>(at % 8), static_cast<uint8_t>(value >> (8 * i)));
  }
}

Piix3Ide::Piix3Ide(const Wiring& wiring)
    : PciFunction({.vendor = 0x8086, .device = 0x7010, .class_code = 0x010180}),
      engines_{Engine(*this, wiring.irq14, wiring.boot_path.empty() ? "" : wiring.boot_path + "/drive@0"),
               Engine(*this, wiring.irq15, wiring.boot_path.empty() ? "" : wiring.boot_path + "/drive@1")} {
  define16(bus::pci::kStatus, 0x0280);
  define16(kPrimaryTiming, 0, 0xffff);
  define16(kSecondaryTiming, 0, 0xffff);
  define8(kSlaveTiming, 0, 0xff);
  add_bar(4, bus::pci::BarKind::Io, kRegisters, registers_);
}

void Piix3Ide::reset(bus::ResetKind kind) {
  PciFunction::reset(kind);
  for (Engine& engine : engines_) {
    engine.command = engine.status = 0;
    engine.table = engine.next = engine.piece_at = engine.piece_left = 0;
    engine.last_piece = false;
    engine.channel.reset();
  }
}

void Piix3Ide::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  v.enter("primary");
  engines_[0].visit(v);
  v.leave();
  v.enter("secondary");
  engines_[1].visit(v);
  v.leave();
}

}  // namespace rhea::devices
