// The thunks, assembled at start-up. See thunks.h for what each promises and emitter.h for the register plan.
#include "engine/dbt/thunks.h"

#include <initializer_list>

#include "engine/dbt/code_cache.h"
#include "engine/dbt/context.h"
#include "engine/dbt/emitter.h"
#include "engine/dbt/runtime.h"

namespace rhea::dbt {

namespace {

class ThunkMaker {
 public:
  explicit ThunkMaker(CodeCache& cache) : cache_(cache), a_(cache.cursor()) {}

  Thunks make() {
    Thunks t{};
    leave_ = start();
    emit_leave();
    go_ = start();
    emit_go();
    for (unsigned f = 0; f < kAccessForms; ++f) {
      auto form = static_cast<AccessForm>(f);
      t.access[f] = access_like(reinterpret_cast<const void*>(&runtime_access), sizeof(AccessSite),
                                form == AccessForm::Delta ? Gives::Delta : Gives::Address);
      for (unsigned bank = 0; bank < kBanks; ++bank) {
        for (bool write : {false, true}) {
          t.access_probed[f][bank][write ? 1 : 0] = start();
          a_.add(kT0, ctx_mem(tlb_of(bank) + tag_of(write), kT1));
          a_.jmp(t.access[f]);
        }
      }
    }
    t.segment =
        access_like(reinterpret_cast<const void*>(&runtime_segment), sizeof(SegmentSite), Gives::Offset);
    t.store_done = emit_store_done();
    t.help = emit_help();
    t.help_end = emit_exit(reinterpret_cast<const void*>(&runtime_help_end), false, false);
    t.poll = emit_exit(reinterpret_cast<const void*>(&runtime_poll), true, true);
    t.poll_slotted = emit_exit(reinterpret_cast<const void*>(&runtime_poll), true, false);
    t.lookup = emit_lookup();
    for (unsigned bank = 0; bank < kBanks; ++bank) {
      t.link[bank] = emit_link(bank, reinterpret_cast<const void*>(&runtime_link), true);
      t.predicted[bank] = emit_predicted(bank);
      t.link_slotted[bank] = emit_link(bank, reinterpret_cast<const void*>(&runtime_link), false);
      t.link_far[bank] = emit_link(bank, reinterpret_cast<const void*>(&runtime_link_far), false);
    }
    for (unsigned bank = 0; bank < kBanks; ++bank)
      t.unexpected_return[bank] = emit_unexpected_return(bank, t.lookup);
    no_return_ = start();  // a return to kEmptyRip with nothing expected
    a_.load(hRSP, ctx_mem(RHEA_CTX(saved_rsp)));
    a_.jmp(t.lookup);
    t.dropped = emit_dropped(true);
    t.dropped_slotted = emit_dropped(false);
    t.fault = emit_fault();
    const uint8_t* enter = emit_enter();
    const uint8_t* cold = emit_cold();
    cache_.emitted(a_.here());
    cache_.set_thunks_end();
    t.enter = reinterpret_cast<void (*)(void*, const uint8_t*)>(cache_.executable(enter));
    t.cold = reinterpret_cast<void (*)(void (*)(void*), void*)>(cache_.executable(cold));
    return t;
  }

 private:
  const uint8_t* start() {
    a_.align(16);
    return a_.here();
  }
  void save_gprs() {
    for (int g = 0; g < 16; ++g) {
      if (host_of(g) != kNone) a_.store(gpr_slot(g), static_cast<Host>(host_of(g)));
    }
  }
  void load_gprs() {
    for (int g = 0; g < 16; ++g) {
      if (host_of(g) != kNone) a_.load(static_cast<Host>(host_of(g)), gpr_slot(g));
    }
  }
  void save_caller_saved() {
    for (int g : {0, 1, 2, 6, 7, 8}) a_.store(gpr_slot(g), static_cast<Host>(host_of(g)));
  }
  void load_caller_saved() {
    for (int g : {0, 1, 2, 6, 7, 8}) a_.load(static_cast<Host>(host_of(g)), gpr_slot(g));
  }
  void save_others() {
    for (int g : {3, 4, 5, 12, 13, 14}) a_.store(gpr_slot(g), static_cast<Host>(host_of(g)));
  }
  void save_flags() {  // EFLAGS to the state; uses T1
    a_.mov(kT1, hRAX);
    a_.u8(0x9f);
    a_.u8(0x0f), a_.u8(0x90), a_.u8(0xc0);
    a_.store16(ctx_mem(RHEA_CTX(core.s.status_flags)), hRAX);
    a_.mov(hRAX, kT1);
  }
  void call(const void* fn) {
    a_.mov_imm64(hRAX, reinterpret_cast<uint64_t>(fn));
    a_.call_reg(hRAX);
  }
  void self_to(Host r) { a_.load(r, ctx_mem(RHEA_CTX(self))); }
  void drop_return() { a_.lea(hRSP, {.base = hRSP, .disp = 8}); }
  void component_mask() {
    a_.load32(hRAX, ctx_mem(RHEA_CTX(xsave_mask)));
    a_.load32(hRDX, ctx_mem(RHEA_CTX(xsave_mask) + 4));
  }
  void xsave() { a_.op_rm(0x0fae, 4, ctx_mem(RHEA_CTX(core.s.xsave))); }
  void xrstor() { a_.op_rm(0x0fae, 5, ctx_mem(RHEA_CTX(core.s.xsave))); }
  void host_fpu_defaults() {
    a_.u8(0xdb), a_.u8(0xe3);  // fninit
    a_.op_rm(0x0fae, 2, ctx_mem(RHEA_CTX(host_mxcsr)), false);
  }

  // RAX: where to, or null to leave run().
  void emit_go() {
    a_.op_rr(0x85, hRAX, hRAX);
    a_.jcc(ccE, leave_);
    a_.load(hRSP, ctx_mem(RHEA_CTX(saved_rsp)));  // whatever was expected of returns is void
    a_.store(ctx_mem(RHEA_CTX(scratch[3])), hRAX);
    load_gprs();
    a_.load(kT0, ctx_mem(RHEA_CTX(core.s.rip)));
    a_.jmp_mem(ctx_mem(RHEA_CTX(scratch[3])));
  }
  void emit_leave() {
    component_mask();
    xsave();
    host_fpu_defaults();
    a_.load(hRSP, ctx_mem(RHEA_CTX(saved_rsp)));
    a_.lea(hRSP, {.base = hRSP, .disp = 8 + 16});
    for (Host r : {hR15, hR14, hR13, hR12, hRBP, hRBX}) a_.pop(r);
    a_.ret();
  }
  const uint8_t* emit_enter() {
    const uint8_t* at = start();
    for (Host r : {hRBX, hRBP, hR12, hR13, hR14, hR15}) a_.push(r);
    a_.lea(hRSP, {.base = hRSP, .disp = -8});
    a_.mov_imm64(hRAX, kEmptyRip);
    a_.push(hRAX);
    a_.mov_imm64(hRAX, reinterpret_cast<uint64_t>(cache_.executable(no_return_)));
    a_.push(hRAX);
    a_.store(ctx_mem(RHEA_CTX(saved_rsp)), hRSP);
    a_.lea(hRAX, {.base = hRSP, .disp = -static_cast<int32_t>(kReturnStackBytes)});
    a_.store(ctx_mem(RHEA_CTX(return_limit)), hRAX);
    a_.store(ctx_mem(RHEA_CTX(scratch[3])), hRSI);
    component_mask();
    xrstor();
    load_gprs();
    a_.load(kT0, ctx_mem(RHEA_CTX(core.s.rip)));
    a_.jmp_mem(ctx_mem(RHEA_CTX(scratch[3])));
    return at;
  }
  const uint8_t* emit_cold() {
    const uint8_t* at = start();
    a_.lea(hRSP, {.base = hRSP, .disp = -24});
    a_.store({.base = hRSP}, hRDI);
    a_.store({.base = hRSP, .disp = 8}, hRSI);
    component_mask();
    xsave();
    host_fpu_defaults();
    a_.load(hRAX, {.base = hRSP});
    a_.load(hRDI, {.base = hRSP, .disp = 8});
    a_.call_reg(hRAX);
    component_mask();
    xrstor();
    a_.lea(hRSP, {.base = hRSP, .disp = 24});
    a_.ret();
    return at;
  }

  static size_t tlb_of(unsigned bank) {
    return RHEA_CTX(access) + bank * sizeof(AccessBank) + offsetof(AccessBank, tlb);
  }
  static size_t tag_of(bool write) { return offsetof(TlbEntry, tag) + (write ? sizeof(uint64_t) : 0); }

  // T1 and T0 as it was; T1 and T0 + T1; T0.
  enum class Gives : uint8_t { Delta, Address, Offset };

  // T0 in; T2 kept. The C++ side answers rdx: 0 behind the site, 1 its alt, 2 rax.
  const uint8_t* access_like(const void* fn, size_t site_bytes, Gives gives) {
    const uint8_t* at = start();
    a_.load(kT1, {.base = hRSP});
    a_.lea(kT1, {.base = kT1, .disp = -kCallBytes - static_cast<int>(site_bytes)});
    a_.store(ctx_mem(RHEA_CTX(scratch[0])), kT2);
    a_.store(ctx_mem(RHEA_CTX(scratch[3])), kT0);
    save_gprs();
    self_to(hRDI);
    a_.mov(hRSI, kT0);
    a_.mov(hRDX, kT1);
    a_.store(ctx_mem(RHEA_CTX(scratch[4])), kT1);
    a_.lea(hRSP, {.base = hRSP, .disp = -8});
    call(fn);
    a_.lea(hRSP, {.base = hRSP, .disp = 8});
    a_.cmp_imm(hRDX, 1);
    uint8_t* jump = a_.jcc_later(ccA);
    uint8_t* alt = a_.jcc_later(ccE);
    uint8_t* back = a_.here();
    a_.mov(kT1, hRAX);
    if (gives == Gives::Offset)
      a_.mov(kT0, hRAX);
    else
      a_.load(kT0, ctx_mem(RHEA_CTX(scratch[3])));
    if (gives == Gives::Address) a_.add_rr(kT0, kT1);
    load_caller_saved();
    a_.load(kT2, ctx_mem(RHEA_CTX(scratch[0])));
    a_.ret();
    Assembler::bind(alt, a_.here());
    a_.load(hRCX, ctx_mem(RHEA_CTX(scratch[4])));
    a_.op_rm(0x0fb6, hRCX, {.base = hRCX, .disp = offsetof(AccessSite, alt)}, false);
    a_.op_rm(0x01, hRCX, {.base = hRSP});  // add [rsp], rcx
    a_.jmp(back);
    Assembler::bind(jump, a_.here());
    drop_return();
    a_.jmp(go_);
    return at;
  }

  const uint8_t* emit_store_done() {
    const uint8_t* at = start();
    a_.u8(0x9c);  // pushfq
    a_.store(ctx_mem(RHEA_CTX(scratch[0])), kT2);
    save_gprs();
    self_to(hRDI);
    a_.mov(hRSI, kT1);
    a_.load(hRDX, {.base = hRSP});
    call(reinterpret_cast<const void*>(&runtime_store_done));
    a_.op_rr(0x85, hRDX, hRDX);
    uint8_t* jump = a_.jcc_later(ccNE);
    load_caller_saved();
    a_.load(kT2, ctx_mem(RHEA_CTX(scratch[0])));
    a_.u8(0x9d);  // popfq
    a_.ret();
    Assembler::bind(jump, a_.here());
    a_.lea(hRSP, {.base = hRSP, .disp = 16});
    a_.jmp(go_);
    return at;
  }

  const uint8_t* emit_help() {
    const uint8_t* at = start();
    save_gprs();
    self_to(hRDI);
    a_.mov(hRSI, kT1);
    a_.lea(hRSP, {.base = hRSP, .disp = -8});
    call(reinterpret_cast<const void*>(&runtime_help));
    a_.lea(hRSP, {.base = hRSP, .disp = 8});
    a_.op_rr(0x85, hRDX, hRDX);
    uint8_t* jump = a_.jcc_later(ccNE);
    load_gprs();
    a_.ret();
    Assembler::bind(jump, a_.here());
    drop_return();
    a_.jmp(go_);
    return at;
  }

  // Runs fn(context, data) and goes where it says. Jumped to with the data in T1, or called from in front of
  // it, with flags to save or not.
  const uint8_t* emit_exit(const void* fn, bool called, bool flags) {
    const uint8_t* at = start();
    if (flags) save_flags();
    save_gprs();
    self_to(hRDI);
    if (called) {
      a_.pop(hRSI);
      a_.load(hRSI, {.base = hRSI});
    } else {
      a_.mov(hRSI, kT1);
    }
    call(fn);
    a_.jmp(go_);
    return at;
  }
  const uint8_t* emit_lookup() {
    const uint8_t* at = start();
    save_caller_saved();
    a_.store(ctx_mem(RHEA_CTX(core.s.rip)), kT0);
    self_to(hRDI);
    call(reinterpret_cast<const void*>(&runtime_quick));
    a_.op_rr(0x85, hRAX, hRAX);
    uint8_t* slow = a_.jcc_later(ccE);
    a_.store(ctx_mem(RHEA_CTX(scratch[3])), hRAX);
    load_caller_saved();
    a_.load(kT0, ctx_mem(RHEA_CTX(core.s.rip)));
    a_.jmp_mem(ctx_mem(RHEA_CTX(scratch[3])));
    Assembler::bind(slow, a_.here());
    save_others();
    self_to(hRDI);
    call(reinterpret_cast<const void*>(&runtime_lookup));
    a_.jmp(go_);
    return at;
  }
  // By the jump table alone if that is known to have the target; a far link that leads to the same place may
  // take the short way from now on.
  const uint8_t* emit_link(unsigned bank, const void* fn, bool flags) {
    const uint8_t* at = start();
    if (flags) save_flags();
    size_t table = RHEA_CTX(jump) + bank * sizeof(JumpBank) + offsetof(JumpBank, entry);
    auto site = [](size_t field) { return HostMem{.base = kT2, .disp = static_cast<int32_t>(field)}; };
    a_.pop(kT2);
    a_.load(kT2, {.base = kT2});
    a_.op_rm(0x63, kT0, site(offsetof(LinkSite, target_offset)));  // movsxd
    a_.add(kT0, ctx_mem(RHEA_CTX(rip_page)));
    a_.cmp32_mem_imm8(ctx_mem(RHEA_CTX(core.pending)), 0);
    uint8_t* slow[3];
    slow[0] = a_.jcc_later(ccNE);
    a_.cmp32_mem_imm8(site(offsetof(LinkSite, to_host)), 0);
    slow[1] = a_.jcc_later(ccE);
    jump_offset(a_);
    a_.cmp(kT0, ctx_mem(table, kT1));
    slow[2] = a_.jcc_later(ccNE);
    a_.load(kT1, ctx_mem(table + offsetof(JumpEntry, host), kT1));
    a_.op_rm(0x3b, kT1, site(offsetof(LinkSite, to_host)), false);  // cmp, the low halves
    uint8_t* elsewhere = a_.jcc_later(ccNE);
    a_.store(ctx_mem(RHEA_CTX(scratch[3])), hRAX);
    a_.load32(hRAX, site(offsetof(LinkSite, far_slot)));
    a_.load(kT2, ctx_mem(RHEA_CTX(rip_page)));
    fill_far_slot(bank, kT2);
    Assembler::bind(elsewhere, a_.here());
    a_.jmp_reg(kT1);
    for (uint8_t* s : slow) Assembler::bind(s, a_.here());
    save_gprs();
    self_to(hRDI);
    a_.mov(hRSI, kT2);
    call(fn);
    a_.jmp(go_);
    return at;
  }
  // RAX, saved in scratch[3]: the slot.
  void fill_far_slot(unsigned bank, Host value) {
    a_.store({.index = hRAX, .scale = 3, .disp = RHEA_CTX(far_page), .ctx = true}, value);
    a_.shr32(hRAX, kFarChunkBits);
    a_.op_rm(0xc6, 0, ctx_mem(RHEA_CTX(far_dirty), hRAX), false), a_.u8(1);
    a_.op_rm(0xc6, 0, ctx_mem(RHEA_CTX(far_filled) + bank), false), a_.u8(1);
    a_.load(hRAX, ctx_mem(RHEA_CTX(scratch[3])));
  }
  const uint8_t* emit_predicted(unsigned bank) {
    const uint8_t* at = start();
    size_t table = RHEA_CTX(jump) + bank * sizeof(JumpBank) + offsetof(JumpBank, entry);
    HostMem to_host{.base = kT2, .disp = offsetof(LinkSite, to_host)};
    a_.cmp32_mem_imm8(ctx_mem(RHEA_CTX(core.pending)), 0);
    uint8_t* pending = a_.jcc_later(ccNE);
    jump_offset(a_);
    a_.cmp(kT0, ctx_mem(table, kT1));
    uint8_t* unknown = a_.jcc_later(ccNE);
    a_.cmp32_mem_imm8(to_host, 0);
    uint8_t* unlinked = a_.jcc_later(ccE);
    a_.load(kT1, ctx_mem(table + offsetof(JumpEntry, host), kT1));
    a_.op_rm(0x3b, kT1, to_host, false);  // cmp, the low halves
    uint8_t* elsewhere = a_.jcc_later(ccNE);
    a_.store(ctx_mem(RHEA_CTX(scratch[3])), hRAX);
    a_.load32(hRAX, {.base = kT2, .disp = offsetof(LinkSite, far_slot)});
    fill_far_slot(bank, kT0);
    Assembler::bind(elsewhere, a_.here());
    a_.jmp_reg(kT1);
    for (uint8_t* s : {pending, unknown, unlinked}) Assembler::bind(s, a_.here());
    save_gprs();
    a_.store(ctx_mem(RHEA_CTX(core.s.rip)), kT0);
    self_to(hRDI);
    a_.mov(hRSI, kT2);
    call(reinterpret_cast<const void*>(&runtime_predicted));
    a_.jmp(go_);
    return at;
  }
  const uint8_t* emit_unexpected_return(unsigned bank, const uint8_t* lookup) {
    const uint8_t* at = start();
    size_t table = RHEA_CTX(jump) + bank * sizeof(JumpBank) + offsetof(JumpBank, entry);
    a_.load(hRSP, ctx_mem(RHEA_CTX(saved_rsp)));
    a_.cmp32_mem_imm8(ctx_mem(RHEA_CTX(core.pending)), 0);
    a_.jcc(ccNE, lookup);
    jump_offset(a_);
    a_.cmp(kT0, ctx_mem(table, kT1));
    a_.jcc(ccNE, lookup);
    a_.jmp_mem(ctx_mem(table + offsetof(JumpEntry, host), kT1));
    return at;
  }
  const uint8_t* emit_dropped(bool flags) {
    const uint8_t* at = start();
    if (flags) save_flags();
    save_gprs();
    self_to(hRDI);
    a_.pop(hRSI);
    call(reinterpret_cast<const void*>(&runtime_dropped));
    a_.jmp(go_);
    return at;
  }
  const uint8_t* emit_fault() {
    const uint8_t* at = start();
    save_flags();
    save_gprs();
    self_to(hRDI);
    call(reinterpret_cast<const void*>(&runtime_fault));
    a_.jmp(go_);
    return at;
  }

  CodeCache& cache_;
  Assembler a_;
  const uint8_t* leave_ = nullptr;
  const uint8_t* go_ = nullptr;
  const uint8_t* no_return_ = nullptr;
};

}  // namespace

Thunks make_thunks(CodeCache& cache) {
  return ThunkMaker(cache).make();
}

}  // namespace rhea::dbt
