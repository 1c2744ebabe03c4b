// INT n, INT3, INTO and INT1 as instructions, with virtual-8086 redirection (SDM vol. 3B 21.3, table 21-2),
// and the TSS's I/O permission bitmap (vol. 1 19.5.2).
#include "cpu/control_transfer.h"
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

constexpr uint32_t kMapBaseField = 0x66;  // in a 32-bit TSS

bool read_tss(Core& c, uint32_t at, uint16_t& value) {
  return read_linear(c, wrap_linear(c, c.s.seg[TR].base + at), value, Privilege::Implicit);
}

bool tss_with_map(const Core& c) {
  const Segment& tr = c.s.seg[TR];
  return tr.usable() && (tr.attr & 8) != 0 && tr.limit >= kMapBaseField + 1;
}

// The bit for `vector` in the 32 bytes below the I/O map: set, the protected-mode handler is used.
bool redirected(Core& c, uint8_t vector, bool& to_8086) {
  uint16_t base;
  if (!tss_with_map(c)) return c.raise(vec::GP, 0);
  if (!read_tss(c, kMapBaseField, base)) return false;
  uint32_t at = base - 32u + vector / 8u;
  if (base < 32 || at > c.s.seg[TR].limit) return c.raise(vec::GP, 0);
  uint8_t bits;
  if (!read_linear(c, wrap_linear(c, c.s.seg[TR].base + at), bits, Privilege::Implicit)) return false;
  to_8086 = (bits >> (vector % 8) & 1) == 0;
  return true;
}

// Through the 8086 program's own vector table at linear address 0.
bool enter_8086_handler(Core& c, uint8_t vector, uint64_t next_rip) {
  uint32_t target;
  if (!read_linear(c, vector * 4u, target, Privilege::Implicit)) return false;
  uint64_t flags = c.s.rflags();
  bool extended = c.s.iopl() < 3;
  if (extended) {
    flags = (flags | rflags::IOPL) & ~rflags::IF;
    if ((c.s.system_flags & rflags::VIF) != 0) flags |= rflags::IF;
  }
  Stack stack = current_stack(c);
  const uint64_t frame[3] = {flags, c.s.seg[CS].selector, next_rip};
  if (!push_values(c, stack, frame, 3, 2)) return false;
  set_stack_pointer(c, stack.mask, stack.sp);
  set_vm86_segment(c, CS, static_cast<uint16_t>(target >> 16));
  c.s.rip = target & 0xffff;
  c.s.system_flags &= static_cast<uint32_t>(~(rflags::TF | rflags::NT | rflags::RF));
  if (extended) {
    c.s.system_flags &= static_cast<uint32_t>(~rflags::VIF);
  } else {
    c.s.interrupt_flag = 0;
  }
  told(c);
  return true;
}

}  // namespace

bool software_interrupt(Core& c, EventKind kind, uint8_t vector, uint64_t next_rip) {
  if (c.s.vm86() && kind == EventKind::SoftwareInt) {
    bool to_8086 = false;
    if ((c.s.cr4 & cr4::VME) != 0 && !redirected(c, vector, to_8086)) return false;
    if (to_8086) return enter_8086_handler(c, vector, next_rip);
    if (c.s.iopl() < 3) return c.raise(vec::GP, 0);
  }
  return deliver(c, {.kind = kind, .vector = vector, .has_code = false, .code = 0, .return_rip = next_rip});
}

bool check_io_permission(Core& c, uint16_t port, unsigned size) {
  if (!c.s.protected_mode() || (c.s.cpl <= c.s.iopl() && !c.s.vm86())) return true;
  if (!tss_with_map(c)) return c.raise(vec::GP, 0);
  uint16_t base;
  if (!read_tss(c, kMapBaseField, base)) return false;
  uint32_t at = base + port / 8u;
  // Two bytes are always read, hence the byte of ones that ends a map.
  if (at + 1 > c.s.seg[TR].limit) return c.raise(vec::GP, 0);
  uint16_t bits;
  if (!read_tss(c, at, bits)) return false;
  uint32_t wanted = (1u << size) - 1;
  return (bits >> (port % 8) & wanted) == 0 || c.raise(vec::GP, 0);
}

}  // namespace rhea::cpu
