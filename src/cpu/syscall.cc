// SYSCALL, SYSRET, SYSENTER, SYSEXIT. SDM vol. 2 per instruction, vol. 3A 5.8.7-5.8.8; AMD APM vol. 3.
//
// Where the vendors differ the guest's CPUID vendor decides, so far as programs can tell: SYSCALL outside
// 64-bit mode exists on AMD only (Linux uses it for 32-bit programs there), SYSENTER in long mode on Intel
// only. SYSRET checks RCX and loads SS completely as Intel does for both.
#include "cpu/control_transfer.h"
#include "cpu/cpuid.h"
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

constexpr uint32_t kBase = attr::kPresent | attr::kS | attr::kAccessed | attr::kGranular;
constexpr uint32_t kFlatCode = kBase | attr::kCode | attr::kReadable;
constexpr uint32_t kFlatData = kBase | attr::kWritable | attr::kBig;
constexpr uint32_t kRing3 = 3u << attr::kDplShift;

bool amd(const Core& c) {
  return c.cpuid != nullptr && c.cpuid->vendor == Vendor::Amd;
}

void enter_ring(Core& c, unsigned cpl, uint16_t cs, uint16_t ss, bool wide) {
  uint32_t ring = cpl == 3 ? kRing3 : 0;
  set_flat_segment(c, CS, static_cast<uint16_t>((cs & 0xfffcu) | cpl),
                   kFlatCode | ring | (wide ? attr::kLong : attr::kBig));
  set_flat_segment(c, SS, static_cast<uint16_t>((ss & 0xfffcu) | cpl), kFlatData | ring);
  c.s.cpl = static_cast<uint8_t>(cpl);
  told(c);
}

// AMD: to EIP in STAR, interrupts and virtual-8086 mode off.
bool syscall_legacy(Core& c, uint64_t next_rip) {
  c.s.gpr[RCX] = next_rip & 0xffffffffu;
  c.s.rip = c.s.star & 0xffffffffu;
  c.s.interrupt_flag = 0;
  c.s.system_flags &= static_cast<uint32_t>(~(rflags::VM | rflags::RF));
  auto cs = static_cast<uint16_t>(c.s.star >> 32);
  enter_ring(c, 0, cs, static_cast<uint16_t>(cs + 8), false);
  return true;
}

}  // namespace

bool syscall(Core& c, uint64_t next_rip) {
  if ((c.s.efer & efer::SCE) == 0 || !c.s.protected_mode()) return c.raise(vec::UD);
  bool wide = c.s.code64();
  if (!wide) [[unlikely]] {
    if (!amd(c)) return c.raise(vec::UD);
    if (!c.s.long_mode()) return syscall_legacy(c, next_rip);
  }
  uint64_t flags = c.s.rflags() & ~rflags::RF;
  c.s.gpr[RCX] = next_rip;
  c.s.gpr[R11] = flags;
  c.s.rip = wide ? c.s.lstar : c.s.cstar;
  c.s.set_rflags(flags & ~c.s.sfmask);
  auto cs = static_cast<uint16_t>(c.s.star >> 32);
  enter_ring(c, 0, cs, static_cast<uint16_t>(cs + 8), true);
  return true;
}

bool sysret(Core& c, unsigned opsize) {
  bool legacy = !c.s.code64();
  if ((c.s.efer & efer::SCE) == 0 || !c.s.protected_mode()) return c.raise(vec::UD);
  if (legacy && !amd(c)) return c.raise(vec::UD);
  if (c.s.cpl != 0) return c.raise(vec::GP, 0);
  auto base = static_cast<uint16_t>(c.s.star >> 48);
  bool wide = opsize == 8;
  if (wide && !is_canonical(c, c.s.gpr[RCX])) return c.raise(vec::GP, 0);
  c.s.rip = wide ? c.s.gpr[RCX] : c.s.gpr[RCX] & 0xffffffffu;
  if (c.s.long_mode()) {
    c.s.set_rflags(c.s.gpr[R11] & 0x3c7fd7);
  } else {
    c.s.interrupt_flag = 1;
  }
  enter_ring(c, 3, static_cast<uint16_t>(wide ? base + 16 : base), static_cast<uint16_t>(base + 8), wide);
  return true;
}

bool sysenter(Core& c, uint64_t) {
  if (c.s.long_mode() && amd(c)) return c.raise(vec::UD);
  auto cs = static_cast<uint16_t>(c.s.sysenter_cs);
  if (!c.s.protected_mode() || null_selector(cs)) return c.raise(vec::GP, 0);
  bool wide = c.s.long_mode();
  c.s.system_flags &= static_cast<uint32_t>(~(rflags::VM | rflags::RF));
  c.s.interrupt_flag = 0;
  c.s.gpr[RSP] = wide ? c.s.sysenter_esp : c.s.sysenter_esp & 0xffffffffu;
  c.s.rip = wide ? c.s.sysenter_eip : c.s.sysenter_eip & 0xffffffffu;
  enter_ring(c, 0, cs, static_cast<uint16_t>((cs & 0xfffcu) + 8), wide);
  return true;
}

bool sysexit(Core& c, unsigned opsize) {
  if (c.s.long_mode() && amd(c)) return c.raise(vec::UD);
  auto cs = static_cast<uint16_t>(c.s.sysenter_cs);
  if (!c.s.protected_mode() || null_selector(cs) || c.s.cpl != 0) return c.raise(vec::GP, 0);
  bool wide = opsize == 8;
  if (wide && (!is_canonical(c, c.s.gpr[RCX]) || !is_canonical(c, c.s.gpr[RDX]))) return c.raise(vec::GP, 0);
  c.s.gpr[RSP] = wide ? c.s.gpr[RCX] : c.s.gpr[RCX] & 0xffffffffu;
  c.s.rip = wide ? c.s.gpr[RDX] : c.s.gpr[RDX] & 0xffffffffu;
  unsigned base = cs & 0xfffcu;
  enter_ring(c, 3, static_cast<uint16_t>(base + (wide ? 32 : 16)),
             static_cast<uint16_t>(base + (wide ? 40 : 24)), wide);
  return true;
}

}  // namespace rhea::cpu
