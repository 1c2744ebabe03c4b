#include "devices/misc/pc_testdev.h"

#include <algorithm>
#include <span>
#include <utility>

namespace rhea::devices {

namespace {

uint64_t load(std::span<const uint8_t> from, uint64_t offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i)
    value |= uint64_t{offset + i < from.size() ? from[offset + i] : uint8_t{0xff}} << (8 * i);
  return value;
}

void store(std::span<uint8_t> to, uint64_t offset, unsigned size, uint64_t value) {
  for (unsigned i = 0; i < size && offset + i < to.size(); ++i)
    to[offset + i] = static_cast<uint8_t>(value >> (8 * i));
}

}  // namespace

PcTestDevice::PcTestDevice(Wiring wiring) : wiring_(std::move(wiring)), memory_(kMemorySize) {}

void PcTestDevice::reset(bus::ResetKind) {
  scratch_ = {};
  std::fill(memory_.begin(), memory_.end(), uint8_t{0});
}

void PcTestDevice::state(bus::StateVisitor& v) {
  v.bytes("scratch", scratch_);
  v.bytes("memory", memory_);
}

uint64_t PcTestDevice::io_read(uint64_t offset, unsigned size) {
  if (offset >= kMemory) return load(memory_, offset - kMemory, size);
  if (offset < kFlush) return load(scratch_, offset, size);
  return size >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size)) - 1;
}

void PcTestDevice::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset >= kMemory) {
    store(memory_, offset - kMemory, size, value);
  } else if (offset >= kLines) {
    if (wiring_.gsi != nullptr && offset < kLines + kLinesSize)
      wiring_.gsi->set_irq(static_cast<unsigned>(offset - kLines), (value & 0xff) != 0);
  } else if (offset == kFlush) {
    if (wiring_.flush) wiring_.flush(value & 0xffffffff);
  } else if (offset < kFlush) {
    store(scratch_, offset, size, value);
  }
}

}  // namespace rhea::devices
