#include "engine/dbt/emitter.h"

#include "engine/dbt/forms.h"
#include "engine/dbt/options.h"

namespace rhea::dbt {

Emitter::Emitter(CodeCache& cache, CacheLock& lock, const Thunks& thunks, const DbtOptions& options,
                 Block& block)
    : cache_(cache),
      lock_(lock),
      thunks_(thunks),
      options_(options),
      block_(block),
      mode_(block.mode),
      bank_(bank_of(block.mode)),
      a_(cache.cursor()) {}

// Layout: `call dropped`; dispatched entry; paged entry; direct entry. A dropped block's direct entry becomes
// a jump back to the call, so it is even and its first instruction must not be shorter than 2.
void Emitter::begin(unsigned page_offset) {
  block_.start = a_.here();
  a_.call(thunks_.dropped);
  block_.dispatched = a_.here();
  a_.lea(kT0, {.base = kT0, .disp = -static_cast<int32_t>(page_offset)});
  block_.paged = a_.here();
  if (block_.flags_live_in != 0) restore_flags();
  a_.store(ctx_mem(RHEA_CTX(rip_page)), kT0);
  if ((reinterpret_cast<uintptr_t>(a_.here()) & 1) != 0) a_.u8(0x90);
  block_.direct = a_.here();
  a_.u8(0x66);
  a_.u8(0x90);
}

void Emitter::help(const Insn& i, uint16_t live_after) {
  const Insn* kept = cache_.keep(lock_, i);
  bool reads = i.form->reads_flags, writes = i.form->writes_flags;
  bool live = (live_after & kStatusMask) != 0;
  if (reads || (writes && live) || live) flags_to_slot();
  fault_point(i, a_.here());
  a_.mov_imm64(kT1, reinterpret_cast<uint64_t>(kept));
  a_.call(thunks_.help);
  flags_ = {.host = false, .slot = true};
  if (live && !options_.lazy_flags) flags_to_host();
}

void Emitter::help_end(const Insn& i) {
  const Insn* kept = cache_.keep(lock_, i);
  flags_to_slot();
  fault_point(i, a_.here());
  a_.mov_imm64(kT1, reinterpret_cast<uint64_t>(kept));
  a_.jmp(thunks_.help_end);
  ended_ = true;
}

uint8_t* Emitter::finish() {
  for (size_t n = 0; n < stubs_.size(); ++n) {
    Stub& s = stubs_[n];
    uint8_t* here = a_.here();
    Assembler::bind(s.patch, here);
    switch (s.kind) {
      case Stub::Kind::Access: emit_access_stub(s); break;
      case Stub::Kind::Segment:
        here = lea_data();
        a_.call(thunks_.segment);
        a_.jmp(s.resume);
        Assembler::bind(here, a_.here());
        a_.bytes(&s.segment, sizeof s.segment);
        break;
      case Stub::Kind::Link:
        s.link->unlinked = here;
        a_.mov_imm64(kT2, reinterpret_cast<uint64_t>(s.link));
        a_.jmp(thunks_.link);
        break;
      case Stub::Kind::Poll:
        a_.mov_imm64(kT2, reinterpret_cast<uint64_t>(s.link));
        a_.jmp(thunks_.poll);
        break;
    }
  }
  return a_.here();
}

}  // namespace rhea::dbt
