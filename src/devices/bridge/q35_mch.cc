#include "devices/bridge/q35_mch.h"

#include "bus/pci/pci_bus.h"

namespace rhea::devices {

namespace {

constexpr unsigned kExtendedTseg = 0x50, kPciexbar = 0x60, kPam0 = 0x90, kSmram = 0x9d, kEsmramc = 0x9e;

// What firmware writes for itself and for the system to read, without effect here: EPBAR and MCHBAR, GGC and
// DEVEN, DMIBAR, and the sizes of memory from TOM to TOLUD with the place of TSEG (5.1.9, 5.1.23 and on).
struct Kept {
  unsigned first, end;
};
constexpr Kept kKept[] = {{0x40, 0x50}, {0x52, 0x58}, {0x68, 0x70}, {0xa0, 0xb4}};

// 5.1.11.
constexpr uint32_t kDefaultBase = 0xb0000000, kPciexbarWritable = 0xfc000007, kPciexbarUpper = 0xf;
constexpr uint32_t kPciexbarEnable = 1;
// 5.1.22: bit 0 enables TSEG, bits 2..1 are its size, bits 5..3 (caching) are fixed, bit 6 is an error.
constexpr uint8_t kTsegEnable = 1, kEsmramcFixed = 0x38, kEsmramcWritable = 0x07;
constexpr uint16_t kTsegQuery = 0xffff;
constexpr uint64_t kMiB = uint64_t{1} << 20;

}  // namespace

Q35Mch::Q35Mch(const Wiring& wiring)
    : PciFunction({.vendor = 0x8086, .device = 0x29c0, .class_code = 0x060000}),
      wiring_(wiring),
      map_(*this, {.pam0 = kPam0, .smram = kSmram}, wiring.board),
      ecam_(wiring.root) {
  using namespace bus::pci;
  define16(kCommand, kCommandMemory | kCommandMaster, kCommandSerr | kCommandParity);
  define16(kStatus, kStatusFastBackToBack);
  for (const auto& [first, end] : kKept) {
    for (unsigned offset = first; offset < end; ++offset) define8(offset, 0, 0xff);
  }
  define32(kPciexbar, kDefaultBase, kPciexbarWritable);
  define32(kPciexbar + 4, 0, kPciexbarUpper);
  define_lockable();
  if (!wiring_.smm) define8(kSmram, 0x02);
}

void Q35Mch::define_lockable() {
  define8(kEsmramc, kEsmramcFixed, wiring_.smm ? kEsmramcWritable : 0);
  define16(kExtendedTseg, 0, wiring_.extended_tseg_mib != 0 ? 0xffff : 0);
}

void Q35Mch::reset(bus::ResetKind kind) {
  define_lockable();
  locked_ = false;
  PciFunction::reset(kind);
  map_.reset();
  if (!wiring_.smm) define8(kSmram, 0x02);
  report_tseg();
}

void Q35Mch::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  if (!v.loading()) return;
  map_.loaded();
  locked_ = false;
  const uint16_t tseg = config16(kExtendedTseg);
  const uint8_t esmramc = config8(kEsmramc);
  define_lockable();
  set_config16(kExtendedTseg, tseg);
  set_config8(kEsmramc, static_cast<uint8_t>((esmramc & kEsmramcWritable) | kEsmramcFixed));
  answer_tseg_query();
  update_lock();
  update_mappings();
  report_tseg();
}

std::optional<Q35Mch::Window> Q35Mch::mmconfig() const {
  const uint32_t low = config32(kPciexbar);
  if ((low & kPciexbarEnable) == 0) return std::nullopt;
  const unsigned length = low >> 1 & 3;
  if (length == 3) return std::nullopt;  // reserved
  const uint64_t size = 256 * kMiB >> length;
  const uint64_t base = static_cast<uint64_t>(config32(kPciexbar + 4)) << 32 | low;
  return Window{base & ~(size - 1), size};
}

void Q35Mch::update_mappings() {
  PciFunction::update_mappings();
  if (bus() == nullptr) return;
  const std::optional<Window> wanted = mmconfig();
  window_.place(bus()->memory(), wanted ? wanted->base : 0, wanted ? wanted->size : 0);
}

void Q35Mch::config_written(unsigned offset, unsigned size) {
  const unsigned end = offset + size;
  if (offset < kPciexbar + 8 && end > kPciexbar) update_mappings();
  map_.written(offset, size);
  answer_tseg_query();
  update_lock();
  if (end > kSmram || (offset < kExtendedTseg + 2 && end > kExtendedTseg)) report_tseg();
}

// All ones ask for the size of the TSEG that is neither 1, 2 nor 8 MiB.
void Q35Mch::answer_tseg_query() {
  if (wiring_.extended_tseg_mib != 0 && config16(kExtendedTseg) == kTsegQuery)
    set_config16(kExtendedTseg, wiring_.extended_tseg_mib);
}

// The lock bit of SMRAM holds for ESMRAMC, too.
void Q35Mch::update_lock() {
  if (locked_ || !map_.locked()) return;
  locked_ = true;
  const uint8_t esmramc = config8(kEsmramc);
  const uint16_t tseg = config16(kExtendedTseg);
  define8(kEsmramc, esmramc);
  define16(kExtendedTseg, tseg);
}

void Q35Mch::report_tseg() {
  if (wiring_.board == nullptr) return;
  const uint8_t esmramc = config8(kEsmramc);
  uint64_t size = 0;
  if ((esmramc & kTsegEnable) != 0 && map_.enabled()) {
    constexpr uint64_t kSizes[] = {1 * kMiB, 2 * kMiB, 8 * kMiB};
    const unsigned code = esmramc >> 1 & 3;
    size = code < 3 ? kSizes[code] : wiring_.extended_tseg_mib * kMiB;
  }
  wiring_.board->tseg_changed(size);
}

}  // namespace rhea::devices
