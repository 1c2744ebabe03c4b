// Breakpoints and watchpoints: the guest's own (SDM vol. 3B 17.2, DR0-DR3 and DR7) and a debugger's. General
// registers only.
//
// While any data point is armed, and in pages that hold an instruction breakpoint, code runs one instruction
// a block; while any point is armed blocks are neither linked nor found by the jump table, so that every
// block comes through the dispatcher. With an I/O breakpoint armed all code does. Missing: data accesses that
// far transfers, interrupt delivery and task switches make to stacks and descriptor tables.
#pragma once

#include "engine/dbt/context.h"

namespace rhea::dbt {

inline bool debug_armed(const Context& c) {
  return c.debug != nullptr || (c.core.s.dr[7] & 0xff) != 0;
}

// Whether the instruction at `linear` has to run alone; sets what refresh_mode() needs.
bool arm_debug(Context& c, uint64_t linear);

enum class CodePoint : uint8_t { None, Guest, Debugger };
// An instruction breakpoint here? For the guest's the fault is recorded.
CodePoint hit_code_point(Context& c, uint64_t linear);
// A data access is about to be made: remembers the points that it touches.
void watch_access(Context& c, uint64_t linear, unsigned size, bool read, bool write);
// I/O breakpoints: DR7 with CR4.DE (SDM vol. 3B 17.2.4).
bool io_points_armed(const Context& c);
void watch_port(Context& c, uint16_t port, unsigned size);
// The instruction did not complete: nothing was hit.
inline void forget_watch(Context& c) {
  c.guest_hits = c.debugger_hit = 0;
}

}  // namespace rhea::dbt
