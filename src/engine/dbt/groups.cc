#include "engine/dbt/groups.h"

#include <Zydis/Zydis.h>

#include <algorithm>
#include <bit>

#include "engine/dbt/context.h"
#include "engine/dbt/emit_string.h"
#include "engine/dbt/forms.h"
#include "engine/dbt/mode.h"

namespace rhea::dbt {

namespace {

constexpr int kRipRoot = -2;

}  // namespace

void AccessPlanner::join(size_t insn, bool stack, const Key& key, int64_t at, unsigned bytes) {
  auto end = at + static_cast<int64_t>(bytes);
  // Relative to rip's page or to nothing: where pages end is known.
  bool fixed = key.index == -1 && (key.base == -1 || key.base == kRipRoot);
  for (size_t n = groups_.size(); n-- > 0;) {
    Group& g = groups_[n];
    Key wanted = key;
    wanted.write = g.key.write;
    if (g.epoch != epoch_ || g.key != wanted || (key.write && !g.key.write)) continue;
    int64_t lowest = std::min(g.min, at), highest = std::max(g.end, end);
    if (fixed ? lowest >> 12 != (highest - 1) >> 12 : highest - lowest > max_span_) continue;
    g.min = lowest;
    g.end = highest;
    ++g.members;
    members_.push_back({insn, stack, static_cast<int>(n), at});
    return;
  }
  if (groups_.size() == kMaxGroups) return;
  groups_.push_back({key, at, end, 1, epoch_, false});
  members_.push_back({insn, stack, static_cast<int>(groups_.size() - 1), at});
}

void AccessPlanner::stack_access(size_t n, int64_t at, unsigned bytes, bool write) {
  if (!is64(mode_) && (mode_ & (mode::kFlatSs | mode::kStack32)) != (mode::kFlatSs | mode::kStack32)) return;
  join(n, true, {regs_[cpu::RSP].root, -1, 0, write}, regs_[cpu::RSP].offset + at, bytes);
}

void AccessPlanner::explicit_access(size_t n, int64_t adjust) {
  const Insn& i = insns_[n];
  const MemOperand& m = i.mem;
  if (!i.has_mem || m.bytes == 0 || m.bytes > 64 || m.vsib || i.addr_bytes != word_ ||
      !flat_in_mode(mode_, m.seg) || (m.write && m.seg == cpu::CS && !is64(mode_)))
    return;
  if (is64(mode_) && m.disp != static_cast<int32_t>(m.disp)) return;
  Key key{-1, -1, 0, m.write};
  int64_t at = static_cast<int32_t>(m.disp) + adjust;
  if (m.base == kRip) {
    key.base = kRipRoot;
    at += i.page_offset;
  } else if (m.base != kNoReg) {
    key.base = regs_[m.base].root;
    at += regs_[m.base].offset;
  }
  if (m.index != kNoReg) {
    key.index = regs_[m.index].root;
    key.scale = m.scale;
    at += regs_[m.index].offset << m.scale;
  }
  join(n, false, key, at, m.bytes);
}

void AccessPlanner::visit_accesses(size_t n) {
  const Insn& i = insns_[n];
  bool near_flow = i.form->action == Action::Rewrite;
  unsigned width = stack_width(i);
  if (i.form->action == Action::Copy) {
    explicit_access(n, 0);
  } else if (near_flow && i.mnemonic == ZYDIS_MNEMONIC_PUSH) {
    explicit_access(n, 0);
    stack_access(n, -static_cast<int64_t>(width), width, true);
  } else if (near_flow && i.mnemonic == ZYDIS_MNEMONIC_POP) {
    stack_access(n, 0, width, false);
    explicit_access(n, i.mem.base == cpu::RSP ? static_cast<int64_t>(width) : 0);
  } else if (near_flow && i.mnemonic == ZYDIS_MNEMONIC_CALL) {
    explicit_access(n, 0);
    if (is64(mode_)) width = 8;
    stack_access(n, -static_cast<int64_t>(width), width, true);
  } else if (near_flow && i.mnemonic == ZYDIS_MNEMONIC_RET) {
    stack_access(n, 0, is64(mode_) ? 8 : width, false);
  } else if (near_flow && i.mnemonic == ZYDIS_MNEMONIC_JMP) {
    explicit_access(n, 0);
  }
}

void AccessPlanner::forget(unsigned regs) {
  for (; regs != 0; regs &= regs - 1) regs_[std::countr_zero(regs)] = {next_root_++, 0};
}

void AccessPlanner::follow(const Insn& i) {
  if (i.form->action == Action::Help || i.form->action == Action::HelpFull ||
      i.form->action == Action::HelpEnd || is_string_form(*i.form)) {
    ++epoch_;
    forget(0xffff);
    return;
  }
  if (i.form->action == Action::Nop) return;
  if (!is64(mode_) && (mode_ & mode::kStack32) == 0 && (i.regs_written & 1u << cpu::RSP) != 0) {
    forget(i.regs_written);  // SP wraps at 64 KiB
    return;
  }
  bool wide = i.op_bytes == word_ && i.encoding == Encoding::Legacy;
  bool rm_is_reg = (i.gpr_fields & gpr_field::kModrmRm) != 0,
       reg_is_reg = (i.gpr_fields & gpr_field::kModrmReg) != 0;
  switch (i.mnemonic) {
    case ZYDIS_MNEMONIC_PUSH: regs_[cpu::RSP].offset -= stack_width(i); return;
    case ZYDIS_MNEMONIC_POP: {
      regs_[cpu::RSP].offset += stack_width(i);
      forget(i.regs_written & ~(1u << cpu::RSP));
      if (!i.has_mem && i.rm == cpu::RSP) forget(1u << cpu::RSP);
      return;
    }
    case ZYDIS_MNEMONIC_MOV:
      if (!wide || !rm_is_reg || !reg_is_reg || i.map != 0 || (i.opcode != 0x89 && i.opcode != 0x8b)) break;
      if (i.opcode == 0x89)
        regs_[i.rm] = regs_[i.reg];
      else
        regs_[i.reg] = regs_[i.rm];
      return;
    case ZYDIS_MNEMONIC_LEA:
      if (!wide || i.addr_bytes != word_ || i.mem.base < 0 || i.mem.base == kRip || i.mem.index != kNoReg)
        break;
      regs_[i.reg] = {regs_[i.mem.base].root, regs_[i.mem.base].offset + i.mem.disp};
      return;
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB:
      if (!wide || !rm_is_reg || reg_is_reg || i.imm_bytes == 0) break;
      regs_[i.rm].offset += i.mnemonic == ZYDIS_MNEMONIC_ADD ? i.imm : -i.imm;
      return;
    case ZYDIS_MNEMONIC_INC:
    case ZYDIS_MNEMONIC_DEC:
      if (!wide || !rm_is_reg) break;
      regs_[i.rm].offset += i.mnemonic == ZYDIS_MNEMONIC_INC ? 1 : -1;
      return;
    default: break;
  }
  forget(i.regs_written);
}

std::span<const AccessPlan> AccessPlanner::plan(std::span<const Insn> insns, uint32_t m, int64_t max_span,
                                                unsigned& groups) {
  groups = 0;
  plan_.assign(insns.size(), {});
  constexpr uint32_t kAlone = mode::kUngrouped | mode::kAlignCheck | mode::kWatch | mode::kSingle;
  if (max_span == 0 || code_bits_of(m) == 16 || (m & kAlone) != 0) return plan_;
  insns_ = insns;
  mode_ = m;
  word_ = is64(m) ? 8 : 4;
  max_span_ = max_span;
  groups_.clear();
  members_.clear();
  next_root_ = 0;
  for (Value& v : regs_) v = {next_root_++, 0};
  for (size_t n = 0; n < insns_.size(); ++n) {
    visit_accesses(n);
    follow(insns_[n]);
  }
  for (const Member& member : members_) {
    Group& g = groups_[static_cast<size_t>(member.group)];
    if (g.members < 2) continue;
    GroupRef ref{static_cast<int16_t>(member.group), !g.seen, g.key.write,
                 static_cast<uint16_t>(member.at - g.min), static_cast<uint16_t>(g.end - g.min)};
    g.seen = true;
    (member.stack ? plan_[member.insn].stack : plan_[member.insn].mem) = ref;
  }
  groups = static_cast<unsigned>(groups_.size());
  return plan_;
}

}  // namespace rhea::dbt
