#include "engine/dbt/runtime_debug.h"

#include "cpu/engine.h"
#include "engine/dbt/mode.h"

namespace rhea::dbt {

namespace {

using Kind = cpu::DebugRequest::Point::Kind;

struct GuestPoint {
  bool on;
  unsigned type;  // 0 execute, 1 write, 2 I/O, 3 read or write
  uint64_t linear, length;
};

// DR7: enables in bits 2n and 2n+1, R/W in 16+4n, LEN in 18+4n.
GuestPoint guest_point(const Context& c, unsigned n) {
  uint64_t dr7 = c.core.s.dr[7];
  constexpr uint8_t kLengths[4] = {1, 2, 8, 4};
  uint64_t length = kLengths[dr7 >> (18 + 4 * n) & 3];
  return {(dr7 >> (2 * n) & 3) != 0, static_cast<unsigned>(dr7 >> (16 + 4 * n) & 3),
          c.core.s.dr[n] & ~(length - 1), length};
}

bool same_page(uint64_t a, uint64_t b) {
  return ((a ^ b) & ~kPageMask) == 0;
}
bool overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length) {
  return a - b < b_length || b - a < a_length;
}

}  // namespace

bool arm_debug(Context& c, uint64_t linear) {
  bool single = false, watch = false;
  for (unsigned n = 0; n < 4; ++n) {
    GuestPoint p = guest_point(c, n);
    if (!p.on) continue;
    single |= p.type == 0 && same_page(p.linear, linear);
    watch |= (p.type & 1) != 0;
  }
  single |= io_points_armed(c);
  for (unsigned n = 0; c.debug != nullptr && n < c.debug->count; ++n) {
    const auto& p = c.debug->points[n];
    single |= p.kind == Kind::Execute && same_page(p.linear, linear);
    watch |= p.kind != Kind::Execute;
  }
  c.watching = watch;
  return single || watch;
}

CodePoint hit_code_point(Context& c, uint64_t linear) {
  cpu::CpuState& s = c.core.s;
  bool resume = (s.system_flags & cpu::rflags::RF) != 0;
  // RF covers one instruction, which may itself set it again (IRET).
  s.system_flags &= ~static_cast<uint32_t>(cpu::rflags::RF);
  for (unsigned n = 0; n < 4 && !resume; ++n) {
    GuestPoint p = guest_point(c, n);
    if (!p.on || p.type != 0 || p.linear != linear) continue;
    c.core.fault = {
        .vector = cpu::vec::DB, .has_code = false, .code = 0, .address = 0, .dr6 = uint64_t{1} << n};
    return CodePoint::Guest;
  }
  uint64_t skip = c.debug_skip;
  c.debug_skip = kEmptyRip;
  if (c.debug == nullptr || c.debugger_step != 0 || skip == linear) return CodePoint::None;
  for (unsigned n = 0; n < c.debug->count; ++n) {
    const auto& p = c.debug->points[n];
    if (p.kind != Kind::Execute || p.linear != linear) continue;
    c.debug_skip = linear;
    return CodePoint::Debugger;
  }
  return CodePoint::None;
}

void watch_access(Context& c, uint64_t linear, unsigned size, bool read, bool write) {
  for (unsigned n = 0; n < 4; ++n) {
    GuestPoint p = guest_point(c, n);
    bool kind = (p.type == 1 && write) || p.type == 3;
    if (p.on && kind && overlap(p.linear, p.length, linear, size))
      c.guest_hits = static_cast<uint8_t>(c.guest_hits | 1u << n);
  }
  for (unsigned n = 0; c.debug != nullptr && n < c.debug->count; ++n) {
    const auto& p = c.debug->points[n];
    bool kind = (p.kind == Kind::Write && write) || (p.kind == Kind::Read && read) || p.kind == Kind::Access;
    if (!kind || !overlap(p.linear, p.length, linear, size)) continue;
    c.debugger_hit = 1;
    c.debugger_hit_linear = p.linear;
  }
}

bool io_points_armed(const Context& c) {
  if ((c.core.s.cr4 & cpu::cr4::DE) == 0 || (c.core.s.dr[7] & 0xff) == 0) return false;
  for (unsigned n = 0; n < 4; ++n) {
    GuestPoint p = guest_point(c, n);
    if (p.on && p.type == 2) return true;
  }
  return false;
}

void watch_port(Context& c, uint16_t port, unsigned size) {
  for (unsigned n = 0; n < 4; ++n) {
    GuestPoint p = guest_point(c, n);
    if (p.on && p.type == 2 && overlap(p.linear, p.length, port, size))
      c.guest_hits = static_cast<uint8_t>(c.guest_hits | 1u << n);
  }
}

}  // namespace rhea::dbt
