#include "engine/dbt/emitter.h"

#include "engine/dbt/forms.h"
#include "engine/dbt/options.h"

namespace rhea::dbt {

Emitter::Emitter(CodeCache& cache, CacheLock& lock, const Thunks& thunks, const DbtOptions& options,
                 Buffers& buffers, Block& block)
    : cache_(cache),
      lock_(lock),
      thunks_(thunks),
      options_(options),
      block_(block),
      mode_(block.mode),
      bank_(bank_of(block.mode)),
      a_(cache.cursor()),
      stubs_(buffers.stubs),
      faults_(buffers.faults),
      group_slots_(buffers.group_slots) {
  stubs_.clear();
  faults_.clear();
  // Code that runs once or that makes up a careful variant cannot leave to one.
  constexpr uint32_t kCareful = mode::kUngrouped | mode::kSingle | mode::kWatch | mode::kAlignCheck;
  alternatives_ = (mode_ & kCareful) != 0 || block.ram == nullptr || block.crossing;
}

// Layout: `call dropped`; dispatched entry; paged entry; slotted entry; direct entry. Where flags are needed
// in their slot first (flags_pass) the direct entry saves them, else those before it restore them. A dropped
// block's gate becomes a jump back to the call: one write must be able to replace its first two bytes, and
// its first instruction must not be shorter.
void Emitter::begin(unsigned page_offset, bool flags_pass) {
  block_.start = a_.here();
  auto here = [this] { return static_cast<uint8_t>(a_.here() - block_.start); };
  a_.call(flags_pass ? thunks_.dropped_slotted : thunks_.dropped);
  a_.lea(kT0, {.base = kT0, .disp = -static_cast<int32_t>(page_offset)});
  block_.paged_at = here();
  a_.store(ctx_mem(RHEA_CTX(rip_page)), kT0);
  block_.slotted_at = here();
  if (flags_pass) {
    uint8_t* over = a_.jmp_short_later();
    block_.direct_at = here();
    save_flags();
    a_.keep_together(0, 2);
    a_.bind_short(over);
    block_.slotted_at = block_.gate_at = here();
    flags_ = {.host = false, .slot = true};
  } else {
    if (block_.flags_live_in != 0) restore_flags();
    a_.keep_together(0, 2);
    block_.direct_at = block_.gate_at = here();
  }
  a_.u8(0x66);
  a_.u8(0x90);
  if (options_.deterministic && !single()) leave_unless_it_fits(page_offset);
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

void Emitter::finish() {
  block_.hot_bytes = static_cast<uint32_t>(a_.here() - block_.start);
  block_.cold_at = static_cast<uint32_t>(cache_.cold_cursor() - block_.start);
  a_.seek(block_.cold_start());
  for (Stub& s : stubs_) {
    switch (s.kind) {
      case Stub::Kind::Access: emit_access_stub(s); break;
      case Stub::Kind::Segment:
        a_.bytes(&s.segment, sizeof s.segment);
        Assembler::bind(s.patch, a_.here());
        a_.call(thunks_.segment);
        a_.jmp(s.resume);
        break;
      case Stub::Kind::Helper:
        Assembler::bind(s.patch, a_.here());
        emit_helper_stub(s);
        break;
      case Stub::Kind::ReturnsFull:
        Assembler::bind(s.patch, a_.here());
        a_.load(hRSP, ctx_mem(RHEA_CTX(saved_rsp)));
        a_.jmp(s.resume);
        break;
      case Stub::Kind::CallMiss:
        Assembler::bind(s.patch, a_.here());
        Assembler::bind(s.resume, a_.here());
        a_.call(a_.here() + 2 * kCallBytes);
        a_.jmp(s.after);
        a_.jmp(thunks_.lookup);
        break;
      case Stub::Kind::PageMoved:
        Assembler::bind(s.patch, a_.here());
        a_.store(ctx_mem(RHEA_CTX(rip_page)), kT1);
        a_.jmp(s.resume);
        break;
      case Stub::Kind::Predicted:
        Assembler::bind(s.patch, a_.here());
        Assembler::bind(s.resume, s.after != nullptr ? a_.here() : thunks_.lookup);
        if (s.after != nullptr) {  // a call that has not been made yet
          a_.call(a_.here() + 2 * kCallBytes);
          a_.jmp(s.after);
        }
        Assembler::bind(cache_.at_place(s.link->rel32), a_.here());
        s.link->unlinked = cache_.place_of(a_.here());
        a_.mov_imm64(kT2, reinterpret_cast<uint64_t>(s.link));
        a_.jmp(thunks_.predicted[bank_]);
        break;
      case Stub::Kind::LinkFar:
        Assembler::bind(s.patch, a_.here());
        if (s.resume != nullptr) Assembler::bind(s.resume, a_.here());
        if (s.after != nullptr) {  // a call that has not been made yet
          a_.push(kT0);
          uint8_t* call = a_.call_later();
          a_.jmp(s.after);
          Assembler::bind(call, a_.here());
        }
        Assembler::bind(cache_.at_place(s.link->rel32), a_.here());
        s.link->unlinked = cache_.place_of(a_.here());
        a_.call(thunks_.link_far[bank_]);
        a_.u64(reinterpret_cast<uint64_t>(s.link));
        break;
      case Stub::Kind::Link:
      case Stub::Kind::Poll:
        bool link = s.kind == Stub::Kind::Link;
        Assembler::bind(s.patch, a_.here());
        if (link) s.link->unlinked = cache_.place_of(a_.here());
        if (s.link->slotted)
          a_.call(link ? thunks_.link_slotted[bank_of(s.link->mode)] : thunks_.poll_slotted);
        else
          a_.call(link ? thunks_.link[bank_of(s.link->mode)] : thunks_.poll);
        a_.u64(reinterpret_cast<uint64_t>(s.link));
        break;
    }
  }
  block_.cold_bytes = static_cast<uint32_t>(a_.here() - block_.cold_start());
  std::span<const FaultPoint> faults = cache_.keep(lock_, faults_);
  block_.fault_points = faults.data();
  block_.fault_count = static_cast<uint16_t>(faults.size());
}

}  // namespace rhea::dbt
