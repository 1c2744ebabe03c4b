// Access groups: accesses of one block whose addresses differ by constants share one check. The first member
// checks the whole range that the group touches; the others use the delta that it left.
//
// Registers are followed as root + constant through MOV, LEA, ADD, SUB, INC, DEC, PUSH and POP. Reads and
// writes are grouped apart, so that a read never asks for write rights. A helper ends all groups: it may
// flush slots. When the range does not lie in one page of RAM the block's ungrouped variant
// (mode::kUngrouped) takes over at that instruction.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/dbt/insn.h"

namespace rhea::dbt {

struct GroupRef {
  int16_t group = -1;  // -1: checked on its own
  bool first = false;
  uint16_t from_min = 0;  // this access' distance from the lowest byte of the group
  uint16_t span = 0;      // bytes from the lowest to behind the highest
};

// An instruction has at most one explicit memory operand and one implicit stack access.
struct AccessPlan {
  GroupRef mem;
  GroupRef stack;
};

// 64-bit code only; elsewhere every access stays alone.
std::vector<AccessPlan> plan_accesses(std::span<const Insn> insns, uint32_t mode, bool enabled,
                                      unsigned& groups);

}  // namespace rhea::dbt
