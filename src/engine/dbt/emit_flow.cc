// Near control flow. Jumps inside a page are patched to their targets; everything else goes through the jump
// table or the dispatcher with the instruction pointer in T0. Flags reach an unknown target through the
// state.
//
// Expected returns: a guest CALL pushes its return address on the host's stack and makes a host CALL; a guest
// RET to the address on top makes a host RET, which the host predicts. The landing behind the host CALL goes
// on at the return address. What is expected is 16 bytes deep for each call: host address, guest address. At
// the bottom lies an address that no guest can return to. A RET to elsewhere forgets everything expected, and
// so does the dispatcher: so nothing expected outlives a change of mode or mapping, or the code of the
// landing. Matched RETs need no poll: a loop of calls has another edge that goes back.
#include <Zydis/Zydis.h>

#include "engine/dbt/emitter.h"
#include "engine/dbt/forms.h"
#include "engine/dbt/helpers/helpers.h"
#include "engine/dbt/options.h"

namespace rhea::dbt {

namespace {

// The Jcc condition code of a mnemonic, or -1.
int condition_of(uint16_t mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_JO: return ccO;
    case ZYDIS_MNEMONIC_JNO: return ccNO;
    case ZYDIS_MNEMONIC_JB: return ccB;
    case ZYDIS_MNEMONIC_JNB: return ccAE;
    case ZYDIS_MNEMONIC_JZ: return ccE;
    case ZYDIS_MNEMONIC_JNZ: return ccNE;
    case ZYDIS_MNEMONIC_JBE: return ccBE;
    case ZYDIS_MNEMONIC_JNBE: return ccA;
    case ZYDIS_MNEMONIC_JS: return ccS;
    case ZYDIS_MNEMONIC_JNS: return ccNS;
    case ZYDIS_MNEMONIC_JP: return ccP;
    case ZYDIS_MNEMONIC_JNP: return ccNP;
    case ZYDIS_MNEMONIC_JL: return ccL;
    case ZYDIS_MNEMONIC_JNL: return ccGE;
    case ZYDIS_MNEMONIC_JLE: return ccLE;
    case ZYDIS_MNEMONIC_JNLE: return ccG;
    default: return -1;
  }
}
Cond inverse(int c) {
  return static_cast<Cond>(c ^ 1);
}

Form beyond_limit_form() {
  Form f{};
  f.action = Action::HelpEnd;
  f.helper = helpers::raise_gp;
  return f;
}
const Form kBeyondLimit = beyond_limit_form();

}  // namespace

// A near jump beyond CS's limit is a fault of the jump, which has changed nothing yet. Jumps inside a page
// need no check: pages that are not wholly within the limit run in single steps. Flags are in their slot.
void Emitter::check_code_limit(const Insn& i, Host target) {
  if ((mode_ & mode::kFlatCs) != 0) return;
  size_t limit = RHEA_CTX(core.s.seg) + cpu::CS * sizeof(cpu::Segment) + offsetof(cpu::Segment, limit);
  a_.op_rm(0x3b, target, ctx_mem(limit), false);
  uint8_t* inside = a_.jcc_short_later(ccBE);
  if (i.mnemonic == ZYDIS_MNEMONIC_LOOP || i.mnemonic == ZYDIS_MNEMONIC_LOOPE ||
      i.mnemonic == ZYDIS_MNEMONIC_LOOPNE) {  // has counted already
    a_.lea32(kT0, {.base = hRCX, .disp = 1});
    write_gpr(cpu::RCX, kT0, i.addr_bytes);
  }
  Insn raise = i;
  raise.form = &kBeyondLimit;
  a_.mov_imm64(kT1, reinterpret_cast<uint64_t>(cache_.keep(lock_, raise)));
  a_.jmp(thunks_.help_end);
  a_.bind_short(inside);
}

// to = instruction pointer at a distance from the page's start, as wide as the code size allows.
void Emitter::rip_to(Host to, int64_t offset_from_page) {
  a_.load(to, ctx_mem(RHEA_CTX(rip_page)));
  HostMem m{.base = to, .disp = static_cast<int32_t>(offset_from_page)};
  if (is64(mode_)) {
    if (m.disp != 0) a_.lea(to, m);
  } else {
    a_.lea32(to, m);
  }
}

void Emitter::mask_rip(Host r, unsigned op_bytes) {
  if (op_bytes == 2) a_.movzx16(r, r);
}

// T1 = offset of T0's entry in the jump table; flags are lost.
void jump_offset(Assembler& a) {
  static_assert(sizeof(JumpEntry) == 16);
  if (kHostCrc32) {
    a.op_rr(0x31, kT1, kT1, false);
    a.crc32(kT1, kT0);
    a.and32_imm(kT1, (kJumpEntries - 1) * sizeof(JumpEntry));
  } else {
    a.mov32(kT1, kT0);
    a.and32_imm(kT1, kJumpEntries - 1);
    a.shl32(kT1, 4);
  }
}

void Emitter::lookup_exit() {
  ended_ = true;
  if (single() || (mode_ & mode::kFlatCs) == 0 || !options_.jump_cache) {
    a_.jmp(thunks_.lookup);
    return;
  }
  size_t table = RHEA_CTX(jump) + bank_ * sizeof(JumpBank) + offsetof(JumpBank, entry);
  a_.cmp32_mem_imm8(ctx_mem(RHEA_CTX(core.pending)), 0);
  a_.jcc(ccNE, thunks_.lookup);
  jump_offset(a_);
  a_.cmp(kT0, ctx_mem(table, kT1));
  a_.jcc(ccNE, thunks_.lookup);
  a_.jmp_mem(ctx_mem(table + offsetof(JumpEntry, host), kT1));
}

void Emitter::exit_to_rip_offset(int64_t offset_from_page) {
  flags_to_slot();
  if (far_link(offset_from_page, false)) {
    ended_ = true;
    return;
  }
  rip_to(kT0, offset_from_page);
  lookup_exit();
}

bool Emitter::expects_returns(const Insn& i) const {
  constexpr uint32_t kNot = mode::kSingle | mode::kDebug | mode::kWatch;
  return options_.returns && options_.jump_cache && is64(mode_) && (mode_ & kNot) == 0 &&
         block_.ram != nullptr && i.op_bytes != 2;
}

void Emitter::limit_returns() {
  a_.cmp(hRSP, ctx_mem(RHEA_CTX(return_limit)));
  uint8_t* full = a_.jcc_later(ccB);
  stubs_.push_back(
      {.kind = Stub::Kind::ReturnsFull, .patch = full, .resume = a_.here(), .op = {}, .mem = {}});
}

// Behind the guest's push. T0: return address; T2: target, unless relative. Flags are in their slot where
// they live.
void Emitter::expecting_call(const Insn& i, bool linked, int64_t target, uint16_t live) {
  if (live != 0) flags_to_slot();
  limit_returns();
  flags_.host = false;
  if (linked) {
    bool slotted = live != 0 && options_.lazy_flags;
    if (live != 0 && !slotted) flags_to_host();
    uint8_t* to_poll = target <= i.page_offset ? poll(slotted ? uint16_t{0} : live) : nullptr;
    a_.push(kT0);
    a_.keep_together(1, 4);
    uint8_t* rel32 = a_.call_later();
    link_stub(link_site(static_cast<int32_t>(target), rel32, slotted), to_poll);
  } else {
    bool relative = i.imm_bytes != 0;
    if (relative && far_link(target, true)) {
      landing(i, false);
      return;
    }
    size_t table = RHEA_CTX(jump) + bank_ * sizeof(JumpBank) + offsetof(JumpBank, entry);
    a_.push(kT0);
    if (relative)
      a_.lea(kT0, {.base = kT0, .disp = static_cast<int32_t>(i.imm)});
    else
      a_.mov(kT0, kT2);
    if (!relative && predict(i, true)) {
      landing(i, false);
      return;
    }
    uint8_t* to_poll = poll(0);
    jump_offset(a_);
    a_.cmp(kT0, ctx_mem(table, kT1));
    uint8_t* miss = a_.jcc_later(ccNE);
    a_.op_rm(0xff, 2, ctx_mem(table + offsetof(JumpEntry, host), kT1), false);
    stubs_.push_back({.kind = Stub::Kind::CallMiss,
                      .patch = miss,
                      .resume = to_poll,
                      .after = a_.here(),
                      .op = {},
                      .mem = {}});
  }
  landing(i, linked);
}

// Where the host comes back to; T0: the return address, flags in their slot. A callee of the same page
// usually leaves rip_page as it was: then the next use of it need not wait for the return address.
void Emitter::landing(const Insn& i, bool same_page) {
  unsigned next = i.page_offset + i.length;
  a_.lea(hRSP, {.base = hRSP, .disp = 8});
  flags_ = {.host = false, .slot = true};
  if (next >= kPageSize) {
    lookup_exit();
    return;
  }
  a_.lea(kT1, {.base = kT0, .disp = -static_cast<int32_t>(next)});
  if (same_page) {
    a_.cmp(kT1, ctx_mem(RHEA_CTX(rip_page)));
    uint8_t* moved = a_.jcc_later(ccNE);
    stubs_.push_back(
        {.kind = Stub::Kind::PageMoved, .patch = moved, .resume = a_.here(), .op = {}, .mem = {}});
  } else {
    a_.store(ctx_mem(RHEA_CTX(rip_page)), kT1);
  }
  jump_to(next, false, target_flags_->live_at(next));
}

bool Emitter::in_page(const Insn& i, int64_t& target) const {
  target = static_cast<int64_t>(i.page_offset) + i.length + i.imm;
  bool truncated = i.code_bits == 32 && i.op_bytes == 2;
  return !single() && !truncated && target >= 0 && target < static_cast<int64_t>(kPageSize);
}

// A jmp rel32 whose displacement can be rewritten in one aligned write.
uint8_t* Emitter::aligned_jmp() {
  a_.keep_together(1, 4);
  return a_.jmp_later();
}

LinkSite* Emitter::link_site(int32_t offset_from_page, uint8_t* rel32, bool slotted) {
  LinkSite& l = cache_.make_link(lock_);
  l.rel32 = cache_.place_of(rel32);
  l.from = &block_;
  l.mode = mode_ & ~mode::kUngrouped;
  l.slotted = slotted;
  l.target_offset = offset_from_page;
  l.next_outgoing = block_.links;
  block_.links = &l;
  return &l;
}

// Unconditional, inside the page. backward: this edge may close a loop.
void Emitter::jump_to(unsigned page_offset, bool backward, uint16_t live) {
  bool slotted = live != 0 && !flags_.host && options_.lazy_flags;
  if (live != 0 && !slotted) flags_to_host();
  uint8_t* to_poll = backward ? poll(slotted ? uint16_t{0} : live) : nullptr;
  uint8_t* rel32 = aligned_jmp();
  link_stub(link_site(static_cast<int32_t>(page_offset), rel32, slotted), to_poll);
}

// The jump that is taken when something is pending; flags stay where any live.
uint8_t* Emitter::poll(uint16_t live) {
  if (live == 0) {
    a_.cmp32_mem_imm8(ctx_mem(RHEA_CTX(core.pending)), 0);
    return a_.jcc_later(ccNE);
  }
  a_.mov(kT1, hRCX);
  a_.load32(hRCX, ctx_mem(RHEA_CTX(core.pending)));
  a_.u8(0xe3);  // jrcxz over: mov rcx, T1; jmp
  a_.u8(8);
  a_.mov(hRCX, kT1);
  uint8_t* to_poll = a_.jmp_later();
  a_.mov(hRCX, kT1);
  return to_poll;
}

void Emitter::link_stub(LinkSite* l, uint8_t* to_poll) {
  stubs_.push_back(
      {.kind = Stub::Kind::Link, .patch = cache_.at_place(l->rel32), .op = {}, .mem = {}, .link = l});
  if (to_poll != nullptr)
    stubs_.push_back({.kind = Stub::Kind::Poll, .patch = to_poll, .op = {}, .mem = {}, .link = l});
}

// The taken side of a relative jump, inline.
void Emitter::direct_exit(const Insn& i) {
  int64_t target = 0;
  if (in_page(i, target)) {
    auto offset = static_cast<unsigned>(target);
    jump_to(offset, offset <= i.page_offset, target_flags_->live_at(offset));
    return;
  }
  flags_to_slot();
  if (i.op_bytes != 2 && far_link(target, false)) {
    ended_ = true;
    return;
  }
  rip_to(kT0, target);
  if (i.op_bytes == 2 || i.code_bits == 16) mask_rip(kT0, i.op_bytes);
  check_code_limit(i, kT0);
  lookup_exit();
}

void Emitter::near_jump(const Insn& i) {
  if (i.imm_bytes != 0) {
    direct_exit(i);
  } else {
    flags_to_slot();
    load_target(i, kT0);
    check_code_limit(i, kT0);
    if (!predict(i, false)) lookup_exit();
  }
  ended_ = true;
}

void Emitter::conditional(const Insn& i, uint16_t) {
  auto cond = static_cast<Cond>(condition_of(i.mnemonic));
  flags_to_host();
  int64_t target = 0;
  if (in_page(i, target) && target > i.page_offset) {
    a_.keep_together(2, 4);
    uint8_t* rel32 = a_.jcc_later(cond);
    LinkSite* l = link_site(static_cast<int32_t>(target), rel32);
    stubs_.push_back({.kind = Stub::Kind::Link, .patch = rel32, .op = {}, .mem = {}, .link = l});
    return;
  }
  uint8_t* skip = a_.jcc_short_later(inverse(cond));
  FlagPlace flags = flags_;
  direct_exit(i);
  flags_ = flags;
  ended_ = false;
  a_.bind_short(skip);
}

// JCXZ, JECXZ, JRCXZ, LOOP, LOOPE, LOOPNE: count register by address size, flags untouched.
void Emitter::counted(const Insn& i, uint16_t live_after) {
  if ((i.flags_read & kStatusMask) != 0 || (live_after & kStatusMask) != 0) flags_to_host();
  bool loop = i.mnemonic == ZYDIS_MNEMONIC_LOOP || i.mnemonic == ZYDIS_MNEMONIC_LOOPE ||
              i.mnemonic == ZYDIS_MNEMONIC_LOOPNE;
  if (loop) {
    if (i.addr_bytes == 8)
      a_.lea(hRCX, {.base = hRCX, .disp = -1});
    else if (i.addr_bytes == 4)
      a_.lea32(hRCX, {.base = hRCX, .disp = -1});
    else
      a_.lea32(kT0, {.base = hRCX, .disp = -1}), write_gpr(cpu::RCX, kT0, 2);
  }
  a_.mov(kT1, hRCX);
  if (i.addr_bytes == 2) a_.movzx16(hRCX, hRCX);
  if (i.addr_bytes == 4) a_.mov32(hRCX, hRCX);
  // jrcxz zero; (rcx restored on both ways)
  a_.u8(0xe3);
  uint8_t* to_zero = a_.here();
  a_.u8(0);
  a_.mov(hRCX, kT1);
  uint8_t* not_zero = a_.jmp_later();
  a_.bind_short(to_zero);
  a_.mov(hRCX, kT1);
  uint8_t* zero = loop ? a_.jmp_later() : nullptr;
  uint8_t* not_taken = nullptr;
  if (loop) {
    Assembler::bind(not_zero, a_.here());
    if (i.mnemonic != ZYDIS_MNEMONIC_LOOP)
      not_taken = a_.jcc_later(i.mnemonic == ZYDIS_MNEMONIC_LOOPE ? ccNE : ccE);
  }
  FlagPlace flags = flags_;
  direct_exit(i);
  flags_ = flags;
  ended_ = false;
  if (!loop) Assembler::bind(not_zero, a_.here());
  if (zero != nullptr) Assembler::bind(zero, a_.here());
  if (not_taken != nullptr) Assembler::bind(not_taken, a_.here());
}

void Emitter::load_target(const Insn& i, Host to) {
  unsigned bytes = i.code_bits == 64 ? 8 : i.op_bytes;
  if (i.has_mem) {
    MemOp load{.kind = MemOp::Kind::LoadReg, .reg = to, .bytes = static_cast<uint8_t>(bytes)};
    access(i, i.mem, i.addr_bytes, bytes, false, true, load, plan_.mem);
    return;
  }
  Host r = read_gpr(i.rm, to);
  if (bytes == 8) {
    if (r != to) a_.mov(to, r);
  } else {
    a_.mov32(to, r);
    mask_rip(to, bytes);
  }
}

void Emitter::near_call(const Insn& i, uint16_t) {
  unsigned bytes = i.code_bits == 64 ? 8 : i.op_bytes;
  int64_t target = 0;
  bool relative = i.imm_bytes != 0;
  bool linked = relative && in_page(i, target);
  uint16_t keep = linked ? target_flags_->live_at(static_cast<unsigned>(target)) : 0;
  if (!linked) flags_to_slot();
  if (!relative) {
    load_target(i, kT2);
    check_code_limit(i, kT2);
  } else if (!linked && (mode_ & mode::kFlatCs) == 0) {
    rip_to(kT0, target);
    mask_rip(kT0, bytes);
    check_code_limit(i, kT0);
  }
  MemOp op{.kind = MemOp::Kind::StoreNext,
           .bytes = static_cast<uint8_t>(bytes),
           .imm = i.page_offset + i.length,
           .keep_flags = keep};
  push_value(i, bytes, op);
  if (expects_returns(i)) {
    expecting_call(i, linked, target, keep);
  } else if (linked) {
    jump_to(static_cast<unsigned>(target), target <= i.page_offset, keep);
  } else {
    if (relative && bytes == 8 && far_link(target, false)) {
      ended_ = true;
      return;
    }
    if (relative) {
      rip_to(kT0, target);
      mask_rip(kT0, bytes);
    } else {
      a_.mov(kT0, kT2);
    }
    lookup_exit();
  }
  ended_ = true;
}

void Emitter::near_return(const Insn& i, uint16_t) {
  unsigned bytes = i.code_bits == 64 ? 8 : i.op_bytes;
  flags_to_slot();
  MemOp load{.kind = MemOp::Kind::LoadReg, .reg = kT0, .bytes = static_cast<uint8_t>(bytes)};
  access(i, stack_operand(0), stack_bytes(), bytes, false, true, load, plan_.stack);
  check_code_limit(i, kT0);
  move_sp(static_cast<int32_t>(bytes) + static_cast<int32_t>(i.imm_bytes != 0 ? i.imm & 0xffff : 0));
  if (expects_returns(i)) {
    a_.cmp(kT0, {.base = hRSP, .disp = 8});
    a_.jcc(ccNE, thunks_.unexpected_return[bank_]);
    a_.ret();
  } else {
    lookup_exit();
  }
  ended_ = true;
}

bool Emitter::rewrite(const Insn& i, uint16_t live_after) {
  switch (i.mnemonic) {
    case ZYDIS_MNEMONIC_JMP: near_jump(i); return true;
    case ZYDIS_MNEMONIC_CALL: near_call(i, live_after); return true;
    case ZYDIS_MNEMONIC_RET: near_return(i, live_after); return true;
    case ZYDIS_MNEMONIC_JCXZ:
    case ZYDIS_MNEMONIC_JECXZ:
    case ZYDIS_MNEMONIC_JRCXZ:
    case ZYDIS_MNEMONIC_LOOP:
    case ZYDIS_MNEMONIC_LOOPE:
    case ZYDIS_MNEMONIC_LOOPNE: counted(i, live_after); return true;
    case ZYDIS_MNEMONIC_PUSH: return push(i, live_after);
    case ZYDIS_MNEMONIC_POP: return pop(i, live_after);
    case ZYDIS_MNEMONIC_LEAVE: leave(i, live_after); return true;
    case ZYDIS_MNEMONIC_LEA: lea(i); return true;
    case ZYDIS_MNEMONIC_MOV: copy(i, live_after); return true;  // moffs forms
    default: break;
  }
  if (condition_of(i.mnemonic) >= 0) {
    conditional(i, live_after);
    return true;
  }
  return false;
}

}  // namespace rhea::dbt
