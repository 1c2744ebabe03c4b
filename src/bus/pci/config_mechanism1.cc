#include "bus/pci/config_mechanism1.h"

namespace rhea::bus::pci {

namespace {
constexpr uint32_t kEnable = 0x80000000;
constexpr uint32_t kAddressBits = 0x80fffffc;
constexpr uint64_t kResetControl = 1;
constexpr uint64_t kData = 4;
}  // namespace

void ConfigMechanism1::state(StateVisitor& v) {
  v.field("address", address_);
  address_ &= kAddressBits;
}

// A data access must not leave the dword: the address space never hands over one that leaves the region.
bool ConfigMechanism1::selected(uint64_t offset, unsigned size) const {
  return offset >= kData && offset - kData + size <= 4 && (address_ & kEnable) != 0;
}

uint64_t ConfigMechanism1::io_read(uint64_t offset, unsigned size) {
  if (offset == 0 && size == 4) return address_;
  if (offset == kResetControl && size == 1 && wiring_.reset_control != nullptr)
    return wiring_.reset_control->io_read(0, 1);
  const uint64_t ones = size >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size)) - 1;
  if (!selected(offset, size)) return ones;
  const unsigned reg = (address_ & 0xfc) + static_cast<unsigned>(offset - kData);
  return wiring_.root.config_read((address_ >> 16) & 0xff, (address_ >> 8) & 0xff, reg, size) & ones;
}

void ConfigMechanism1::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset == 0 && size == 4) {
    address_ = static_cast<uint32_t>(value) & kAddressBits;
    return;
  }
  if (offset == kResetControl && size == 1 && wiring_.reset_control != nullptr) {
    wiring_.reset_control->io_write(0, 1, value);
    return;
  }
  if (!selected(offset, size)) return;
  const unsigned reg = (address_ & 0xfc) + static_cast<unsigned>(offset - kData);
  wiring_.root.config_write((address_ >> 16) & 0xff, (address_ >> 8) & 0xff, reg, size,
                            static_cast<uint32_t>(value));
}

}  // namespace rhea::bus::pci
