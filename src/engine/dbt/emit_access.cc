// The one place that emits a guest memory access: effective address, segment, the check against the site's
// slot, and the stub behind it. A further tier replaces access().
#include <Zydis/Zydis.h>

#include "base/check.h"
#include "engine/dbt/emitter.h"
#include "engine/dbt/forms.h"
#include "engine/dbt/options.h"

namespace rhea::dbt {

namespace {
HostMem slot_field(Bank bank, bool write, unsigned slot, size_t field) {
  size_t base = RHEA_CTX(access) + bank * sizeof(AccessBank) +
                (write ? offsetof(AccessBank, write) : offsetof(AccessBank, read));
  return ctx_mem(base + slot * sizeof(Slot) + field);
}
// Of the TLB entry that T1 is the offset of.
HostMem tlb_field(Bank bank, size_t field) {
  return ctx_mem(RHEA_CTX(access) + bank * sizeof(AccessBank) + offsetof(AccessBank, tlb) + field, kT1);
}
size_t tlb_tag(bool write) {
  return offsetof(TlbEntry, tag) + (write ? sizeof(uint64_t) : 0);
}
}  // namespace

static bool waits_for_x87(const MemOp& op) {
  if (op.kind != MemOp::Kind::Copy || op.insn == nullptr) return false;
  bool non_waiting = op.insn->mnemonic == ZYDIS_MNEMONIC_FNSTCW || op.insn->mnemonic == ZYDIS_MNEMONIC_FNSTSW;
  return (op.insn->form->unit == Unit::X87 || op.insn->form->unit == Unit::Mmx) && !non_waiting;
}

static bool is_prefetch(const Insn& i) {
  switch (i.mnemonic) {
    case ZYDIS_MNEMONIC_PREFETCH:
    case ZYDIS_MNEMONIC_PREFETCHW:
    case ZYDIS_MNEMONIC_PREFETCHNTA:
    case ZYDIS_MNEMONIC_PREFETCHT0:
    case ZYDIS_MNEMONIC_PREFETCHT1:
    case ZYDIS_MNEMONIC_PREFETCHT2: return true;
    default: return false;
  }
}

// T0 = offset in the segment, wrapped to the address size. May use T1.
void Emitter::effective_address(const Insn& i, const MemOperand& m, unsigned addr_bytes) {
  HostMem ea;
  int64_t disp = m.disp;
  if (m.base == kRip) {
    a_.load(kT0, ctx_mem(RHEA_CTX(rip_page)));
    ea.base = kT0;
    disp += i.page_offset;
  } else if (m.base != kNoReg) {
    ea.base = host_of(m.base);
    if (ea.base == kNone) a_.load(kT0, gpr_slot(m.base)), ea.base = kT0;
  }
  if (m.index != kNoReg) {
    ea.index = host_of(m.index);
    if (ea.index == kNone) a_.load(kT1, gpr_slot(m.index)), ea.index = kT1;
    ea.scale = m.scale;
  }
  bool fits = disp == static_cast<int32_t>(disp);
  if (!fits || (ea.base == kNone && ea.index == kNone)) {
    if (ea.base == kNone && ea.index == kNone) {
      if (addr_bytes == 8 && !fits)
        a_.mov_imm64(kT0, static_cast<uint64_t>(disp));
      else if (addr_bytes == 8)
        a_.mov_imm_sx(kT0, static_cast<int32_t>(disp));
      else
        a_.mov_imm32(kT0, static_cast<uint32_t>(addr_bytes == 2 ? disp & 0xffff : disp));
      return;
    }
    if (addr_bytes == 8) {
      int64_t near = disp < 0 ? INT32_MIN : INT32_MAX;
      ea.disp = static_cast<int32_t>(near);
      a_.lea(kT0, ea);
      ea = {.base = kT0};
      disp -= near;
    }
    disp = static_cast<int32_t>(disp);  // 32-bit addressing: only the low half counts
  }
  ea.disp = static_cast<int32_t>(disp);
  if (addr_bytes == 8) {
    if (ea.index == kNone && ea.disp == 0) {
      if (ea.base != kT0) a_.mov(kT0, static_cast<Host>(ea.base));
    } else {
      a_.lea(kT0, ea);
    }
  } else {
    a_.lea32(kT0, ea);
    if (addr_bytes == 2) a_.movzx16(kT0, kT0);
  }
}

// T0: offset → linear. In 64-bit code only FS and GS have a base; elsewhere limit and rights are checked too.
void Emitter::segment_check(const Insn& i, const MemOperand& m, unsigned size, bool write) {
  size_t base = RHEA_CTX(core.s.seg) + m.seg * sizeof(cpu::Segment) + offsetof(cpu::Segment, base);
  if (is64(mode_)) {
    a_.add(kT0, ctx_mem(base));
    return;
  }
  a_.lea(kT1, {.base = kT0, .disp = static_cast<int32_t>(size) - 1});
  a_.cmp(kT1, ctx_mem(RHEA_CTX(segment_end) + (write ? 6u * 8 : 0) + m.seg * 8u));
  Stub s{.kind = Stub::Kind::Segment, .patch = a_.jcc_later(ccAE), .op = {}, .mem = {}};
  a_.op_rm(0x03, kT0, ctx_mem(base), false);
  s.resume = a_.here();
  s.segment = {i.page_offset, m.seg, static_cast<uint8_t>(size), write};
  stubs_.push_back(s);
}

// Whether the operation needs no scratch register but T2.
static bool one_scratch_serves(const MemOp& op) {
  if (op.kind == MemOp::Kind::StoreNext) return false;
  if (op.kind != MemOp::Kind::Copy) return true;
  const Insn& i = *op.insn;
  bool reg = (i.gpr_fields & gpr_field::kModrmReg) != 0 && host_of(i.reg) == kNone;
  bool vvvv = (i.gpr_fields & gpr_field::kVvvv) != 0 && host_of(i.vvvv) == kNone;
  return !(reg && vvvv) && !i.high_byte;
}

// A later member of a group: the slot has been checked for it. Touches no flags.
bool Emitter::grouped_access(const Insn& i, const MemOperand& m, unsigned addr_bytes, MemOp& op,
                             const GroupRef& group, bool base_form) {
  if (group.group < 0 || group.first) return false;
  op.keep_flags = 0;
  if (op.needs_flags) flags_to_host();
  auto g = static_cast<size_t>(group.group);
  HostMem delta = probe_ ? ctx_mem(RHEA_CTX(group_delta) + 8 * g)
                         : slot_field(bank_, group.write, group_slots_[g], offsetof(Slot, delta));
  if (base_form) {
    a_.load(kT1, delta);
    apply(op, {.base = host_of(m.base), .index = kT1, .disp = static_cast<int32_t>(m.disp)});
  } else {
    effective_address(i, m, addr_bytes);
    a_.load(kT1, delta);
    HostMem sum{.base = kT0, .index = kT1};
    if (!one_scratch_serves(op)) {
      a_.lea(kT0, sum);
      sum = {.base = kT0};
    }
    apply(op, sum);
  }
  return true;
}

// T0: linear address → T1: delta to host memory, or T0: host address, or both. Returns the jump that is taken
// when the TLB does not serve.
uint8_t* Emitter::probe_tlb(bool write, unsigned size, bool delta, bool address) {
  constexpr unsigned kShift = 12 - kTlbEntryBits;
  if (kHostBmi2)
    a_.rorx32(kT1, kT0, kShift);
  else
    a_.mov32(kT1, kT0), a_.shr32(kT1, kShift);
  a_.and32_imm(kT1, (kTlbEntries - 1) * sizeof(TlbEntry));
  a_.sub(kT0, tlb_field(bank_, tlb_tag(write)));
  a_.cmp_imm(kT0, static_cast<int32_t>(kPageSize - size));
  uint8_t* miss = a_.jcc_later(ccA);
  if (address) a_.add(kT0, tlb_field(bank_, offsetof(TlbEntry, host)));
  if (delta) a_.load(kT1, tlb_field(bank_, offsetof(TlbEntry, delta)));
  return miss;
}

void Emitter::access(const Insn& i, const MemOperand& m, unsigned addr_bytes, unsigned size, bool write,
                     bool read, MemOp op, const GroupRef& group) {
  CHECK(size >= 1 && size <= 64);
  constexpr int64_t kMargin = 1024;  // what a group's first member may subtract
  uint8_t base = m.base == kNoReg || m.base == kRip ? kNone : host_of(m.base);
  bool base_form = is64(mode_) && addr_bytes == 8 && flat_in_mode(mode_, m.seg) && base != kNone &&
                   m.index == kNoReg && m.disp == static_cast<int32_t>(m.disp) &&
                   m.disp >= INT32_MIN + kMargin;
  if (grouped_access(i, m, addr_bytes, op, group, base_form)) return;
  bool slow = !options_.slots || (mode_ & (mode::kAlignCheck | mode::kWatch)) != 0;
  bool probe = probe_ && !slow;
  // A long displacement costs more than the shorter way to the delta saves.
  if (probe && group.group < 0 && m.disp != static_cast<int8_t>(m.disp)) base_form = false;
  unsigned slot = probe ? 0 : next_slot(), from_min = 0;
  if (group.group >= 0) {
    group_slots_[static_cast<size_t>(group.group)] = slot;
    size = group.span;
    from_min = group.from_min;
  }
  Stub s{.kind = Stub::Kind::Access, .patch = nullptr, .op = op, .mem = {}};
  s.base_form = base_form;
  s.probe = probe;
  if (op.keep_flags != 0) {
    flags_to_slot();
    op.restore = op.needs_flags || (op.kind == MemOp::Kind::Copy && !options_.lazy_flags);
    flags_.host = s.op.restore = op.restore;
  }
  MemOperand lowest = m;
  lowest.disp -= from_min;
  effective_address(i, lowest, addr_bytes);
  bool code_store = write && m.seg == cpu::CS && !is64(mode_);  // never flat for that
  if (!flat_in_mode(mode_, m.seg) || code_store) segment_check(i, m, size, write);
  HostMem tag = slot_field(bank_, write, slot, offsetof(Slot, tag));
  HostMem delta = slot_field(bank_, write, slot, offsetof(Slot, delta));
  if (slow) {
    s.base_form = base_form = false;
    s.patch = a_.jmp_later();
  } else if (probe) {
    s.patch = probe_tlb(write, size, base_form || group.group >= 0, !base_form);
  } else if (base_form) {
    a_.sub(kT0, tag);
    a_.cmp_imm(kT0, static_cast<int32_t>(kPageSize - size));
    s.patch = a_.jcc_later(ccA);
    a_.load(kT1, delta);
  } else {
    a_.mov(kT1, kT0);
    a_.sub(kT1, tag);
    a_.cmp_imm(kT1, static_cast<int32_t>(kPageSize - size));
    s.patch = a_.jcc_later(ccA);
    a_.add(kT0, delta);
  }
  s.mem = base_form ? HostMem{.base = base, .index = kT1, .disp = static_cast<int32_t>(m.disp)}
                    : HostMem{.base = kT0, .disp = static_cast<int32_t>(from_min)};
  s.resume = a_.here();
  if (probe && group.group >= 0)
    a_.store(ctx_mem(RHEA_CTX(group_delta) + 8u * static_cast<unsigned>(group.group)), kT1);
  // The empty slot's tag is a non-canonical page that a guest can name; its delta leads to a host fault,
  // here.
  if (op.kind != MemOp::Kind::Copy) fault_point(i, a_.here());
  apply(op, s.mem);
  s.after = a_.here();
  bool locked = write && read && (i.lock || i.mnemonic == ZYDIS_MNEMONIC_XCHG);
  auto flags = static_cast<uint16_t>(
      (write ? AccessSite::kWrite : 0) | (read ? AccessSite::kRead : 0) |
      (m.seg == cpu::SS ? AccessSite::kStack : 0) | (slow || probe ? AccessSite::kNoFill : 0) |
      (m.aligned && group.group < 0 ? AccessSite::kAligned : 0) |
      (group.group < 0 && waits_for_x87(op) ? AccessSite::kWaits : 0) |
      (op.kind != MemOp::Kind::Copy ? AccessSite::kUnfinished : 0) |
      (group.group >= 0 || op.must_fill ? AccessSite::kGroup : 0) | (locked ? AccessSite::kLocked : 0));
  s.site = {static_cast<uint16_t>(i.page_offset | i.length << 12),
            static_cast<uint16_t>(slot),
            static_cast<uint16_t>(kPageSize - size),
            flags,
            0,
            0};
  stubs_.push_back(s);
}

// An instruction without effect on the guest's state: a prefetch of what the TLB knows is one, everything
// else nothing. It never waits for a page to become known; a page that nothing has touched is not worth that.
void Emitter::hint(const Insn& i, uint16_t live_after) {
  constexpr uint32_t kNot = mode::kSingle | mode::kAlignCheck | mode::kWatch;
  if (!options_.prefetch || !options_.slots || (mode_ & kNot) != 0 || !is_prefetch(i) || !i.has_mem ||
      !flat_in_mode(mode_, i.mem.seg))
    return;
  bool live = (live_after & kStatusMask) != 0;
  if (live) flags_to_slot(), flags_.host = false;
  effective_address(i, i.mem, i.addr_bytes);
  uint8_t* unknown = probe_tlb(false, 1, false, true);
  HostMem at{.base = kT0};
  operation(i, &at);
  Assembler::bind(unknown, a_.here());
  if (live && !options_.lazy_flags) flags_to_host();
}

void Emitter::store_sized(const HostMem& mem, uint8_t reg, unsigned bytes) {
  if (bytes == 2) a_.u8(0x66);
  a_.op_rm(bytes == 1 ? 0x88 : 0x89, reg, mem, bytes == 8);
}

void Emitter::apply(const MemOp& op, const HostMem& mem) {
  if (op.restore) restore_flags();
  switch (op.kind) {
    case MemOp::Kind::Copy: operation(*op.insn, &mem); break;
    case MemOp::Kind::StoreReg: store_sized(mem, op.reg, op.bytes); break;
    case MemOp::Kind::StoreGuest:
      a_.load(kT2, gpr_slot(op.imm));
      store_sized(mem, kT2, op.bytes);
      break;
    case MemOp::Kind::StoreNext: {
      Host value = mem.base == kT0 ? kT1 : kT0;  // whichever the address leaves free
      rip_to(value, op.imm);
      mask_rip(value, op.bytes);
      store_sized(mem, value, op.bytes);
      if (value != kT0) a_.mov(kT0, value);
      break;
    }
    case MemOp::Kind::LoadReg:
      if (op.bytes <= 2)
        a_.op_rm(op.bytes == 1 ? 0x0fb6 : 0x0fb7, op.reg, mem, false);
      else
        a_.op_rm(0x8b, op.reg, mem, op.bytes == 8);
      break;
    case MemOp::Kind::StoreImm:
      if (op.bytes == 2) a_.u8(0x66);
      a_.op_rm(0xc7, 0, mem, op.bytes == 8);
      if (op.bytes == 2)
        a_.u16(static_cast<unsigned>(op.imm));
      else
        a_.u32(static_cast<uint32_t>(op.imm));
      break;
  }
}

// Site data; its call, which the inline check jumps to; back. Then what a store does that cannot be made in
// place: on a buffer, or with code to drop behind it.
void Emitter::emit_access_stub(Stub& s) {
  bool write = (s.site.flags & AccessSite::kWrite) != 0;
  bool fills = (s.site.flags & AccessSite::kNoFill) == 0;
  bool alternative = write && alternatives_ && (s.site.flags & AccessSite::kGroup) == 0;
  if (alternative) s.site.alt = kCallBytes;  // behind the jump back, which is as long as a call
  uint8_t* site = a_.here();
  a_.bytes(&s.site, sizeof s.site);
  uint8_t* ask = a_.here();
  if (!fills) Assembler::bind(s.patch, ask);
  auto form = static_cast<unsigned>(s.base_form ? AccessForm::Delta : AccessForm::Address);
  a_.call(s.probe || fills ? thunks_.access_probed[form][bank_][write ? 1 : 0] : thunks_.access[form]);
  a_.jmp(s.resume);
  if (alternative) emit_alternative(s, site);
  if (fills) refill_slot(s, ask);
}

// A slot that missed is filled from the TLB.
void Emitter::refill_slot(const Stub& s, uint8_t* ask) {
  bool write = (s.site.flags & AccessSite::kWrite) != 0;
  size_t dirty = RHEA_CTX(access) + bank_ * sizeof(AccessBank) + s.site.slot / kSlotChunk +
                 (write ? offsetof(AccessBank, write_dirty) : offsetof(AccessBank, read_dirty));
  HostMem tag = slot_field(bank_, write, s.site.slot, offsetof(Slot, tag));
  Assembler::bind(s.patch, a_.here());
  if (s.base_form) a_.add(kT0, tag);  // the address again
  Assembler::bind(probe_tlb(write, s.site.size(), false, !s.base_form), ask);
  if (!s.base_form) a_.push(kT0);
  a_.load(kT0, tlb_field(bank_, tlb_tag(write)));
  a_.load(kT1, tlb_field(bank_, offsetof(TlbEntry, delta)));
  a_.store(tag, kT0);
  a_.store(slot_field(bank_, write, s.site.slot, offsetof(Slot, delta)), kT1);
  store_byte(dirty, 1);
  if (!s.base_form) a_.pop(kT0);
  a_.jmp(s.resume);
}

void Emitter::emit_alternative(const Stub& s, const uint8_t* site) {
  flags_.host = s.op.keep_flags == 0 || s.op.restore;
  apply(s.op, s.mem);
  if (s.op.keep_flags != 0 && !s.op.restore) restore_flags();  // store_done takes them from EFLAGS
  a_.u8(0x4c), a_.u8(0x8d), a_.u8(0x15), a_.u32(0);            // lea T1, [rip + to the site]
  Assembler::bind(a_.here() - 4, site);
  a_.call(thunks_.store_done);
  if (s.op.kind == MemOp::Kind::StoreNext) rip_to(kT0, s.op.imm), mask_rip(kT0, s.op.bytes);
  a_.jmp(s.after);
}

}  // namespace rhea::dbt
