// Deterministic runs: Core::retired counts instructions as they begin, whatever the blocks look like, and a
// block is entered only when the whole of it fits in front of Core::retired_stop; the dispatcher goes the
// rest of the way in single steps. Flags stay as they are: the count goes through LEA.
#include <Zydis/Zydis.h>

#include "engine/dbt/emitter.h"
#include "engine/dbt/forms.h"
#include "engine/dbt/options.h"

namespace rhea::dbt {

namespace {

// Neither faults nor leaves the block nor looks at the count.
bool quiet(const Insn& i) {
  if (i.form->action == Action::Nop) return true;
  return i.form->action == Action::Copy && i.form->unit == Unit::Integer && !i.has_mem &&
         i.mnemonic != ZYDIS_MNEMONIC_DIV && i.mnemonic != ZYDIS_MNEMONIC_IDIV;
}

}  // namespace

void Emitter::count(const Insn* next) {
  if (next != nullptr) ++uncounted_;
  if (uncounted_ == 0 || (next != nullptr && quiet(*next))) return;
  a_.load(kT0, ctx_mem(RHEA_CTX(core.retired)));
  a_.lea(kT0, {.base = kT0, .disp = uncounted_});
  a_.store(ctx_mem(RHEA_CTX(core.retired)), kT0);
  uncounted_ = 0;
}

void Emitter::leave_unless_it_fits(unsigned page_offset) {
  bool live = block_.flags_live_in != 0;
  if (live) save_flags();
  a_.load(kT0, ctx_mem(RHEA_CTX(core.retired)));
  a_.lea(kT0, {.base = kT0, .disp = block_.insns});
  a_.cmp(kT0, ctx_mem(RHEA_CTX(core.retired_stop)));
  uint8_t* fits = a_.jcc_short_later(ccBE);
  rip_to(kT0, page_offset);
  a_.jmp(thunks_.lookup);
  a_.bind_short(fits);
  a_.lea(kT0, {.base = kT0, .disp = -static_cast<int32_t>(block_.insns)});
  a_.store(ctx_mem(RHEA_CTX(core.last_block)), kT0);
  if (live) restore_flags();
}

}  // namespace rhea::dbt
