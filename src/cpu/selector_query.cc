// LAR, LSL, VERR and VERW. SDM vol. 2 per instruction, vol. 3A 5.10.
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

constexpr uint32_t bit(uint32_t type) {
  return 1u << type;
}
constexpr uint32_t kLarTypes = bit(kTss16) | bit(kLdt) | bit(kTss16Busy) | bit(kCallGate16) | bit(kTaskGate) |
                               bit(kTss32) | bit(kTss32Busy) | bit(kCallGate32);
constexpr uint32_t kLarTypes64 = bit(kLdt) | bit(kTss32) | bit(kTss32Busy) | bit(kCallGate32);
constexpr uint32_t kLslTypes = bit(kTss16) | bit(kLdt) | bit(kTss16Busy) | bit(kTss32) | bit(kTss32Busy);
constexpr uint32_t kLslTypes64 = bit(kLdt) | bit(kTss32) | bit(kTss32Busy);

// The descriptor, if its selector is within a table. The only thing that faults is the read itself.
bool look(Core& c, uint16_t selector, Descriptor& d, bool& faulted) {
  faulted = false;
  if (!c.s.protected_mode() || c.s.vm86()) {
    faulted = true;
    return c.raise(vec::UD);
  }
  if (null_selector(selector)) return false;
  const Segment& ldt = c.s.seg[LDTR];
  bool local = (selector & 4) != 0;
  if (local && !ldt.usable()) return false;
  if ((selector | 7u) > (local ? ldt.limit : c.s.gdtr.limit)) return false;
  faulted = !fetch_descriptor(c, selector, d);
  return !faulted;
}

bool visible(const Core& c, uint16_t selector, uint32_t a) {
  return is_conforming_code(a) || (dpl_of(a) >= c.s.cpl && dpl_of(a) >= rpl(selector));
}

bool allowed_system(const Core& c, uint32_t a, uint32_t types, uint32_t types64) {
  return is_segment(a) || ((c.s.long_mode() ? types64 : types) & bit(a & attr::kTypeMask)) != 0;
}

}  // namespace

bool lar(Core& c, uint16_t selector, uint32_t& access_rights, bool& faulted) {
  Descriptor d;
  if (!look(c, selector, d, faulted)) return false;
  if (!allowed_system(c, d.attr(), kLarTypes, kLarTypes64) || !visible(c, selector, d.attr())) return false;
  access_rights = d.high & 0x00ffff00;
  return true;
}

bool lsl(Core& c, uint16_t selector, uint32_t& limit, bool& faulted) {
  Descriptor d;
  if (!look(c, selector, d, faulted)) return false;
  if (!allowed_system(c, d.attr(), kLslTypes, kLslTypes64) || !visible(c, selector, d.attr())) return false;
  limit = d.limit_bytes();
  return true;
}

bool verify(Core& c, uint16_t selector, bool for_write, bool& faulted) {
  Descriptor d;
  if (!look(c, selector, d, faulted)) return false;
  uint32_t a = d.attr();
  if (!is_segment(a) || !visible(c, selector, a)) return false;
  return for_write ? is_writable_data(a) : !is_code(a) || (a & attr::kReadable) != 0;
}

}  // namespace rhea::cpu
