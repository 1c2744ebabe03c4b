#include "devices/display/vga_core.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "base/log.h"

namespace rhea::devices {

namespace {

constexpr uint64_t kEdidEnd = 0x400, kPortsAt = 0x400, kPortsEnd = 0x420, kDispiAt = 0x500,
                   kExtendedAt = 0x600, kExtendedSize = 8, kEndianAt = 0x604;
constexpr uint64_t kDispiEnd = kDispiAt + 2 * Dispi::kRegisters;
constexpr uint32_t kLittleEndian = 0x1e1e1e1e;
constexpr unsigned kPortsOffset = 0x10;  // 0x3c0 in the range from 0x3b0
constexpr int kWindowPriority = 0, kDirectPriority = 1;

}  // namespace

Result<std::unique_ptr<VgaCore>> VgaCore::create(const Wiring& wiring, const Options& options) {
  CHECK(std::has_single_bit(options.memory_bytes) && options.memory_bytes >= 0x100000);
  auto memory = TRY(memory::RamBlock::create("vga.vram", options.memory_bytes));
  std::unique_ptr<VgaCore> core(new VgaCore(wiring, options, std::move(memory)));
  TRY(core->map_window());
  return core;
}

VgaCore::VgaCore(const Wiring& wiring, const Options& options, std::unique_ptr<memory::RamBlock> memory)
    : wiring_(wiring),
      memory_(std::move(memory)),
      registers_({.clock = wiring.clock, .listener = *this}),
      dispi_({.memory = memory_->size(), .planar = true}),
      window_({.registers = registers_, .dispi = dispi_, .memory = *memory_, .listener = *this}),
      text_({.registers = registers_, .window = window_, .memory = *memory_}),
      graphics_({.registers = registers_, .memory = *memory_}),
      has_edid_(options.edid),
      edid_(make_edid(options.width, options.height, "Rhea Monitor")),
      linear_(wiring.screen == nullptr ? nullptr : wiring.loop, memory_.get(),
              [this] { picture_changed(); }) {
  if (wiring_.screen != nullptr) wiring_.screen->set_source(this);
}

VgaCore::~VgaCore() {
  if (wiring_.screen != nullptr) wiring_.screen->set_source(nullptr);
  if (direct_map_) wiring_.legacy->unmap(*direct_map_);
  if (window_map_) wiring_.legacy->unmap(*window_map_);
}

Result<> VgaCore::map_window() {
  if (wiring_.legacy == nullptr) return {};
  window_map_ = TRY(
      wiring_.legacy->map_io(Gpa{VgaMemory::kWindow}, VgaMemory::kWindowSize, window_, 0, kWindowPriority));
  return {};
}

void VgaCore::reset() {
  dispi_.reset();
  dispi_ports_.index = 0;
  registers_.reset();
  window_.reset();
  picture_changed();
}

void VgaCore::state(bus::StateVisitor& v) {
  registers_.state(v);
  dispi_.state(v);
  v.field("dispi_index", dispi_ports_.index);
  window_.state(v);
  if (!v.loading()) return;
  window_changed();
  picture_changed();
}

void VgaCore::picture_changed() {
  if (!asleep_) return;
  asleep_ = false;
  wiring_.screen->wake();
}

void VgaCore::window_changed() {
  if (!window_map_) return;
  const std::optional<VgaMemory::Direct> direct = window_.direct();
  if (direct == direct_) return;
  memory::AddressSpace& space = *wiring_.legacy;
  space.begin();
  if (direct_map_) space.unmap(*direct_map_);
  direct_map_.reset();
  direct_.reset();
  if (direct) {
    auto mapped = space.map_ram(Gpa{VgaMemory::kWindow}, *memory_, direct->memory_offset, direct->size,
                                memory::RamAccess::ReadWrite, kDirectPriority);
    if (mapped) {
      direct_map_ = *mapped;
      direct_ = direct;
    }
  }
  space.commit();
  picture_changed();
}

void VgaCore::write_dispi(unsigned index, uint16_t value) {
  const Dispi::Effect effect = dispi_.write(index, value);
  if (effect == Dispi::Effect::None) return;
  if (effect == Dispi::Effect::SwitchedOn) {
    if (const std::optional<Dispi::Mode> mode = dispi_.mode()) {
      const uint64_t bytes = std::min(memory_->size(), mode->stride * mode->height);
      std::memset(memory_->host(), 0, bytes);
      memory_->note_written(0, bytes);
    }
  }
  window_changed();
  picture_changed();
}

VgaCore::Shown VgaCore::what() const {
  if (!registers_.video_on()) return Shown::Blank;
  if (dispi_.enabled()) {
    if (!dispi_.mode()) return Shown::Blank;
    return dispi_.bpp() == 4 ? Shown::Graphics : Shown::Linear;
  }
  return registers_.graphics_mode() ? Shown::Graphics : Shown::Text;
}

void VgaCore::show_blank() {
  display::Surface& surface = wiring_.screen->surface();
  surface.fill(0);
  wiring_.screen->changed({0, 0, surface.width(), surface.height()});
}

std::optional<int64_t> VgaCore::show_linear(const Dispi::Mode& mode) {
  const PixelFormat format = pixel_format(mode.bpp).value_or(PixelFormat::Palette8);
  LinearFrame::Palette palette{};
  if (format == PixelFormat::Palette8) {
    for (unsigned i = 0; i < palette.size(); ++i) palette[i] = registers_.colour(i, dac_8_bits());
  }
  const LinearFrame::Layout layout{mode.width, mode.height, format, mode.stride};
  return linear_.draw(*wiring_.screen, layout, memory_->host() + mode.start, &palette);
}

std::optional<int64_t> VgaCore::refresh() {
  const Shown wanted = what();
  if (wanted != shown_) {
    text_.forget();
    graphics_.forget();
    linear_.forget();
  }
  const bool fresh = wanted != shown_;
  shown_ = wanted;
  std::optional<int64_t> wait;
  switch (wanted) {
    case Shown::Blank:
      if (fresh) show_blank();
      break;
    case Shown::Text: {
      const int64_t now = wiring_.clock.now_ns();
      if (text_.draw(*wiring_.screen, now, dac_8_bits())) wait = VgaText::kBlinkNs - now % VgaText::kBlinkNs;
      break;
    }
    case Shown::Graphics:
      graphics_.draw(*wiring_.screen, dispi_.mode(), dac_8_bits());
      if (direct_) wait = 0;
      break;
    default: wait = show_linear(*dispi_.mode()); break;
  }
  asleep_ = true;
  return wait;
}

bool VgaCore::text(display::TextPage& page) {
  if (what() != Shown::Text) return false;
  text_.page(page);
  return true;
}

void VgaCore::size_wanted(unsigned width, unsigned height) {
  if (width != 0 && height != 0) edid_ = make_edid(width, height, "Rhea Monitor");
}

uint64_t VgaCore::DispiPorts::io_read(uint64_t offset, unsigned) {
  return offset == 0 ? index : owner_.dispi_.read(index);
}

void VgaCore::DispiPorts::io_write(uint64_t offset, unsigned, uint64_t value) {
  if (offset == 0) {
    index = static_cast<uint16_t>(value);
  } else if (offset < 3) {
    owner_.write_dispi(index, static_cast<uint16_t>(value));
  }
}

uint8_t VgaCore::Mmio::read_byte(uint64_t offset) {
  if (offset < kEdidEnd) {
    if (!owner_.has_edid_) return 0xff;
    return offset < owner_.edid_.size() ? owner_.edid_[offset] : uint8_t{0};
  }
  if (offset < kPortsEnd) {
    return static_cast<uint8_t>(owner_.registers_.io_read(offset - kPortsAt + kPortsOffset, 1));
  }
  const unsigned shift = 8 * (offset & 1);
  if (offset >= kDispiAt && offset < kDispiEnd)
    return static_cast<uint8_t>(owner_.dispi_.read(static_cast<unsigned>(offset - kDispiAt) / 2) >> shift);
  if (offset == kExtendedAt) return kExtendedSize;
  if (offset > kExtendedAt && offset < kEndianAt) return 0;
  if (offset >= kEndianAt && offset < kExtendedAt + kExtendedSize) return static_cast<uint8_t>(kLittleEndian);
  return 0xff;
}

uint64_t VgaCore::Mmio::io_read(uint64_t offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= uint64_t{read_byte(offset + i)} << (8 * i);
  return value;
}

void VgaCore::Mmio::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset >= kPortsAt && offset < kPortsEnd) {
    for (unsigned i = 0; i < size && offset + i < kPortsEnd; ++i)
      owner_.registers_.io_write(offset + i - kPortsAt + kPortsOffset, 1, value >> (8 * i) & 0xff);
  } else if (offset >= kDispiAt && offset < kDispiEnd && offset % 2 == 0 && size >= 2) {
    for (unsigned i = 0; i < size; i += 2)
      owner_.write_dispi(static_cast<unsigned>(offset + i - kDispiAt) / 2,
                         static_cast<uint16_t>(value >> (8 * i)));
  } else if (offset == kEndianAt && value != kLittleEndian) {
    guest_error("vga: frame buffers are little-endian, {:#x} is refused", value);
  }
}

}  // namespace rhea::devices
