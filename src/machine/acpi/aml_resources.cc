// Resource descriptors: ACPI 6.4 section 6.4.2 (small items) and 6.4.3 (large items).
#include <bit>

#include "base/check.h"
#include "machine/acpi/aml.h"

namespace rhea::machine::aml {
namespace {

// Large item types and the general flags of address space descriptors (6.4.3.5): both ends fixed, positive
// decode.
constexpr uint8_t kMemory32Fixed = 0x86, kWordAddress = 0x88, kDWordAddress = 0x87, kQWordAddress = 0x8a,
                  kExtendedInterrupt = 0x89;
constexpr uint8_t kTypeMemory = 0, kTypeIo = 1, kTypeBus = 2;
constexpr uint8_t kMinFixed = 1 << 2, kMaxFixed = 1 << 3;
constexpr uint8_t kMemoryWritable = 1, kMemoryCacheable = 1 << 1;
constexpr uint8_t kEntireRange = 3;

void append_le(std::vector<uint8_t>& to, uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; i++) to.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

Term address_space(uint8_t item, unsigned width, uint8_t type, uint8_t specific, uint64_t min, uint64_t max) {
  CHECK(min <= max);
  Term t{{item}};
  append_le(t.bytes, 3 + 5 * width, 2);
  t.bytes.push_back(type);
  t.bytes.push_back(kMinFixed | kMaxFixed);
  t.bytes.push_back(specific);
  append_le(t.bytes, 0, width);  // granularity
  append_le(t.bytes, min, width);
  append_le(t.bytes, max, width);
  append_le(t.bytes, 0, width);  // translation
  append_le(t.bytes, max - min + 1, width);
  return t;
}

}  // namespace

Term io(uint16_t min, uint16_t max, uint8_t alignment, uint8_t length) {
  Term t{{0x47, 1}};  // 16-bit decode
  append_le(t.bytes, min, 2);
  append_le(t.bytes, max, 2);
  t.bytes.push_back(alignment);
  t.bytes.push_back(length);
  return t;
}

Term dma(unsigned channel) {
  CHECK(channel < 8);
  return {{0x2a, static_cast<uint8_t>(1u << channel), 0}};
}

Term irq(unsigned number) {
  CHECK(number < 16);
  Term t{{0x22}};
  append_le(t.bytes, uint64_t{1} << number, 2);
  return t;
}

Term interrupt_level_high_shared(std::initializer_list<uint32_t> gsis) {
  Term t{{kExtendedInterrupt}};
  append_le(t.bytes, 2 + 4 * gsis.size(), 2);
  t.bytes.push_back(1 | 1 << 3);  // consumer, level, active high, shared
  t.bytes.push_back(static_cast<uint8_t>(gsis.size()));
  for (uint32_t gsi : gsis) append_le(t.bytes, gsi, 4);
  return t;
}

Term memory32_fixed(uint32_t base, uint32_t length, bool writable) {
  Term t{{kMemory32Fixed, 9, 0, static_cast<uint8_t>(writable)}};
  append_le(t.bytes, base, 4);
  append_le(t.bytes, length, 4);
  return t;
}

Term bus_range(uint16_t min, uint16_t max) {
  return address_space(kWordAddress, 2, kTypeBus, 0, min, max);
}
Term io_window(uint16_t min, uint16_t max) {
  return address_space(kWordAddress, 2, kTypeIo, kEntireRange, min, max);
}

Term memory_window32(uint32_t min, uint32_t max, bool cacheable) {
  uint8_t specific = static_cast<uint8_t>(kMemoryWritable | (cacheable ? kMemoryCacheable : 0));
  return address_space(kDWordAddress, 4, kTypeMemory, specific, min, max);
}

Term memory_window64(uint64_t min, uint64_t max) {
  return address_space(kQWordAddress, 8, kTypeMemory, kMemoryWritable | kMemoryCacheable, min, max);
}

Term resources(const Terms& descriptors) {
  std::vector<uint8_t> all;
  for (const Term& d : descriptors) all.insert(all.end(), d.bytes.begin(), d.bytes.end());
  all.push_back(0x79);
  all.push_back(0);  // checksum 0: treated as good
  return buffer(all);
}

}  // namespace rhea::machine::aml
