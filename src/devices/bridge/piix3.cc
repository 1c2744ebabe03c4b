#include "devices/bridge/piix3.h"

#include <utility>

namespace rhea::devices {

namespace {

constexpr unsigned kPirqRoute = 0x60;  // 2.2.11: PIRQRC[A:D]
constexpr uint8_t kRouteOff = 0x80;
constexpr uint8_t kRouteBits = 0x8f;
// Interrupts 0, 1, 2, 8 and 13 cannot be routed to (2.2.11).
constexpr uint16_t kRoutable = 0xdef8;

// 2.5.1.2.
constexpr uint8_t kResetCpu = 0x04, kResetHard = 0x02;

}  // namespace

Piix3::Piix3(Wiring wiring)
    : PciFunction({.vendor = 0x8086, .device = 0x7000, .class_code = 0x060100, .header_type = 0x80}),
      wiring_(std::move(wiring)) {
  using namespace bus::pci;
  define16(kCommand, kCommandIo | kCommandMemory | kCommandMaster, kCommandSerr);
  define16(kStatus, kStatusDevselMedium);
  define8(0x4c, 0x4d, 0xff);       // ISA I/O recovery timer
  define16(0x4e, 0x0003, 0xffff);  // X-bus chip select
  for (unsigned i = 0; i < 4; ++i) define8(kPirqRoute + i, kRouteOff, kRouteBits);
  define8(0x69, 0x02, 0xff);       // top of memory
  define16(0x6a, 0x0000, 0xffff);  // miscellaneous status
  define8(0x70, 0x80, 0xff);       // motherboard IRQ route
  define16(0x76, 0x0c0c, 0xffff);  // motherboard DMA control
  define16(0x78, 0x0002, 0xffff);  // programmable chip select
  define8(0x80, 0x00, 0x7f);       // APIC base
  define8(0x82, 0x00, 0x0f);       // deterministic latency
  define8(0xa0, 0x08, 0x1f);       // SMI control
  define16(0xa2, 0x0000, 0xffff);  // SMI enable
  define32(0xa4, 0x00000000, 0xffffffff);
  define8(0xa8, 0x0f, 0xff);
  define16(0xaa, 0x0000, 0xffff);
  define8(0xac, 0x00, 0xff);
  define8(0xae, 0x00, 0xff);
}

void Piix3::reset(bus::ResetKind kind) {
  PciFunction::reset(kind);
  reset_control_ = 0;
  drive();
}

void Piix3::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  for (bool& level : pirq_) v.field("pirq", level);
  v.field("shared", shared_);
  v.field("reset_control", reset_control_);
  if (v.loading()) drive();
}

void Piix3::set_irq(unsigned pin, bool level) {
  pirq_[pin & 3] = level;
  drive();
}

void Piix3::set_shared_isa(unsigned irq, bool level) {
  const unsigned bit = 1u << (irq & 15);
  shared_ = static_cast<uint16_t>(level ? shared_ | bit : shared_ & ~bit);
  drive();
}

void Piix3::drive() {
  unsigned levels = shared_;
  for (unsigned i = 0; i < pirq_.size(); ++i) {
    const uint8_t route = config8(kPirqRoute + i);
    if (pirq_[i] && (route & kRouteOff) == 0) levels |= (1u << (route & 15)) & kRoutable;
  }
  const unsigned changed = levels ^ driven_;
  driven_ = static_cast<uint16_t>(levels);
  if (wiring_.isa == nullptr) return;
  for (unsigned irq = 0; irq < 16; ++irq) {
    if ((changed >> irq & 1) != 0) wiring_.isa->set_irq(irq, (levels >> irq & 1) != 0);
  }
}

void Piix3::config_written(unsigned offset, unsigned size) {
  if (offset < kPirqRoute + 4 && offset + size > kPirqRoute) drive();
}

uint64_t Piix3::io_read(uint64_t, unsigned) {
  return reset_control_;
}

void Piix3::io_write(uint64_t, unsigned, uint64_t value) {
  const uint8_t before = reset_control_;
  const uint8_t now = static_cast<uint8_t>(value);
  reset_control_ = static_cast<uint8_t>(now & kResetHard);
  // The reset begins when bit 2 goes from 0 to 1; since that resets this register too, it always does.
  const bool hard = (now & kResetHard) != 0;
  if ((now & kResetCpu) != 0 && (before & kResetCpu) == 0 && wiring_.reset) wiring_.reset(hard);
}

}  // namespace rhea::devices
