// Every instruction that a helper runs, by the names that forms.inc uses. Those in *_full.cc are ordinary C++
// (HelpFull); the others are general-registers-only code (the guest's vector and x87 state is live in the
// host's registers): no libc, no allocation, no exceptions. Contract: see Helper and Outcome in forms.h.
#pragma once

#include "engine/dbt/forms.h"

namespace rhea::dbt::helpers {

// clang-format off
#define RHEA_HELPERS(X) \
  X(aaa) X(aad) X(aam) X(aas) X(arpl) X(bit_test) X(bound) X(cache_line) X(call_far) X(clac) X(cld) X(cli) \
  X(clts) X(clzero) X(cmps) X(cpuid) X(daa) X(das) X(enter) X(fldenv) X(fnsave) X(fnstenv) X(frstor) X(fxrstor) \
  X(fwait) X(fxsave) X(gather) X(hlt) X(ins) X(int1) X(int3) X(int_n) X(into) X(invlpg) X(invpcid) X(iret) X(jmp_far) \
  X(lar) X(lgdt) X(lidt) X(lldt) X(lmsw) X(load_far_pointer) X(lods) X(lsl) X(ltr) X(masked_memory) X(maskmov) \
  X(monitor) X(mov_from_cr) X(mov_from_dr) X(mov_from_seg) X(mov_to_cr) X(mov_to_dr) X(mov_to_seg) X(movdir64b) \
  X(movdiri) X(movs) X(mwait) X(outs) X(pause) X(pop_seg) X(popa) X(popf) X(port_in) X(port_out) X(push_seg) \
  X(pusha) X(pushf) X(rdfsbase) X(rdgsbase) X(rdmsr) X(rdpid) X(rdpkru) X(rdpmc) X(rdtsc) X(rdtscp) X(ret_far) \
  X(rsm) X(salc) X(scas) X(scatter) X(sgdt) X(sidt) X(sldt) X(smsw) X(stac) X(std_) X(sti) X(stos) X(str) \
  X(swapgs) X(syscall) X(sysenter) X(sysexit) X(sysret) X(verr) X(verw) X(vmaskmov) X(wbinvd) X(wrfsbase) \
  X(wrgsbase) X(wrmsr) X(wrpkru) X(xgetbv) X(xlat) X(xrstor) X(xrstors) X(xsave) X(vzero) X(xsavec) X(xsaves) X(xsetbv)
// clang-format on

#define X(name) Outcome name(cpu::Core& c, const Insn& insn);
RHEA_HELPERS(X)
#undef X

// For forms that the translator refuses.
Outcome raise_ud(cpu::Core& c, const Insn& insn);
Outcome raise_nm(cpu::Core& c, const Insn& insn);
Outcome raise_gp(cpu::Core& c, const Insn& insn);
// RDRAND and RDSEED of deterministic runs.
Outcome seeded_random(cpu::Core& c, const Insn& insn);

}  // namespace rhea::dbt::helpers
