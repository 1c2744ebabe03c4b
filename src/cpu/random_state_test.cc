// The system-level semantics on random tables, registers and modes: whatever a guest sets up, they end, stay
// within guest memory (the sanitizer presets see to that) and keep the state's own rules.
#include <cstdlib>
#include <random>

#include "cpu/cpuid.h"
#include "cpu/test_machine.h"

namespace rhea::cpu::test {
namespace {

class RandomStateTest : public CpuTest {
 protected:
  void SetUp() override {
    for (unsigned i = 0; i < kFeatureCount; i++) table_.features.set(static_cast<Feature>(i));
    c().cpuid = &table_;
  }

  uint64_t word() { return random_(); }
  unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }
  uint64_t offset() {
    constexpr uint64_t kEdges[] = {0,       0xffff, 0x10000, 0xffffffff, 0x7fffffffffff, 0x800000000000,
                                   kStack0, kCode};
    return below(3) == 0 ? kEdges[below(8)] : below(2) == 0 ? word() : word() & 0x1fffff;
  }
  uint16_t selector() { return static_cast<uint16_t>(below(4) == 0 ? word() : below(0x100)); }

  void scramble() {
    switch (below(5)) {
      case 0: real(); break;
      case 1: protected_mode(below(2) * 3); break;
      case 2: vm86(below(4)); break;
      case 3: long_mode(below(2) * 3); break;
      default: long_mode(0), enter(kCode0, kData0); break;
    }
    for (unsigned i = below(24); i > 0; i--) poke(kGdt + below(32) * 8, word());
    for (unsigned i = below(8); i > 0; i--) poke(kIdt + below(512) * 8, word());
    for (unsigned i = below(16); i > 0; i--) poke(kTss + below(26) * 4, static_cast<uint32_t>(offset()));
    for (unsigned i = below(16); i > 0; i--)
      poke(kStack0 - 64 + below(32) * 8, below(2) == 0 ? offset() : selector());
    if (below(4) == 0) s().gpr[RSP] = offset();
    if (below(4) == 0) s().gpr[RCX] = offset();
    if (below(4) == 0) s().idtr.limit = below(0x1000);
    if (below(8) == 0) s().idtr.base = word();
    if (below(8) == 0) s().gdtr.base = word();
    if (below(4) == 0) s().gdtr.limit = below(0x100);
    if (below(4) == 0) s().seg[TR].limit = below(0x80);
    if (below(4) == 0) s().seg[TR].attr = attr::kPresent | 3;
    if (below(3) == 0) s().set_rflags((word() & ~rflags::VM) | (s().system_flags & rflags::VM));
    if (below(4) == 0) s().cr4 ^= (word() & (cr4::VME | cr4::PVI | cr4::SMAP | cr4::SMEP));
  }

  bool operate() {
    constexpr unsigned kSizes[] = {2, 4, 8};
    unsigned size = kSizes[below(3)];
    uint64_t value;
    switch (below(22)) {
      case 0:
      case 1:
      case 2: return event();
      case 3:
      case 4: return iret(c(), size, kCode + 1);
      case 5: return jmp_far(c(), selector(), offset(), size, kCode + 7);
      case 6: return call_far(c(), selector(), offset(), size, kCode + 7);
      case 7: return ret_far(c(), size, below(16));
      case 8: return load_segment(c(), static_cast<SegIndex>(below(6)), selector());
      case 9: return below(2) == 0 ? load_ldtr(c(), selector()) : load_tr(c(), selector());
      case 10: return syscall(c(), kCode + 2);
      case 11: return sysret(c(), size);
      case 12: return sysenter(c(), kCode + 2);
      case 13: return sysexit(c(), size);
      case 14:
        return software_interrupt(c(), static_cast<EventKind>(2 + below(3)), static_cast<uint8_t>(word()),
                                  kCode + 2);
      case 15: return popf(c(), word(), size);
      case 16: return write_cr0(c(), below(2) == 0 ? word() & 0xe005003f : word());
      case 17: return write_cr4(c(), below(2) == 0 ? word() & 0x7fffff : word());
      case 18: return write_cr3(c(), below(2) == 0 ? kPageTables : word());
      case 19: return check_io_permission(c(), static_cast<uint16_t>(word()), 1u << below(3));
      case 20: enter_smm(c()); return rsm(c());
      default:
        return to_linear(c(), static_cast<SegIndex>(below(6)), offset(), 1 + below(64), below(2) != 0, value);
    }
  }

  bool event() {
    auto kind = static_cast<EventKind>(below(5));
    return deliver(c(), {.kind = kind,
                         .vector = static_cast<uint8_t>(below(40)),
                         .has_code = below(2) == 0,
                         .code = below(0x10000),
                         .return_rip = kCode});
  }

  void check_rules() {
    ASSERT_LE(s().cpl, 3);
    if (s().vm86()) {
      ASSERT_TRUE(s().cpl == 3 || c().fault.vector != 0);
    }
    ASSERT_LE(s().interrupt_flag, 1);
    if (s().long_mode()) {
      ASSERT_EQ(s().cr0 & (cr0::PE | cr0::PG), cr0::PE | cr0::PG);
    }
  }

  std::mt19937_64 random_;
  CpuidTable table_;
};

TEST_F(RandomStateTest, any_tables_and_registers_are_survived) {
  const char* rounds_text = std::getenv("RHEA_RANDOM_ROUNDS");
  unsigned rounds =
      rounds_text != nullptr ? static_cast<unsigned>(std::strtoul(rounds_text, nullptr, 10)) : 20000;
  for (unsigned i = 0; i < rounds; i++) {
    random_.seed(i);
    SCOPED_TRACE(i);
    s().in_smm = 0;
    s().dr[7] = 0x400;
    paging_flush_all(c());
    scramble();
    c().fault = {};
    for (unsigned n = 0; n < 3; n++) {
      if (!operate() && c().fault.vector != 0 && !deliver_fault(c())) break;
    }
    ASSERT_NO_FATAL_FAILURE(check_rules());
  }
}

}  // namespace
}  // namespace rhea::cpu::test
