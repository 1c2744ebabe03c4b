#include "devices/display/dispi.h"

#include <algorithm>

namespace rhea::devices {

namespace {

constexpr uint16_t kFirstId = 0xb0c0, kLastId = 0xb0c5;

}  // namespace

void Dispi::reset() {
  std::fill(std::begin(regs_), std::end(regs_), uint16_t{0});
  regs_[kId] = kLastId;
  regs_[kBpp] = 8;
}

bool Dispi::known_depth(unsigned bpp) const {
  switch (bpp) {
    case 4: return limits_.planar;
    case 8:
    case 15:
    case 16:
    case 24:
    case 32: return true;
    default: return false;
  }
}

uint64_t Dispi::stride() const {
  const uint64_t width = regs_[kVirtWidth];
  // Four planes of one bit a pixel make half a byte; the memory interleaves the planes' bytes.
  return regs_[kBpp] == 4 ? width / 8 * 4 : width * ((regs_[kBpp] + 7u) / 8);
}

// Brings sizes and offsets into what there is.
void Dispi::fit() {
  regs_[kXres] = static_cast<uint16_t>(std::clamp<unsigned>(regs_[kXres] & ~7u, 8, limits_.max_width));
  regs_[kYres] = static_cast<uint16_t>(std::clamp<unsigned>(regs_[kYres], 1, limits_.max_height));
  if (!known_depth(regs_[kBpp])) regs_[kBpp] = 8;
  if (regs_[kVirtWidth] < regs_[kXres]) regs_[kVirtWidth] = regs_[kXres];
  regs_[kVirtWidth] = static_cast<uint16_t>(std::min<unsigned>(regs_[kVirtWidth] & ~7u, limits_.max_width));
  if (stride() * regs_[kYres] > limits_.memory) {
    regs_[kVirtWidth] = regs_[kXres];
    if (stride() > limits_.memory) regs_[kXres] = regs_[kVirtWidth] = 8;
    regs_[kYres] = static_cast<uint16_t>(std::min<uint64_t>(regs_[kYres], limits_.memory / stride()));
  }
  const uint64_t lines = limits_.memory / stride();
  regs_[kVirtHeight] = static_cast<uint16_t>(std::min<uint64_t>(lines, 0xffff));
  regs_[kXOffset] = static_cast<uint16_t>(
      std::min<unsigned>(regs_[kXOffset], static_cast<unsigned>(regs_[kVirtWidth] - regs_[kXres])));
  const uint64_t last = std::min<uint64_t>(lines - regs_[kYres], 0xffff);
  regs_[kYOffset] = static_cast<uint16_t>(std::min<uint64_t>(regs_[kYOffset], last));
}

std::optional<Dispi::Mode> Dispi::mode() const {
  if (!enabled()) return std::nullopt;
  Mode mode{
      .width = regs_[kXres], .height = regs_[kYres], .bpp = regs_[kBpp], .stride = stride(), .start = 0};
  if (mode.width == 0 || mode.height == 0 || !known_depth(mode.bpp)) return std::nullopt;
  const uint64_t x = regs_[kXOffset];
  const bool planar = mode.bpp == 4;
  mode.start = mode.stride * regs_[kYOffset] + (planar ? x / 8 * 4 : x * ((mode.bpp + 7) / 8));
  const uint64_t row = planar ? (mode.width + 7) / 8 * 4 : mode.width * ((mode.bpp + 7) / 8);
  const uint64_t end = mode.start + mode.stride * (mode.height - 1) + row;
  if (mode.stride < row || end > limits_.memory) return std::nullopt;
  return mode;
}

Dispi::Effect Dispi::write(unsigned index, uint16_t value) {
  if (index >= kRegisters) return Effect::None;
  const bool was_enabled = enabled();
  switch (index) {
    case kId:
      if (value >= kFirstId && value <= kLastId) regs_[kId] = value;
      return Effect::None;
    case kVirtHeight:
    case kVideoMemory64K: return Effect::None;
    case kBank:
      regs_[kBank] = static_cast<uint16_t>(value & (limits_.memory / 0x10000 - 1));
      return Effect::Changed;
    case kEnable: {
      regs_[kEnable] = value;
      if (!enabled() || was_enabled) {
        if (enabled()) fit();
        return Effect::Changed;
      }
      regs_[kBank] = regs_[kXOffset] = regs_[kYOffset] = 0;
      regs_[kVirtWidth] = 0;
      fit();
      return (value & kNoClear) == 0 ? Effect::SwitchedOn : Effect::Changed;
    }
    default:
      regs_[index] = value;
      if (was_enabled) fit();
      return was_enabled ? Effect::Changed : Effect::None;
  }
}

uint16_t Dispi::read(unsigned index) const {
  if (index >= kRegisters) return 0;
  if (index == kVideoMemory64K)
    return static_cast<uint16_t>(std::min<uint64_t>(limits_.memory >> 16, 0xffff));
  if ((regs_[kEnable] & kGetCaps) != 0) {
    switch (index) {
      case kXres: return static_cast<uint16_t>(limits_.max_width);
      case kYres: return static_cast<uint16_t>(limits_.max_height);
      case kBpp: return 32;
      default: break;
    }
  }
  return regs_[index];
}

void Dispi::state(bus::StateVisitor& v) {
  v.array("dispi", regs_);
  if (v.loading() && enabled()) fit();
}

}  // namespace rhea::devices
