// Control and debug registers, TLB and cache control, CPUID, time stamps, protection keys, idling, MSRs.
// SDM vol. 2 per instruction, vol. 3A 2.5-2.8; APM vol. 3 (CLZERO).
// MWAIT does not watch the monitored line: it gives up the host CPU and returns, as the manual allows at any
// time.
#include <asm/unistd_64.h>

#include "cpu/control_transfer.h"
#include "cpu/registers.h"
#include "engine/dbt/context.h"
#include "engine/dbt/helpers/operands.h"
#include "engine/dbt/shared.h"

namespace rhea::dbt::helpers {

namespace {

unsigned register_width(const Insn& insn) {
  return insn.code_bits == 64 ? 8 : 4;
}

// Gives way to other vCPUs.
void yield_host_cpu(Core& c) {
  if (c.counts_time) {  // behind this instruction
    c.pending.fetch_or(cpu::pending::kExit, std::memory_order_relaxed);
    return;
  }
  uint64_t result;
  // SAFETY: sched_yield() touches no memory; the kernel preserves everything but rax, rcx and r11.
  asm volatile("syscall" : "=a"(result) : "a"(uint64_t{__NR_sched_yield}) : "rcx", "r11", "memory");
}

}  // namespace

Outcome mov_from_cr(Core& c, const Insn& insn) {
  uint64_t value;
  if (!require_cpl0(c)) return Outcome::Fault;
  switch (insn.reg) {
    case 0: value = c.s.cr0; break;
    case 2: value = c.s.cr2; break;
    case 3: value = c.s.cr3; break;
    case 4: value = c.s.cr4; break;
    case 8:
      if (!cpu::read_cr8(c, value)) return Outcome::Fault;
      break;
    default: return done(c.raise(vec::UD));
  }
  write_gpr(c, insn.rm, register_width(insn), value);
  return Outcome::Continue;
}

Outcome mov_to_cr(Core& c, const Insn& insn) {
  if (!require_cpl0(c)) return Outcome::Fault;
  uint64_t value = read_gpr(c, insn.rm, register_width(insn));
  switch (insn.reg) {
    case 0: return done(cpu::write_cr0(c, value));
    case 2: c.s.cr2 = value; return Outcome::Continue;
    case 3: return done(cpu::write_cr3(c, value));
    case 4: return done(cpu::write_cr4(c, value));
    case 8: return done(cpu::write_cr8(c, value));
    default: return done(c.raise(vec::UD));
  }
}

Outcome mov_from_dr(Core& c, const Insn& insn) {
  uint64_t value;
  if (insn.reg > 7) return done(c.raise(vec::UD));
  if (!require_cpl0(c)) return Outcome::Fault;
  if (!cpu::read_dr(c, static_cast<unsigned>(insn.reg), value)) return Outcome::Fault;
  write_gpr(c, insn.rm, register_width(insn), value);
  return Outcome::Continue;
}

Outcome mov_to_dr(Core& c, const Insn& insn) {
  if (insn.reg > 7) return done(c.raise(vec::UD));
  if (!require_cpl0(c)) return Outcome::Fault;
  return done(cpu::write_dr(c, static_cast<unsigned>(insn.reg), read_gpr(c, insn.rm, register_width(insn))));
}

// Unlike the instructions it waits for it looks at MP.
Outcome fwait(Core& c, const Insn&) {
  constexpr uint64_t kBoth = cpu::cr0::MP | cpu::cr0::TS;
  if ((c.s.cr0 & kBoth) == kBoth) return done(c.raise(vec::NM));
  uint16_t status;
  // SAFETY: the guest's x87 state is the host's; FNSTSW waits for nothing.
  asm volatile("fnstsw %0" : "=a"(status));
  return done((status & 0x80) == 0 || c.raise(vec::MF));
}

Outcome clts(Core& c, const Insn&) {
  if (!require_cpl0(c)) return Outcome::Fault;
  if ((c.s.cr0 & cpu::cr0::TS) != 0) {
    c.s.cr0 &= ~cpu::cr0::TS;
    c.hooks->mode_changed(c);
  }
  return Outcome::Continue;
}

Outcome invlpg(Core& c, const Insn& insn) {
  if (!require_cpl0(c)) return Outcome::Fault;
  uint64_t offset = effective_offset(c, insn);
  // No limit or type checks; a non-canonical address is ignored (SDM vol. 2, INVLPG).
  unsigned segment = insn.mem.seg;
  bool based = insn.code_bits != 64 || segment == cpu::FS || segment == cpu::GS;
  uint64_t linear = based ? c.s.seg[segment].base + offset : offset;
  if (insn.code_bits != 64) linear &= 0xffffffff;
  if (cpu::canonical(c, linear)) c.hooks->flush_page(c, linear);
  return Outcome::Continue;
}

Outcome invpcid(Core& c, const Insn& insn) {
  uint64_t low, linear;
  if (!require_cpl0(c)) return Outcome::Fault;
  if (!read_mem(c, insn, 0, low, 8) || !read_mem(c, insn, 8, linear, 8)) return Outcome::Fault;
  uint64_t type = read_gpr(c, insn.reg, register_width(insn));
  if (low >> 12 != 0) return done(c.raise(vec::GP, 0));
  if (!cpu::invpcid(c, type, low, linear)) return Outcome::Fault;
  // The engine's own caches hold the current PCID only.
  bool current = (c.s.cr4 & cpu::cr4::PCIDE) == 0 ? low == 0 : (c.s.cr3 & 0xfff) == low;
  if (type == 0 && current) c.hooks->flush_page(c, linear);
  if ((type == 1 && current) || type == 3) c.hooks->flush_tlb(c, false);
  if (type == 2) c.hooks->flush_tlb(c, true);
  return Outcome::Continue;
}

// Guest memory is coherent and its caches are the host's: nothing to write back.
Outcome wbinvd(Core& c, const Insn&) {
  return done(require_cpl0(c));
}

// CLFLUSH, CLFLUSHOPT, CLWB: the checks of a one-byte read.
Outcome cache_line(Core& c, const Insn& insn) {
  uint64_t ignored;
  return done(read_mem(c, insn, 0, ignored, 1));
}

Outcome clzero(Core& c, const Insn& insn) {
  static constexpr uint64_t kZero[8] = {};
  uint64_t offset = c.s.gpr[cpu::RAX] & size_mask(insn.addr_bytes) & ~uint64_t{63};
  return done(write_at(c, prefixed_segment(insn), offset, kZero, 64));
}

Outcome movdir64b(Core& c, const Insn& insn) {
  uint64_t line[8], linear;
  uint64_t to = c.s.gpr[insn.reg & 15] & size_mask(insn.addr_bytes);
  auto segment = static_cast<cpu::SegIndex>(insn.mem.seg);
  if (!cpu::to_linear(c, cpu::ES, to, 64, true, linear)) return Outcome::Fault;
  if ((linear & 63) != 0) return done(c.raise(vec::GP, 0));
  if (!read_at(c, segment, effective_offset(c, insn), line, 64)) return Outcome::Fault;
  return done(write_at(c, cpu::ES, to, line, 64));
}

Outcome movdiri(Core& c, const Insn& insn) {
  unsigned size = insn.rex_w != 0 ? 8 : 4;
  return done(write_mem(c, insn, 0, read_gpr(c, insn.reg, size), size));
}

Outcome cpuid(Core& c, const Insn&) {
  cpu::CpuidRegs r =
      cpu::query_cpuid(c, static_cast<uint32_t>(c.s.gpr[cpu::RAX]), static_cast<uint32_t>(c.s.gpr[cpu::RCX]));
  c.s.gpr[cpu::RAX] = r.eax;
  c.s.gpr[cpu::RBX] = r.ebx;
  c.s.gpr[cpu::RCX] = r.ecx;
  c.s.gpr[cpu::RDX] = r.edx;
  return Outcome::Continue;
}

namespace {

void set_edx_eax(Core& c, uint64_t value) {
  c.s.gpr[cpu::RAX] = value & 0xffffffff;
  c.s.gpr[cpu::RDX] = value >> 32;
}

uint64_t edx_eax(const Core& c) {
  return (c.s.gpr[cpu::RDX] << 32) | (c.s.gpr[cpu::RAX] & 0xffffffff);
}

bool time_stamp_allowed(Core& c) {
  return c.s.cpl == 0 || (c.s.cr4 & cpu::cr4::TSD) == 0 || c.raise(vec::GP, 0);
}

}  // namespace

Outcome rdtsc(Core& c, const Insn&) {
  if (!time_stamp_allowed(c)) return Outcome::Fault;
  set_edx_eax(c, cpu::guest_tsc(c));
  return Outcome::Continue;
}

Outcome rdtscp(Core& c, const Insn&) {
  if (!time_stamp_allowed(c)) return Outcome::Fault;
  set_edx_eax(c, cpu::guest_tsc(c));
  c.s.gpr[cpu::RCX] = c.s.tsc_aux & 0xffffffff;
  return Outcome::Continue;
}

Outcome rdpid(Core& c, const Insn& insn) {
  write_gpr(c, insn.rm, register_width(insn), c.s.tsc_aux & 0xffffffff);
  return Outcome::Continue;
}

// No performance counters are offered.
Outcome rdpmc(Core& c, const Insn&) {
  return done(c.raise(vec::GP, 0));
}

Outcome rdmsr(Core& c, const Insn&) {
  uint64_t value;
  if (!require_cpl0(c)) return Outcome::Fault;
  if (!cpu::read_msr(c, static_cast<uint32_t>(c.s.gpr[cpu::RCX]), value)) return Outcome::Fault;
  set_edx_eax(c, value);
  return Outcome::Continue;
}

Outcome wrmsr(Core& c, const Insn&) {
  if (!require_cpl0(c)) return Outcome::Fault;
  return done(cpu::write_msr(c, static_cast<uint32_t>(c.s.gpr[cpu::RCX]), edx_eax(c)));
}

Outcome xgetbv(Core& c, const Insn&) {
  if ((c.s.cr4 & cpu::cr4::OSXSAVE) == 0) return done(c.raise(vec::UD));
  auto index = static_cast<uint32_t>(c.s.gpr[cpu::RCX]);
  uint64_t value = c.s.xcr0;
  if (index == 1 && (cpu::query_cpuid(c, 0xd, 1).eax & 4) != 0) {
    uint32_t low, high;
    // SAFETY: which components are in use; the guest's are live in this CPU. Offered only where the host has
    // it.
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    uint64_t in_use = (uint64_t{high} << 32 | low) & ~uint64_t{0x200};
    if (!c.counts_time) value &= in_use | (c.s.pkru != 0 ? 0x200u : 0u);
  } else if (index != 0) {
    return done(c.raise(vec::GP, 0));
  }
  set_edx_eax(c, value);
  return Outcome::Continue;
}

Outcome xsetbv(Core& c, const Insn&) {
  if ((c.s.cr4 & cpu::cr4::OSXSAVE) == 0) return done(c.raise(vec::UD));
  if (!require_cpl0(c)) return Outcome::Fault;
  if (static_cast<uint32_t>(c.s.gpr[cpu::RCX]) != 0) return done(c.raise(vec::GP, 0));
  return done(cpu::write_xcr0(c, edx_eax(c)));
}

Outcome rdpkru(Core& c, const Insn&) {
  if ((c.s.cr4 & cpu::cr4::PKE) == 0) return done(c.raise(vec::UD));
  if (static_cast<uint32_t>(c.s.gpr[cpu::RCX]) != 0) return done(c.raise(vec::GP, 0));
  set_edx_eax(c, c.s.pkru);
  return Outcome::Continue;
}

Outcome wrpkru(Core& c, const Insn&) {
  if ((c.s.cr4 & cpu::cr4::PKE) == 0) return done(c.raise(vec::UD));
  if (static_cast<uint32_t>(c.s.gpr[cpu::RCX]) != 0 || static_cast<uint32_t>(c.s.gpr[cpu::RDX]) != 0) {
    return done(c.raise(vec::GP, 0));
  }
  auto value = static_cast<uint32_t>(c.s.gpr[cpu::RAX]);
  if (value != c.s.pkru) {
    c.s.pkru = value;
    c.hooks->flush_tlb(c, true);
  }
  return Outcome::Continue;
}

Outcome monitor(Core& c, const Insn& insn) {
  if (c.s.cpl != 0) return done(c.raise(vec::UD));
  if (static_cast<uint32_t>(c.s.gpr[cpu::RCX]) != 0) return done(c.raise(vec::GP, 0));
  uint8_t ignored;
  return done(
      read_at(c, prefixed_segment(insn), c.s.gpr[cpu::RAX] & size_mask(insn.addr_bytes), &ignored, 1));
}

Outcome mwait(Core& c, const Insn&) {
  if (c.s.cpl != 0) return done(c.raise(vec::UD));
  if (static_cast<uint32_t>(c.s.gpr[cpu::RCX]) > 1) return done(c.raise(vec::GP, 0));
  c.idles = true;
  yield_host_cpu(c);
  return Outcome::Continue;
}

Outcome hlt(Core& c, const Insn& insn) {
  if (!require_cpl0(c)) return Outcome::Fault;
  c.s.rip = next_rip(c, insn);
  c.s.halted = 1;
  return Outcome::Exit;
}

// A spinning vCPU may be waiting for one that has no host CPU. Without others it waits for time or for a
// device, and would only give way to other programs.
Outcome pause(Core& c, const Insn&) {
  constexpr unsigned kPausesPerYield = 256;
  static thread_local unsigned count = 0;
  const bool alone = context_of(c).owner->exclusive.all().size() == 1;
  if (c.counts_time || (!alone && ++count % kPausesPerYield == 0)) yield_host_cpu(c);
  return Outcome::Continue;
}

}  // namespace rhea::dbt::helpers
