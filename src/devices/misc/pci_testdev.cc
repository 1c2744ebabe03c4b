#include "devices/misc/pci_testdev.h"

#include <array>
#include <string_view>

namespace rhea::devices {

namespace {

constexpr uint64_t kMemorySize = 0x1000, kPortsSize = 0x100;

// The header: test, width, two bytes of padding, offset, data, count, name.
constexpr uint64_t kTest = 0, kWidth = 1, kOffset = 4, kData = 8, kCount = 12, kName = 16;
constexpr uint64_t kTarget = 0x80;  // where every test writes
constexpr uint8_t kTargetWidth = 1;
constexpr uint32_t kExpected = 0xfa;

constexpr std::array<std::string_view, 3> kMemoryNames = {"mmio-no-eventfd", "mmio-wildcard-eventfd",
                                                          "mmio-datamatch-eventfd"};
constexpr std::array<std::string_view, 3> kPortNames = {"portio-no-eventfd", "portio-wildcard-eventfd",
                                                        "portio-datamatch-eventfd"};
constexpr uint8_t kDataMatch = 2;

uint8_t byte_of(uint32_t value, uint64_t n) {
  return static_cast<uint8_t>(value >> (8 * n));
}

}  // namespace

PciTestDevice::PciTestDevice(uint64_t membar)
    : PciFunction({.vendor = 0x1b36, .device = 0x0005, .class_code = 0x00ff00}) {
  using bus::pci::BarKind;
  add_bar(0, BarKind::Memory32, kMemorySize, memory_);
  add_bar(1, BarKind::Io, kPortsSize, ports_);
  if (membar != 0) add_bar(2, BarKind::Prefetch64, membar, nothing_);
}

void PciTestDevice::reset(bus::ResetKind kind) {
  for (Window* window : {&memory_, &ports_}) {
    window->test = 0xff;
    window->count = 0;
  }
  PciFunction::reset(kind);
}

void PciTestDevice::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  v.field("memory_test", memory_.test);
  v.field("memory_count", memory_.count);
  v.field("ports_test", ports_.test);
  v.field("ports_count", ports_.count);
}

uint8_t PciTestDevice::Window::header_byte(uint64_t offset) const {
  const auto& names = ports ? kPortNames : kMemoryNames;
  if (test >= names.size()) return 0;  // a width of zero: no such test
  if (offset == kWidth) return kTargetWidth;
  if (offset >= kOffset && offset < kData) return byte_of(static_cast<uint32_t>(kTarget), offset - kOffset);
  if (offset >= kData && offset < kCount) return byte_of(kExpected, offset - kData);
  if (offset >= kCount && offset < kName) return byte_of(count, offset - kCount);
  const uint64_t at = offset - kName;
  return offset >= kName && at < names[test].size() ? static_cast<uint8_t>(names[test][at]) : uint8_t{0};
}

uint64_t PciTestDevice::Window::io_read(uint64_t offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= uint64_t{header_byte(offset + i)} << (8 * i);
  return value;
}

void PciTestDevice::Window::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset == kTest) {
    test = static_cast<uint8_t>(value);
    count = 0;
    return;
  }
  const bool hit = offset == kTarget && size == kTargetWidth && test < kMemoryNames.size();
  if (hit && (test != kDataMatch || (value & 0xff) == kExpected)) ++count;
}

}  // namespace rhea::devices
