// A vCPU with 2 MiB of memory, tables at fixed places and recording hooks, for the unit tests of this folder
// only.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <mutex>

#include "cpu/control_transfer.h"
#include "cpu/core.h"
#include "cpu/paging.h"
#include "cpu/registers.h"
#include "cpu/segmentation.h"
#include "memory/address_space.h"
#include "memory/ram_block.h"

namespace rhea::cpu::test {

inline constexpr uint64_t kGdt = 0x1000, kLdt = 0x1800, kIdt = 0x2000, kTss = 0x3000, kOtherTss = 0x6000,
                          kStack0 = 0x9000, kStack3 = 0xa000, kIstStack = 0xb000, kCode = 0x20000,
                          kHandler = 0x30000, kPageTables = 0x100000;

// Selectors of the GDT that protected() and long_mode() build.
inline constexpr uint16_t kCode0 = 0x08, kData0 = 0x10, kCode3 = 0x1b, kData3 = 0x23, kCode16 = 0x28,
                          kData16 = 0x30, kConforming = 0x38, kTssSel = 0x40, kCode64 = 0x50,
                          kCode64User = 0x5b, kLdtSel = 0x60, kCodeAbsent = 0x70, kDataAbsent = 0x78,
                          kReadOnly = 0x80, kExecOnly = 0x88, kCode1 = 0x91, kData1 = 0x99,
                          kOtherTssSel = 0xa0, kFree = 0xb0;

inline uint64_t descriptor(uint32_t base, uint32_t limit, uint32_t attributes) {
  if ((attributes & attr::kGranular) != 0) limit >>= 12;
  return (limit & 0xffff) | static_cast<uint64_t>(base & 0xffffff) << 16 |
         static_cast<uint64_t>(attributes & 0xf0ff) << 40 | static_cast<uint64_t>(limit >> 16 & 0xf) << 48 |
         static_cast<uint64_t>(base >> 24) << 56;
}

inline uint64_t gate(uint16_t selector, uint32_t offset, unsigned type, unsigned dpl, bool present = true,
                     unsigned count = 0) {
  return (offset & 0xffff) | static_cast<uint64_t>(selector) << 16 | static_cast<uint64_t>(count) << 32 |
         static_cast<uint64_t>(type | dpl << 5 | (present ? 0x80u : 0u)) << 40 |
         static_cast<uint64_t>(offset >> 16) << 48;
}

class CpuTest : public testing::Test {
 protected:
  CpuTest() : memory_("memory", lock_) {
    ram_ = *memory::RamBlock::create("ram", kRam);
    EXPECT_TRUE(memory_.map_ram(Gpa{0}, *ram_, 0, kRam));
    owner_ = std::make_unique<Core>();
    c().memory = &memory_;
    c().hooks = &kHooks;
    c().engine = this;
    reset_state();
  }
  ~CpuTest() override { paging_destroy(c()); }

  Core& c() { return *owner_; }
  CpuState& s() { return owner_->s; }

  template <class T>
  void poke(uint64_t at, T value) {
    for (unsigned i = 0; i < sizeof(T); i++)
      ram_->host()[at + i] = static_cast<uint8_t>(static_cast<uint64_t>(value) >> (8 * i));
  }
  uint64_t peek(uint64_t at, unsigned size) const {
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++) v |= static_cast<uint64_t>(ram_->host()[at + i]) << (8 * i);
    return v;
  }
  void set_gdt(uint16_t selector, uint64_t value) { poke(kGdt + (selector & 0xfff8u), value); }
  void set_idt(unsigned vector, uint64_t value) { poke(kIdt + vector * 8, value); }
  void set_idt64(unsigned vector, uint16_t selector, uint64_t offset, unsigned type, unsigned dpl,
                 unsigned ist = 0) {
    poke(kIdt + vector * 16, gate(selector, static_cast<uint32_t>(offset), type, dpl, true, ist));
    poke(kIdt + vector * 16 + 8, offset >> 32);
  }

  // Real-address mode with a stack at 0:8000h.
  void real() {
    for (SegIndex i : {ES, CS, SS, DS, FS, GS}) {
      s().seg[i].limit = 0xffff;
      s().seg[i].attr = 0;
      set_real_segment(c(), i, 0);
    }
    s().set_rflags(0);
    s().cpl = 0;
    s().cr4 = s().efer = 0;
    s().cr0 = cr0::ET;
    s().gpr[RSP] = 0x8000;
    s().idtr = {.base = 0, .limit = 0x3ff, .pad = 0};
  }

  // 32-bit protected mode without paging, in ring `cpl` (0, 1 or 3), every vector an interrupt gate to
  // kHandler.
  void protected_mode(unsigned cpl = 0) {
    build_tables();
    s().cr0 = cr0::PE | cr0::ET;
    enter(cpl == 0 ? kCode0 : cpl == 1 ? kCode1 : kCode3, cpl == 0 ? kData0 : cpl == 1 ? kData1 : kData3);
    s().rip = kCode;
    s().gpr[RSP] = cpl == 3 ? kStack3 : kStack0;
    for (unsigned v = 0; v < 256; v++) set_idt(v, gate(kCode0, kHandler, 14, 3));
    s().idtr = {.base = kIdt, .limit = 256 * 8 - 1, .pad = 0};
    told_ = flushed_ = flushed_global_ = 0;
  }

  // Virtual-8086 mode under protected_mode(): CS:IP 1000:0100, SS:SP 0800:1000.
  void vm86(unsigned iopl) {
    protected_mode(3);
    s().system_flags |= static_cast<uint32_t>(rflags::VM | static_cast<uint64_t>(iopl) << 12);
    constexpr uint16_t kSelectors[] = {0x700, 0x1000, 0x800, 0x600, 0x500, 0x400};
    for (unsigned i = 0; i < 6; i++) EXPECT_TRUE(load_segment(c(), static_cast<SegIndex>(i), kSelectors[i]));
    clear_shadow();
    s().gpr[RSP] = 0x1000;
    s().rip = 0x100;
  }

  // 64-bit mode, memory mapped one to one by 2 MiB user pages.
  void long_mode(unsigned cpl = 0) {
    build_tables();
    poke(kPageTables, kPageTables + 0x1000 + 7);
    poke(kPageTables + 0x1000, kPageTables + 0x2000 + 7);
    for (unsigned i = 0; i < 512; i++) poke(kPageTables + 0x2000 + i * 8, i * 0x200000ull + 0x87);
    s().cr3 = kPageTables;
    s().cr4 = cr4::PAE;
    s().efer = efer::LME | efer::LMA | efer::SCE | efer::NXE;
    s().cr0 = cr0::PE | cr0::ET | cr0::PG | cr0::WP;
    enter(cpl == 0 ? kCode64 : kCode64User, cpl == 0 ? kData0 : kData3);
    s().rip = kCode;
    s().gpr[RSP] = cpl == 3 ? kStack3 : kStack0;
    for (unsigned v = 0; v < 256; v++) set_idt64(v, kCode64, kHandler, 14, 3);
    s().idtr = {.base = kIdt, .limit = 256 * 16 - 1, .pad = 0};
    poke(kTss + 4, uint64_t{kStack0});
    poke(kTss + 0x24, uint64_t{kIstStack});
    told_ = flushed_ = flushed_global_ = 0;
  }

  // Gives ring `cpl` these segments without the checks of an instruction.
  void enter(uint16_t cs, uint16_t data) {
    s().cpl = cs & 3;
    Descriptor d;
    EXPECT_TRUE(fetch_descriptor(c(), cs, d));
    set_segment(c(), CS, cs, d);
    EXPECT_TRUE(fetch_descriptor(c(), data, d));
    for (SegIndex i : {ES, SS, DS, FS, GS}) set_segment(c(), i, data, d);
  }

  void clear_shadow() { s().interrupt_shadow = s().shadow_is_mov_ss = 0; }

  // The fault a failed operation recorded.
  testing::AssertionResult faulted(bool ok, uint8_t vector, int64_t code = -1) {
    if (ok) return testing::AssertionFailure() << "no fault";
    const Fault& f = c().fault;
    if (f.vector == vector && f.has_code == (code >= 0) && (code < 0 || f.code == code))
      return testing::AssertionSuccess();
    return testing::AssertionFailure()
           << "fault " << int{f.vector} << " code " << (f.has_code ? static_cast<int64_t>(f.code) : -1);
  }

  unsigned told_ = 0, flushed_ = 0, flushed_global_ = 0;

 private:
  static constexpr uint64_t kRam = 2 << 20;

  void reset_state() {
    s().set_rflags(0);
    s().dr[7] = 0x400;
    s().gdtr = {.base = kGdt, .limit = 0xff, .pad = 0};
    s().seg[LDTR].attr = attr::kUnusable;
    s().seg[TR].attr = attr::kUnusable;
  }

  void build_tables() {
    s().set_rflags(0);
    s().cr4 = s().efer = 0;
    s().cr0 = cr0::PE | cr0::ET;
    s().gdtr = {.base = kGdt, .limit = 0xff, .pad = 0};
    constexpr uint32_t kP = attr::kPresent, kSeg = kP | attr::kS, k32 = attr::kBig | attr::kGranular,
                       kRing3 = 3 << 5, kRing1 = 1 << 5;
    constexpr uint32_t kCodeType = attr::kCode | attr::kReadable, kDataType = attr::kWritable;
    set_gdt(0, 0);
    set_gdt(kCode0, descriptor(0, ~0u, kSeg | kCodeType | k32));
    set_gdt(kData0, descriptor(0, ~0u, kSeg | kDataType | k32));
    set_gdt(kCode3, descriptor(0, ~0u, kSeg | kCodeType | k32 | kRing3));
    set_gdt(kData3, descriptor(0, ~0u, kSeg | kDataType | k32 | kRing3));
    set_gdt(kCode16, descriptor(0, 0xffff, kSeg | kCodeType));
    set_gdt(kData16, descriptor(0, 0xffff, kSeg | kDataType));
    set_gdt(kConforming, descriptor(0, ~0u, kSeg | kCodeType | attr::kConforming | k32));
    set_gdt(kTssSel, descriptor(kTss, 0x20ff, kP | 9));
    set_gdt(kTssSel + 8, 0);
    set_gdt(kCode64, descriptor(0, ~0u, kSeg | kCodeType | attr::kLong | attr::kGranular));
    set_gdt(kCode64User, descriptor(0, ~0u, kSeg | kCodeType | attr::kLong | attr::kGranular | kRing3));
    set_gdt(kLdtSel, descriptor(kLdt, 0x7f, kP | 2));
    set_gdt(kLdtSel + 8, 0);
    set_gdt(kCodeAbsent, descriptor(0, ~0u, attr::kS | kCodeType | k32));
    set_gdt(kDataAbsent, descriptor(0, ~0u, attr::kS | kDataType | k32));
    set_gdt(kReadOnly, descriptor(0, ~0u, kSeg | k32));
    set_gdt(kExecOnly, descriptor(0, ~0u, kSeg | attr::kCode | k32));
    set_gdt(kCode1, descriptor(0, ~0u, kSeg | kCodeType | k32 | kRing1));
    set_gdt(kData1, descriptor(0, ~0u, kSeg | kDataType | k32 | kRing1));
    set_gdt(kOtherTssSel, descriptor(kOtherTss, 103, kP | 9));
    poke(kTss + 4, uint32_t{kStack0});
    poke(kTss + 8, kData0);
    poke(kTss + 12, uint32_t{kStack0});
    poke(kTss + 16, kData1);
    poke(kTss + 0x66, uint16_t{0x88});  // I/O map after the interrupt redirection map
    s().seg[TR] = {.base = kTss, .limit = 0x20ff, .attr = kP | 11, .selector = kTssSel, .pad = {}};
  }

  static CpuTest& self(Core& core) { return *static_cast<CpuTest*>(core.engine); }
  static void flush(Core& core, bool global) {
    (global ? self(core).flushed_global_ : self(core).flushed_)++;
    if (global) {
      paging_flush_all(core);
    } else {
      paging_flush_non_global(core, (core.s.cr4 & cr4::PCIDE) != 0 ? core.s.cr3 & 0xfff : 0);
    }
  }
  static constexpr EngineHooks kHooks = {
      .flush_tlb = flush,
      .flush_page = paging_flush_page,
      .mode_changed = [](Core& core) { self(core).told_++; },
  };

  std::recursive_mutex lock_;
  memory::AddressSpace memory_;
  std::unique_ptr<memory::RamBlock> ram_;
  std::unique_ptr<Core> owner_;
};

}  // namespace rhea::cpu::test
