#include "devices/net/e1000_phy.h"

namespace rhea::devices::e1000 {

namespace {

enum PhyRegister : unsigned {
  kControl = 0,
  kStatus = 1,
  kId1 = 2,
  kId2 = 3,
  kAdvertise = 4,
  kPartner = 5,
  kExpansion = 6,
  kGigabitControl = 9,
  kGigabitStatus = 10,
  kExtendedStatus = 15,
  kSpecificControl = 16,
  kSpecificStatus = 17,
  kInterruptEnable = 18,
  kExtendedControl = 20,
  kPageSelect = 29,
  kPageData = 30,
};

constexpr uint16_t kControlReset = 0x8000, kControlRestart = 0x0200;
constexpr uint16_t kStatusLink = 0x0004, kStatusNegotiated = 0x0020;
constexpr uint16_t kPartnerLink = 0x45e1, kGigabitPartner = 0x3c00;
constexpr uint16_t kSpecificLink = 0xac00;  // 1000 Mb/s, full duplex, resolved, link

// Bits that a write changes, by register.
constexpr uint16_t writable(unsigned index) {
  switch (index) {
    case kControl: return 0x7dc0;
    case kAdvertise:
    case kGigabitControl:
    case kSpecificControl:
    case kInterruptEnable:
    case kExtendedControl:
    case kPageSelect:
    case kPageData:
    case 24:
    case 25:
    case 26: return 0xffff;
    default: return 0;
  }
}

}  // namespace

void Phy::reset() {
  registers_ = {};
  registers_[kControl] = 0x1140;
  registers_[kStatus] = 0x7949;
  registers_[kId1] = 0x0141;
  registers_[kId2] = id_;
  registers_[kAdvertise] = 0x0de1;
  registers_[kExpansion] = 0x0007;
  registers_[kGigabitControl] = 0x0e00;
  registers_[kExtendedStatus] = 0x3000;
  registers_[kSpecificControl] = 0x0360;
  registers_[kExtendedControl] = 0x0d60;
}

void Phy::set_link(bool up) {
  link_ = up;
}

uint16_t Phy::read(unsigned index) const {
  const uint16_t value = registers_[index % kRegisters];
  const auto with_link = [&](unsigned bits) { return static_cast<uint16_t>(link_ ? value | bits : value); };
  switch (index) {
    case kStatus: return with_link(kStatusLink | kStatusNegotiated);
    case kPartner: return with_link(kPartnerLink);
    case kGigabitStatus: return with_link(kGigabitPartner);
    case kSpecificStatus: return with_link(kSpecificLink);
    default: return value;
  }
}

bool Phy::write(unsigned index, uint16_t value) {
  index %= kRegisters;
  if (index == kControl && (value & kControlReset) != 0) {
    reset();
    return true;
  }
  const uint16_t mask = writable(index);
  registers_[index] = static_cast<uint16_t>((registers_[index] & ~mask) | (value & mask));
  return index == kControl && (value & kControlRestart) != 0;
}

void Phy::state(bus::StateVisitor& v) {
  v.enter("phy");
  for (uint16_t& value : registers_) v.field("register", value);
  v.leave();
}

}  // namespace rhea::devices::e1000
