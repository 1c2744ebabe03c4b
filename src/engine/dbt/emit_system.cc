// System instructions that kernels run all the time, without a helper and without leaving the block: CLI,
// STI, CLD, STD, SWAPGS, PUSHF, RDTSC, RDTSCP, RDPKRU, FS and GS bases, reads of CR0-CR4, STAC and CLAC. SDM
// vol. 2 per instruction. 64-bit code only. What they check is in the block's mode, or sends them to their
// helper.
//
// STI's shadow: its instruction and the next are in one block and nothing looks at Core::pending in between,
// so the shadow needs no state. When something is pending as STI runs, the helper and single steps take over,
// so that the interrupt arrives right behind the next instruction. (If that instruction comes to the
// dispatcher by itself, an interrupt that arrived in these few nanoseconds comes before it.)
#include "engine/dbt/emit_system.h"

#include "engine/dbt/emitter.h"
#include "engine/dbt/forms.h"
#include "engine/dbt/helpers/helpers.h"
#include "engine/dbt/options.h"

namespace rhea::dbt {

namespace {

enum class SystemOp : uint8_t {
  Cli,
  Sti,
  Cld,
  Std,
  Swapgs,
  Pushf,
  Rdtsc,
  Rdtscp,
  Rdpkru,
  ReadBase,
  WriteBase,
  ReadCr,
  Stac,
  Clac,
};

constexpr auto kAcFlag = static_cast<int32_t>(cpu::rflags::AC);

bool reads_control_register(const Insn& i) {
  return i.form->helper == &helpers::mov_from_cr && (i.reg == 0 || i.reg == 2 || i.reg == 3 || i.reg == 4);
}

}  // namespace

namespace {

constexpr Form inline_form(Helper helper) {
  Form f{};
  f.action = Action::Rewrite;
  f.helper = helper;
  return f;
}

struct Row {
  SystemOp op;
  Form form;
};
const Row kRows[] = {
    {SystemOp::Cli, inline_form(helpers::cli)},
    {SystemOp::Sti, inline_form(helpers::sti)},
    {SystemOp::Cld, inline_form(helpers::cld)},
    {SystemOp::Std, inline_form(helpers::std_)},
    {SystemOp::Swapgs, inline_form(helpers::swapgs)},
    {SystemOp::Pushf, inline_form(helpers::pushf)},
    {SystemOp::Rdtsc, inline_form(helpers::rdtsc)},
    {SystemOp::Rdtscp, inline_form(helpers::rdtscp)},
    {SystemOp::Rdpkru, inline_form(helpers::rdpkru)},
    {SystemOp::ReadBase, inline_form(helpers::rdfsbase)},
    {SystemOp::ReadBase, inline_form(helpers::rdgsbase)},
    {SystemOp::WriteBase, inline_form(helpers::wrfsbase)},
    {SystemOp::WriteBase, inline_form(helpers::wrgsbase)},
    {SystemOp::ReadCr, inline_form(helpers::mov_from_cr)},
    {SystemOp::Stac, inline_form(helpers::stac)},
    {SystemOp::Clac, inline_form(helpers::clac)},
};

const Row* row_of(Helper helper) {
  for (const Row& r : kRows) {
    if (r.form.helper == helper) return &r;
  }
  return nullptr;
}

bool possible(SystemOp op, const Insn& i, uint32_t m) {
  bool supervisor = (m & mode::kCplMask) == 0;
  switch (op) {
    case SystemOp::Cld:
    case SystemOp::Std: return true;
    case SystemOp::Rdtsc:
    case SystemOp::Rdtscp: return supervisor || (m & mode::kTsd) == 0;
    case SystemOp::Rdpkru: return (m & mode::kPke) != 0;
    case SystemOp::Pushf: return i.op_bytes == 8;
    case SystemOp::ReadBase:
    case SystemOp::WriteBase: return (m & mode::kFsgsbase) != 0;
    case SystemOp::ReadCr: return supervisor && reads_control_register(i);
    case SystemOp::Stac:
    case SystemOp::Clac: return supervisor && (m & mode::kSmap) != 0 && i.page_offset + i.length < 4096;
    case SystemOp::Cli:
    case SystemOp::Sti:
    case SystemOp::Swapgs: return supervisor;
  }
  return false;
}

}  // namespace

const Form* system_form(const Insn& i, uint32_t m, const DbtOptions& options) {
  constexpr uint32_t kSpecial = mode::kSingle | mode::kDebug | mode::kWatch;
  bool helped = i.form->action == Action::Help || i.form->action == Action::HelpEnd;
  if (!helped || !options.inline_system || options.deterministic || !is64(m) || (m & kSpecial) != 0)
    return nullptr;
  const Row* row = row_of(i.form->helper);
  return row != nullptr && possible(row->op, i, m) ? &row->form : nullptr;
}

bool changes_ac_mode(const Insn& i, uint32_t m) {
  if (i.form->action != Action::Rewrite) return false;
  bool on = (m & mode::kSmapAc) != 0;
  return i.form->helper == (on ? &helpers::clac : &helpers::stac);
}

// To the instruction's helper, out of line. It ends the block, or goes on behind what is emitted next.
Emitter::Stub& Emitter::helper_stub(const Insn& i, uint8_t* patch, bool ends, bool live) {
  Stub s{.kind = Stub::Kind::Helper, .patch = patch, .op = {}, .mem = {}};
  s.insn = cache_.keep(lock_, i);
  s.ends = ends;
  s.save_flags = (ends || live) && flags_.host && !flags_.slot;
  s.restore_flags = live && flags_.host;
  return stubs_.emplace_back(s);
}

void Emitter::emit_helper_stub(const Stub& s) {
  if (s.save_flags) save_flags();
  a_.mov_imm64(kT1, reinterpret_cast<uint64_t>(s.insn));
  if (s.ends) {
    a_.jmp(thunks_.help_end);
    return;
  }
  a_.call(thunks_.help);
  if (s.restore_flags) restore_flags();
  a_.jmp(s.resume);
}

// EFLAGS are about to be lost. After: where flags that live are then.
void Emitter::spill_flags(bool live) {
  if (live) flags_to_slot();
}
void Emitter::flags_spilt(bool live) {
  flags_ = {.host = false, .slot = true};
  if (live && !options_.lazy_flags) flags_to_host();
}

void Emitter::store_byte(size_t at, unsigned value) {
  a_.op_rm(0xc6, 0, ctx_mem(at), false);
  a_.u8(value);
}

void Emitter::set_interrupts(const Insn& i) {
  helper_unless_zero(i, true, true, [&] {
    a_.op_rm(0x0fb6, hRCX, ctx_mem(RHEA_CTX(irq_deferred)), false);
    a_.load32(kT0, ctx_mem(RHEA_CTX(core.pending)));
    a_.lea32(hRCX, {.base = hRCX, .index = kT0});
  });
  store_byte(RHEA_CTX(core.s.interrupt_flag), 1);
}

// RFLAGS out of its parts.
void Emitter::push_flags(const Insn& i, uint16_t keep) {
  constexpr size_t kStatus = RHEA_CTX(core.s.status_flags);
  auto byte_to = [&](Host to, size_t at) { a_.op_rm(0x0fb6, to, ctx_mem(at), false); };
  flags_to_slot();
  byte_to(kT0, kStatus);  // OF
  byte_to(kT1, RHEA_CTX(core.s.direction_flag));
  a_.lea32(kT0, {.base = kT1, .index = kT0, .scale = 1});
  byte_to(kT1, RHEA_CTX(core.s.interrupt_flag));
  a_.lea32(kT0, {.base = kT1, .index = kT0, .scale = 1});
  a_.shl32(kT0, 9);
  byte_to(kT1, kStatus + 1);  // as LAHF left it: bit 1 is set, bits 3 and 5 are not
  a_.lea32(kT0, {.base = kT0, .index = kT1});
  a_.load32(kT2, ctx_mem(RHEA_CTX(core.s.system_flags)));
  a_.and32_imm(kT2, ~static_cast<uint32_t>(cpu::rflags::VM | cpu::rflags::RF));
  a_.lea32(kT2, {.base = kT2, .index = kT0});
  flags_ = {.host = false, .slot = true};  // restoring them would take T2
  push_value(i, 8, {.kind = MemOp::Kind::StoreReg, .reg = kT2, .bytes = 8, .keep_flags = keep});
  flags_spilt(keep != 0);
}

void Emitter::read_time(bool with_aux, bool live) {
  spill_flags(live);
  a_.u8(0x0f);
  if (with_aux)
    a_.u16(0xf901);
  else
    a_.u8(0x31);
  a_.op_rr(0xc1, 4, hRDX), a_.u8(32);  // shl rdx, 32
  a_.add_rr(hRAX, hRDX);
  HostMem limit = ctx_mem(RHEA_CTX(core.tsc_limit));
  a_.cmp(hRAX, limit);
  a_.op_rm(0x0f47, hRAX, limit);  // cmova
  HostMem ratio = ctx_mem(RHEA_CTX(core.tsc_ratio));
  a_.op_rr(0x31, hRDX, hRDX, false);  // xor edx, edx
  a_.cmp(hRDX, ratio);
  uint8_t* unscaled = a_.jcc_short_later(ccE);
  a_.op_rm(0xf7, 4, ratio);                 // mul
  a_.op_rr(0x0fac, hRDX, hRAX), a_.u8(32);  // shrd rax, rdx, 32
  a_.bind_short(unscaled);
  a_.add(hRAX, ctx_mem(RHEA_CTX(core.s.tsc_offset)));
  a_.mov(hRDX, hRAX);
  a_.op_rr(0xc1, 5, hRDX), a_.u8(32);  // shr rdx, 32
  a_.mov32(hRAX, hRAX);
  if (with_aux) a_.load32(hRCX, ctx_mem(RHEA_CTX(core.s.tsc_aux)));
  flags_spilt(live);
}

void Emitter::base_register(const Insn& i, bool write, bool live) {
  bool gs = i.form->helper == &helpers::rdgsbase || i.form->helper == &helpers::wrgsbase;
  HostMem base = ctx_mem(RHEA_CTX(core.s.seg) + (gs ? cpu::GS : cpu::FS) * sizeof(cpu::Segment) +
                         offsetof(cpu::Segment, base));
  bool wide = i.rex_w != 0;
  if (!write) {
    wide ? a_.load(kT0, base) : a_.load32(kT0, base);
    write_gpr(i.rm, kT0, wide ? 8 : 4);
    return;
  }
  Host from = read_gpr(i.rm, kT0);
  if (!wide) {
    a_.mov32(kT0, from);
    a_.store(base, kT0);
    return;
  }
  spill_flags(live);
  a_.mov(kT1, from);
  a_.op_rr(0xc1, 4, kT1), a_.u8(16);  // canonical for four levels of paging; the helper knows about five
  a_.op_rr(0xc1, 7, kT1), a_.u8(16);
  a_.op_rr(0x39, kT1, from);
  uint8_t* other = a_.jcc_later(ccNE);
  a_.store(base, from);
  flags_spilt(live);
  helper_stub(i, other, false, live).resume = a_.here();
}

// AC decides about the supervisor's accesses while SMAP is on: the code behind is a block of the other mode.
// The jump banks of the two change modes together, see refresh_mode().
void Emitter::switch_ac(const Insn& i, uint16_t keep) {
  bool on = (mode_ & mode::kSmapAc) == 0;
  HostMem flags = ctx_mem(RHEA_CTX(core.s.system_flags));
  a_.load32(kT0, flags);
  a_.lea32(kT0, {.base = kT0, .disp = on ? kAcFlag : -kAcFlag});
  a_.store32(flags, kT0);
  uint32_t next = (mode_ ^ mode::kSmapAc) & ~mode::kUngrouped;
  a_.store_imm32(ctx_mem(RHEA_CTX(mode)), next);
  a_.store_imm32(ctx_mem(RHEA_CTX(bank)), bank_of(next));
  a_.load(hRSP, ctx_mem(RHEA_CTX(saved_rsp)));  // what is expected of returns belongs to this mode
  jump_to(static_cast<unsigned>(i.page_offset) + i.length, false, keep);
  stubs_.back().link->mode = next;
  ended_ = true;
}

void Emitter::exchange_gs() {
  HostMem gs = ctx_mem(RHEA_CTX(core.s.seg) + cpu::GS * sizeof(cpu::Segment) + offsetof(cpu::Segment, base));
  HostMem other = ctx_mem(RHEA_CTX(core.s.kernel_gs_base));
  a_.load(kT0, gs);
  a_.load(kT1, other);
  a_.store(gs, kT1);
  a_.store(other, kT0);
}

void Emitter::read_control_register(const Insn& i) {
  constexpr size_t kAt[] = {RHEA_CTX(core.s.cr0), 0, RHEA_CTX(core.s.cr2), RHEA_CTX(core.s.cr3),
                            RHEA_CTX(core.s.cr4)};
  a_.load(kT0, ctx_mem(kAt[i.reg]));
  write_gpr(i.rm, kT0, 8);
}

void Emitter::system(const Insn& i, uint16_t live_after, bool last) {
  uint16_t keep = live_after & kStatusMask;
  switch (row_of(i.form->helper)->op) {
    case SystemOp::Cli: store_byte(RHEA_CTX(core.s.interrupt_flag), 0); break;
    case SystemOp::Sti:
      if (last)
        help_end(i);
      else
        set_interrupts(i);
      break;
    case SystemOp::Cld: store_byte(RHEA_CTX(core.s.direction_flag), 0); break;
    case SystemOp::Std: store_byte(RHEA_CTX(core.s.direction_flag), 1); break;
    case SystemOp::Swapgs: exchange_gs(); break;
    case SystemOp::Pushf: push_flags(i, keep); break;
    case SystemOp::Rdtsc: read_time(false, keep != 0); break;
    case SystemOp::Rdtscp: read_time(true, keep != 0); break;
    case SystemOp::Rdpkru: {
      Stub& s = helper_unless_zero(i, false, keep != 0, [] {});
      a_.load32(hRAX, ctx_mem(RHEA_CTX(core.s.pkru)));
      a_.mov_imm32(hRDX, 0);
      s.resume = a_.here();
      break;
    }
    case SystemOp::ReadBase: base_register(i, false, keep != 0); break;
    case SystemOp::WriteBase: base_register(i, true, keep != 0); break;
    case SystemOp::ReadCr: read_control_register(i); break;
    case SystemOp::Stac:
    case SystemOp::Clac:
      if (changes_ac_mode(i, mode_)) switch_ac(i, keep);
      break;
  }
}

}  // namespace rhea::dbt
