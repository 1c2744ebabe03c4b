// Access groups: accesses of one block whose addresses differ by constants share one check. The first member
// checks the whole range that the group touches; the others use the delta that it left.
//
// Registers are followed as root + constant through MOV, LEA, ADD, SUB, INC, DEC, PUSH and POP. A read joins
// a group that began with a write, since what may be written may be read; a write never joins a group that
// began with a read, so that a read never asks for write rights. A helper ends all groups: it may flush
// slots. In 32-bit code addresses wrap at 4 GiB, a page's end: inside a page that changes nothing. When the
// range does not lie in one page of RAM the block's ungrouped variant (mode::kUngrouped) takes over at that
// instruction.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/dbt/insn.h"

namespace rhea::dbt {

struct GroupRef {
  int16_t group = -1;  // -1: checked on its own
  bool first = false;
  bool write = false;     // its first member is a write
  uint16_t from_min = 0;  // this access' distance from the lowest byte of the group
  uint16_t span = 0;      // bytes from the lowest to behind the highest
};

// An instruction has at most one explicit memory operand and one implicit stack access.
struct AccessPlan {
  GroupRef mem;
  GroupRef stack;
};

class AccessPlanner {
 public:
  // 64-bit and flat 32-bit code; elsewhere every access stays alone. The result holds until the next call.
  std::span<const AccessPlan> plan(std::span<const Insn> insns, uint32_t mode, int64_t max_span,
                                   unsigned& groups);
  // Bytes that a group's addresses may lie apart; 0: no groups. Narrow: where wide ones cross pages too
  // often.
  static constexpr int64_t kWide = 512, kNarrow = 64;

 private:
  struct Value {
    int root;
    int64_t offset;
  };
  struct Key {
    int base = -1, index = -1;
    uint8_t scale = 0;
    bool write = false;
    bool operator==(const Key&) const = default;
  };
  struct Group {
    Key key;
    int64_t min, end;
    unsigned members, epoch;
    bool seen;
  };
  struct Member {
    size_t insn;
    bool stack;
    int group;
    int64_t at;
  };

  void join(size_t insn, bool stack, const Key& key, int64_t at, unsigned bytes);
  void stack_access(size_t n, int64_t at, unsigned bytes, bool write);
  void explicit_access(size_t n, int64_t adjust);
  void visit_accesses(size_t n);
  void forget(unsigned regs);
  void follow(const Insn& i);

  unsigned stack_width(const Insn& i) const { return i.op_bytes == 2 ? 2 : word_; }

  std::span<const Insn> insns_;
  uint32_t mode_ = 0;
  int64_t max_span_ = 0;
  unsigned word_ = 8;  // bytes of an address and of what PUSH pushes
  Value regs_[16];
  int next_root_ = 0;
  unsigned epoch_ = 0;
  std::vector<Group> groups_;
  std::vector<Member> members_;
  std::vector<AccessPlan> plan_;
};

}  // namespace rhea::dbt
