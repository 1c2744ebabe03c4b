// POPF, PUSHF, CLI and STI with IOPL, virtual-8086 mode and protected-mode virtual interrupts.
// SDM vol. 2 per instruction, vol. 3B 21.3-21.4.
#include "cpu/registers.h"
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

using namespace rflags;

constexpr uint64_t kAlways = kStatus | TF | DF | NT;

void merge_flags(Core& c, uint64_t value, uint64_t mask) {
  uint32_t before = c.s.system_flags;
  c.s.set_rflags((c.s.rflags() & ~mask) | (value & mask));
  // Only TF and AC of these change how code runs.
  if (((before ^ c.s.system_flags) & (TF | AC | IOPL | VM)) != 0) told(c);
}

bool virtual_flag_mode(const Core& c) {
  return c.s.vm86() ? (c.s.cr4 & cr4::VME) != 0 : (c.s.cr4 & cr4::PVI) != 0 && c.s.cpl == 3;
}

}  // namespace

void write_flags(Core& c, uint64_t value, unsigned opsize) {
  uint64_t mask = kAlways;
  if (opsize != 2) mask |= AC | ID;
  if (!c.s.protected_mode() || c.s.cpl == 0) {
    mask |= IF | IOPL;
  } else if (c.s.cpl <= c.s.iopl()) {
    mask |= IF;
  }
  merge_flags(c, value, mask);
  c.s.system_flags &= static_cast<uint32_t>(~RF);
}

bool popf(Core& c, uint64_t value, unsigned opsize) {
  if (!c.s.vm86() || c.s.iopl() == 3) {
    // With IOPL 3, VM86 (CPL 3) may change what write_flags() lets it.
    write_flags(c, value, opsize);
    return true;
  }
  if (opsize != 2 || (c.s.cr4 & cr4::VME) == 0) return c.raise(vec::GP, 0);
  if ((value & TF) != 0 || ((value & IF) != 0 && (c.s.system_flags & VIP) != 0)) return c.raise(vec::GP, 0);
  merge_flags(c, (value & kAlways) | ((value & IF) != 0 ? VIF : 0), kAlways | VIF);
  return true;
}

bool pushf(Core& c, unsigned opsize, uint64_t& value) {
  value = c.s.rflags() & ~(VM | RF);
  if (!c.s.vm86() || c.s.iopl() == 3) return true;
  if (opsize != 2 || (c.s.cr4 & cr4::VME) == 0) return c.raise(vec::GP, 0);
  value = (value & ~IF) | IOPL | ((c.s.system_flags & VIF) != 0 ? IF : 0);
  return true;
}

bool cli(Core& c) {
  if (!c.s.protected_mode() || c.s.cpl <= c.s.iopl()) {
    c.s.interrupt_flag = 0;
    return true;
  }
  if (!virtual_flag_mode(c)) return c.raise(vec::GP, 0);
  c.s.system_flags &= static_cast<uint32_t>(~VIF);
  return true;
}

bool sti(Core& c) {
  if (!c.s.protected_mode() || c.s.cpl <= c.s.iopl()) {
    if (c.s.interrupt_flag == 0) {
      c.s.interrupt_shadow = 1;
      c.s.shadow_is_mov_ss = 0;
    }
    c.s.interrupt_flag = 1;
    return true;
  }
  if (!virtual_flag_mode(c) || (c.s.system_flags & VIP) != 0) return c.raise(vec::GP, 0);
  c.s.system_flags |= static_cast<uint32_t>(VIF);
  return true;
}

}  // namespace rhea::cpu
