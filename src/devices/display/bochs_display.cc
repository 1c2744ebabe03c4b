#include "devices/display/bochs_display.h"

#include <bit>
#include <cstring>

#include "base/check.h"
#include "base/log.h"
#include "devices/display/vga_pci.h"

namespace rhea::devices {

namespace {

constexpr bus::pci::Identity kIdentity{
    .vendor = 0x1234, .device = 0x1111, .revision = 2, .class_code = 0x038000};
constexpr uint64_t kEdidEnd = 0x400, kDispiAt = 0x500, kDispiEnd = kDispiAt + 2 * Dispi::kRegisters,
                   kExtendedAt = 0x600, kEndianAt = 0x604, kExtendedEnd = 0x608;
constexpr uint32_t kLittleEndian = 0x1e1e1e1e;
constexpr uint8_t kExtendedSize = 8;
constexpr unsigned kBits = 32;

}  // namespace

Result<std::unique_ptr<BochsDisplay>> BochsDisplay::create(const Wiring& wiring, const Options& options,
                                                           std::span<const uint8_t> rom) {
  CHECK(std::has_single_bit(options.memory_bytes) && options.memory_bytes >= 0x100000);
  auto block = TRY(make_rom(rom));
  auto memory = TRY(memory::RamBlock::create("bochs-display-vram", options.memory_bytes));
  return std::unique_ptr<BochsDisplay>(
      new BochsDisplay(wiring, options, std::move(memory), std::move(block)));
}

BochsDisplay::BochsDisplay(const Wiring& wiring, const Options& options,
                           std::unique_ptr<memory::RamBlock> memory, std::unique_ptr<memory::RamBlock> rom)
    : PciFunction(kIdentity),
      wiring_(wiring),
      memory_(std::move(memory)),
      rom_(std::move(rom)),
      dispi_({.memory = memory_->size()}),
      has_edid_(options.edid),
      edid_(make_edid(options.width, options.height, "Rhea Monitor")),
      frame_(wiring.screen == nullptr ? nullptr : wiring.loop, memory_.get(), [this] { picture_changed(); }) {
  add_ram_bar(0, bus::pci::BarKind::Prefetch32, *memory_);
  add_bar(2, bus::pci::BarKind::Memory32, kMmioSize, mmio_);
  if (rom_ != nullptr) add_rom(*rom_);
  if (wiring_.screen != nullptr) wiring_.screen->set_source(this);
}

BochsDisplay::~BochsDisplay() {
  if (wiring_.screen != nullptr) wiring_.screen->set_source(nullptr);
}

void BochsDisplay::reset(bus::ResetKind kind) {
  PciFunction::reset(kind);
  dispi_.reset();
  picture_changed();
}

void BochsDisplay::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  dispi_.state(v);
  if (v.loading()) picture_changed();
}

void BochsDisplay::picture_changed() {
  if (!asleep_) return;
  asleep_ = false;
  wiring_.screen->wake();
}

std::optional<int64_t> BochsDisplay::refresh() {
  asleep_ = true;
  const std::optional<Dispi::Mode> mode = dispi_.mode();
  if (mode && mode->bpp == kBits) {
    if (blank_) frame_.forget();
    blank_ = false;
    const LinearFrame::Layout layout{mode->width, mode->height, PixelFormat::Xrgb32, mode->stride};
    return frame_.draw(*wiring_.screen, layout, memory_->host() + mode->start, nullptr);
  }
  if (!blank_) {
    blank_ = true;
    display::Surface& surface = wiring_.screen->surface();
    surface.fill(0);
    wiring_.screen->changed({0, 0, surface.width(), surface.height()});
  }
  return std::nullopt;
}

void BochsDisplay::size_wanted(unsigned width, unsigned height) {
  if (width != 0 && height != 0) edid_ = make_edid(width, height, "Rhea Monitor");
}

uint8_t BochsDisplay::Mmio::read_byte(uint64_t offset) const {
  if (offset < kEdidEnd) {
    if (!owner_.has_edid_) return 0xff;
    return offset < owner_.edid_.size() ? owner_.edid_[offset] : uint8_t{0};
  }
  if (offset >= kDispiAt && offset < kDispiEnd) {
    const unsigned value = owner_.dispi_.read(static_cast<unsigned>(offset - kDispiAt) / 2);
    return static_cast<uint8_t>(value >> (8 * (offset & 1)));
  }
  if (offset == kExtendedAt) return kExtendedSize;
  if (offset >= kEndianAt && offset < kExtendedEnd) return static_cast<uint8_t>(kLittleEndian);
  return offset > kExtendedAt && offset < kEndianAt ? uint8_t{0} : uint8_t{0xff};
}

uint64_t BochsDisplay::Mmio::io_read(uint64_t offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= uint64_t{read_byte(offset + i)} << (8 * i);
  return value;
}

void BochsDisplay::Mmio::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset >= kDispiAt && offset < kDispiEnd && offset % 2 == 0 && size >= 2) {
    for (unsigned i = 0; i < size; i += 2) {
      const auto index = static_cast<unsigned>(offset + i - kDispiAt) / 2;
      if (owner_.dispi_.write(index, static_cast<uint16_t>(value >> (8 * i))) == Dispi::Effect::SwitchedOn) {
        std::memset(owner_.memory_->host(), 0, owner_.memory_->size());
        owner_.memory_->note_written(0, owner_.memory_->size());
      }
    }
    owner_.picture_changed();
  } else if (offset == kEndianAt && value != kLittleEndian) {
    guest_error("bochs-display: frame buffers are little-endian, {:#x} is refused", value);
  }
}

}  // namespace rhea::devices
