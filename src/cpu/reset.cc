// Power-up and INIT. SDM vol. 3A 9.1.1, table 9-1 (10-1 in later editions).
// INIT leaves x87, SSE, XCR0, TSC and most MSRs alone and keeps CR0.CD and CR0.NW.
#include "cpu/control_transfer.h"
#include "cpu/cpuid.h"
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

constexpr uint64_t kApicBootProcessor = 0x100, kApicEnabled = 0x800, kApicAddress = 0xfee00000;

void power_up_state(Core& c) {
  CpuState& s = c.s;
  s.xcr0 = 1;
  s.pkru = 0;
  s.pat = 0x0007040600070406;
  s.apic_base = kApicAddress | kApicEnabled | (c.index == 0 ? kApicBootProcessor : 0);
  s.misc_enable = 1;  // fast strings
  s.smbase = 0x30000;
  s.mcg_ctl = ~0ull;
  for (auto& bank : s.mc_banks) bank[0] = ~0ull;
  for (unsigned i = 0; i < kXsaveBytes; i++) s.xsave[i] = 0;
  s.xsave[0] = 0x40;                       // FCW 0040h
  s.xsave[4] = 0xff;                       // all tags "zero", in the abridged form valid
  s.xsave[24] = 0x80, s.xsave[25] = 0x1f;  // MXCSR 1F80h
  s.xsave[512] = 3;                        // XSTATE_BV: x87 and SSE
}

void reset_segments(CpuState& s) {
  constexpr uint32_t kData = attr::kPresent | attr::kS | attr::kWritable | attr::kAccessed;
  for (SegIndex i : {ES, CS, SS, DS, FS, GS})
    s.seg[i] = {.base = 0, .limit = 0xffff, .attr = kData, .selector = 0, .pad = {}};
  s.seg[CS].selector = 0xf000;
  s.seg[CS].base = 0xffff0000;
  s.seg[CS].attr = kData | attr::kCode;
  s.seg[LDTR] = {.base = 0, .limit = 0xffff, .attr = attr::kPresent | kLdt, .selector = 0, .pad = {}};
  s.seg[TR] = {.base = 0, .limit = 0xffff, .attr = attr::kPresent | kTss32Busy, .selector = 0, .pad = {}};
  s.gdtr = {.base = 0, .limit = 0xffff, .pad = 0};
  s.idtr = {.base = 0, .limit = 0xffff, .pad = 0};
}

}  // namespace

void reset_core(Core& c, bool power_up) {
  CpuState& s = c.s;
  if (power_up) power_up_state(c);
  for (uint64_t& r : s.gpr) r = 0;
  s.gpr[RDX] = c.cpuid != nullptr ? query_cpuid(c, 1, 0).eax : 0x600;
  s.rip = 0xfff0;
  s.set_rflags(0);
  reset_segments(s);
  s.cr0 = cr0::ET | (power_up ? cr0::CD | cr0::NW : s.cr0 & (cr0::CD | cr0::NW));
  s.cr2 = s.cr3 = s.cr4 = 0;
  s.efer = 0;
  for (unsigned i = 0; i < 4; i++) s.dr[i] = 0;
  s.dr[6] = 0xffff0ff0;
  s.dr[7] = 0x400;
  s.debugctl = 0;
  s.cpl = 0;
  s.nmi_blocked = s.interrupt_shadow = s.shadow_is_mov_ss = 0;
  if (s.in_smm != 0 && c.smm_memory != nullptr) {
    memory::AddressSpace* other = c.memory;
    c.memory = c.smm_memory;
    c.smm_memory = other;
  }
  s.in_smm = 0;
  // Application processors wait for a start-up IPI.
  s.wait_for_sipi = (s.apic_base & kApicBootProcessor) == 0;
  s.halted = s.wait_for_sipi;
  if (c.hooks != nullptr) {
    c.hooks->flush_tlb(c, true);
    told(c);
  }
}

}  // namespace rhea::cpu
