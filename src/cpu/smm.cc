// Entry to system-management mode and RSM. SDM vol. 3C chapter 31 (32 in later editions), AMD APM vol. 2
// chapter 10.
//
// The 64-bit map is used where the guest's CPU has long mode, else the 32-bit one: what SeaBIOS and OVMF
// expect. Missing: I/O instruction restart (its fields are zero and ignored), dual-monitor treatment.
#include "cpu/control_transfer.h"
#include "cpu/cpuid.h"
#include "cpu/smm_layout.h"
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

bool long_mode_capable(const Core& c) {
  return c.cpuid != nullptr && c.cpuid->has(Feature::lm);
}

void switch_memory(Core& c) {
  if (c.smm_memory == nullptr) return;
  memory::AddressSpace* other = c.memory;
  c.memory = c.smm_memory;
  c.smm_memory = other;
}

class Map {
 public:
  explicit Map(Core& c) : c_(c), base_(c.s.smbase) {}
  void put(uint32_t at, uint64_t value, unsigned size) {
    write_physical(c_, (base_ + at) & 0xffffffffu, size, value);
  }
  uint64_t get(uint32_t at, unsigned size) { return read_physical(c_, (base_ + at) & 0xffffffffu, size); }
  uint64_t get64(uint32_t at) { return get(at, 8); }
  uint32_t get32(uint32_t at) { return static_cast<uint32_t>(get(at, 4)); }
  uint16_t get16(uint32_t at) { return static_cast<uint16_t>(get(at, 2)); }

 private:
  Core& c_;
  uint32_t base_;
};

// ---- 64-bit map ----

// An unusable segment has no attribute bit of its own in the map; it is one that is not present.
uint32_t packed(const Segment& s) {
  return s.usable() ? s.attr & 0xf0ff : s.attr & (3u << attr::kDplShift);
}
uint32_t unpacked(uint32_t a) {
  return (a & attr::kPresent) != 0 ? a & 0xf0ff : (a & 0x60) | attr::kUnusable;
}

void put_segment64(Map& m, uint32_t at, const Segment& s) {
  m.put(at, s.selector, 2);
  m.put(at + 2, packed(s), 2);
  m.put(at + 4, s.limit, 4);
  m.put(at + 8, s.base, 8);
}

void get_segment64(Map& m, uint32_t at, Segment& s) {
  s.selector = m.get16(at);
  s.attr = unpacked(m.get16(at + 2));
  s.limit = m.get32(at + 4);
  s.base = m.get64(at + 8);
}

void save64(Core& c, Map& m) {
  using namespace smm::wide;
  const CpuState& s = c.s;
  for (unsigned i = 0; i < 6; i++) put_segment64(m, kSegments + i * 16, s.seg[i]);
  put_segment64(m, kLdtr, s.seg[LDTR]);
  put_segment64(m, kTr, s.seg[TR]);
  m.put(kGdtr + 4, s.gdtr.limit, 4);
  m.put(kGdtr + 8, s.gdtr.base, 8);
  m.put(kIdtr + 4, s.idtr.limit, 4);
  m.put(kIdtr + 8, s.idtr.base, 8);
  m.put(kAutoHalt, s.halted, 1);
  m.put(kNmiMask, s.nmi_blocked, 1);
  m.put(kEfer, s.efer, 8);
  m.put(smm::kRevision, smm::kRevision64, 4);
  m.put(kSmbase, s.smbase, 4);
  m.put(kCr4, s.cr4, 8);
  m.put(kCr3, s.cr3, 8);
  m.put(kCr0, s.cr0, 8);
  m.put(kDr7, s.dr[7], 8);
  m.put(kDr6, s.dr[6], 8);
  m.put(kRflags, s.rflags(), 8);
  m.put(kRip, s.rip, 8);
  for (unsigned i = 0; i < 8; i++) m.put(kR15 + i * 8, s.gpr[15 - i], 8);
  for (unsigned i = 0; i < 8; i++) m.put(kRdi + i * 8, s.gpr[7 - i], 8);
}

void load64(Core& c, Map& m) {
  using namespace smm::wide;
  CpuState& s = c.s;
  for (unsigned i = 0; i < 6; i++) get_segment64(m, kSegments + i * 16, s.seg[i]);
  get_segment64(m, kLdtr, s.seg[LDTR]);
  get_segment64(m, kTr, s.seg[TR]);
  s.gdtr.limit = m.get32(kGdtr + 4) & 0xffff;
  s.gdtr.base = m.get64(kGdtr + 8);
  s.idtr.limit = m.get32(kIdtr + 4) & 0xffff;
  s.idtr.base = m.get64(kIdtr + 8);
  s.halted = m.get(kAutoHalt, 1) & 1;
  s.nmi_blocked = m.get(kNmiMask, 1) & 1;
  s.efer = m.get64(kEfer);
  s.cr4 = m.get64(kCr4);
  s.cr3 = m.get64(kCr3);
  s.cr0 = m.get64(kCr0);
  s.dr[7] = (m.get64(kDr7) & 0xffff23ff) | 0x400;
  s.dr[6] = (m.get64(kDr6) & 0xe00f) | 0xffff0ff0;
  s.set_rflags(m.get64(kRflags));
  s.rip = m.get64(kRip);
  for (unsigned i = 0; i < 8; i++) s.gpr[15 - i] = m.get64(kR15 + i * 8);
  for (unsigned i = 0; i < 8; i++) s.gpr[7 - i] = m.get64(kRdi + i * 8);
  if ((m.get32(smm::kRevision) & smm::kRelocatable) != 0) s.smbase = m.get32(kSmbase);
}

// ---- 32-bit map ----

void put_hidden32(Map& m, uint32_t at, const Segment& s) {
  m.put(at, packed(s), 4);
  m.put(at + 4, s.limit, 4);
  m.put(at + 8, s.base, 4);
}

void get_hidden32(Map& m, uint32_t at, Segment& s) {
  s.attr = unpacked(m.get32(at));
  s.limit = m.get32(at + 4);
  s.base = m.get32(at + 8);
}

void save32(Core& c, Map& m) {
  using namespace smm::narrow;
  const CpuState& s = c.s;
  for (unsigned i = 0; i < 6; i++) {
    m.put(kSelectors + i * 4, s.seg[i].selector, 4);
    put_hidden32(m, segment(i), s.seg[i]);
  }
  m.put(kLdtrSelector, s.seg[LDTR].selector, 4);
  put_hidden32(m, kLdtr, s.seg[LDTR]);
  m.put(kTrSelector, s.seg[TR].selector, 4);
  put_hidden32(m, kTr, s.seg[TR]);
  m.put(kGdtr, s.gdtr.limit, 4);
  m.put(kGdtr + 4, s.gdtr.base, 4);
  m.put(kIdtr, s.idtr.limit, 4);
  m.put(kIdtr + 4, s.idtr.base, 4);
  m.put(kAutoHalt, s.halted, 2);
  m.put(kNmiMask, s.nmi_blocked, 1);
  m.put(smm::kRevision, smm::kRevision32, 4);
  m.put(kSmbase, s.smbase, 4);
  m.put(kCr4, s.cr4, 4);
  m.put(kCr3, s.cr3, 4);
  m.put(kCr0, s.cr0, 4);
  m.put(kDr7, s.dr[7], 4);
  m.put(kDr6, s.dr[6], 4);
  m.put(kEflags, s.rflags(), 4);
  m.put(kEip, s.rip, 4);
  for (unsigned i = 0; i < 8; i++) m.put(kEax + i * 4, s.gpr[i], 4);
}

void load32(Core& c, Map& m) {
  using namespace smm::narrow;
  CpuState& s = c.s;
  for (unsigned i = 0; i < 6; i++) {
    s.seg[i].selector = m.get16(kSelectors + i * 4);
    get_hidden32(m, segment(i), s.seg[i]);
  }
  s.seg[LDTR].selector = m.get16(kLdtrSelector);
  get_hidden32(m, kLdtr, s.seg[LDTR]);
  s.seg[TR].selector = m.get16(kTrSelector);
  get_hidden32(m, kTr, s.seg[TR]);
  s.gdtr.limit = m.get32(kGdtr) & 0xffff;
  s.gdtr.base = m.get32(kGdtr + 4);
  s.idtr.limit = m.get32(kIdtr) & 0xffff;
  s.idtr.base = m.get32(kIdtr + 4);
  s.halted = m.get16(kAutoHalt) & 1;
  s.nmi_blocked = m.get(kNmiMask, 1) & 1;
  s.cr4 = m.get32(kCr4);
  s.cr3 = m.get32(kCr3);
  s.cr0 = m.get32(kCr0);
  s.dr[7] = (m.get32(kDr7) & 0xffff23ff) | 0x400;
  s.dr[6] = (m.get32(kDr6) & 0xe00f) | 0xffff0ff0;
  s.set_rflags(m.get32(kEflags));
  s.rip = m.get32(kEip);
  for (unsigned i = 0; i < 8; i++) s.gpr[i] = m.get32(kEax + i * 4);
  if ((m.get32(smm::kRevision) & smm::kRelocatable) != 0) s.smbase = m.get32(kSmbase);
}

// The combinations that make RSM shut the processor down (SDM vol. 3C 31.4.1); others are forced into shape.
bool possible(Core& c) {
  CpuState& s = c.s;
  constexpr uint64_t kCr0Defined = 0xe005003f, kCr4Defined = 0x1f71fff, kEferDefined = 0xffff;
  bool paging = (s.cr0 & cr0::PG) != 0;
  if ((paging && (s.cr0 & cr0::PE) == 0) || ((s.cr0 & cr0::NW) != 0 && (s.cr0 & cr0::CD) == 0)) return false;
  if ((s.cr4 & ~kCr4Defined) != 0 || (s.efer & ~kEferDefined) != 0 || s.cr0 >> 32 != 0) return false;
  bool long_active = paging && (s.efer & efer::LME) != 0;
  if (long_active && (s.cr4 & cr4::PAE) == 0) return false;
  if (!long_active && (s.cr4 & cr4::PCIDE) != 0) return false;
  s.cr0 = (s.cr0 & kCr0Defined) | cr0::ET;
  s.efer = long_active ? s.efer | efer::LMA : s.efer & ~efer::LMA;
  return true;
}

void handler_state(Core& c) {
  CpuState& s = c.s;
  constexpr uint32_t kData = attr::kPresent | attr::kS | attr::kWritable | attr::kAccessed | attr::kGranular;
  for (SegIndex i : {ES, CS, SS, DS, FS, GS}) set_flat_segment(c, i, 0, kData);
  s.seg[CS].selector = static_cast<uint16_t>(s.smbase >> 4);
  s.seg[CS].base = s.smbase;
  s.cr0 &= ~(cr0::PE | cr0::EM | cr0::TS | cr0::PG);
  s.cr4 = 0;
  if (long_mode_capable(c)) s.efer = 0;  // the narrow map has no place for it: NXE stays
  s.dr[7] = 0x400;
  s.set_rflags(0);
  s.rip = smm::kHandler;
  s.cpl = 0;
  s.halted = 0;
  s.nmi_blocked = 1;
  s.interrupt_shadow = s.shadow_is_mov_ss = 0;
}

}  // namespace

void enter_smm(Core& c) {
  switch_memory(c);
  c.s.in_smm = 1;
  c.hooks->flush_tlb(c, true);
  Map m(c);
  if (long_mode_capable(c)) {
    save64(c, m);
  } else {
    save32(c, m);
  }
  handler_state(c);
  told(c);
}

bool rsm(Core& c) {
  if (c.s.in_smm == 0) return c.raise(vec::UD);
  Map m(c);
  if (long_mode_capable(c)) {
    load64(c, m);
  } else {
    load32(c, m);
  }
  if (!possible(c)) return c.raise(kShutdown);
  c.s.cpl = c.s.vm86() ? 3 : !c.s.protected_mode() ? 0 : static_cast<uint8_t>(c.s.seg[SS].dpl());
  c.s.in_smm = 0;
  c.s.interrupt_shadow = c.s.shadow_is_mov_ss = 0;
  switch_memory(c);
  bool pae = (c.s.cr0 & cr0::PG) != 0 && (c.s.cr4 & cr4::PAE) != 0 && !c.s.long_mode();
  if (pae && !load_pdptes(c, c.s.cr3)) return c.raise(kShutdown);
  c.hooks->flush_tlb(c, true);
  told(c);
  return true;
}

}  // namespace rhea::cpu
