// Jumps and calls to other pages that are patched to where they usually lead. What each vCPU has seen of the
// target's mapping is in Context::far_page: only while that holds may it take the short way.
#include "engine/dbt/emitter.h"
#include "engine/dbt/options.h"

namespace rhea::dbt {

// What a patched jump or call needs in front of and behind itself is the same for both kinds.
bool Emitter::may_link_far() const {
  constexpr uint32_t kNot = mode::kSingle | mode::kDebug | mode::kWatch;
  return options_.link && options_.jump_cache && is64(mode_) && (mode_ & kNot) == 0 && block_.ram != nullptr;
}

// The jump or call itself and its stub, which is where `unseen` goes.
void Emitter::far_site(Stub::Kind kind, bool call, uint32_t slot, int32_t target, uint8_t* unseen,
                       uint8_t* to_poll) {
  a_.keep_together(1, 4);
  LinkSite* l = link_site(target, call ? a_.call_later() : a_.jmp_later());
  l->far_slot = slot;
  l->predicted = kind == Stub::Kind::Predicted;
  stubs_.push_back({.kind = kind,
                    .patch = unseen,
                    .resume = to_poll,
                    .after = call ? a_.here() : nullptr,
                    .op = {},
                    .mem = {},
                    .link = l});
}

// To another page, by a jump or call that is patched to the place mapped there when rip_page is what this
// vCPU has seen that mapping for. Flags are in their slot, a call's return address in T0. False: nothing is
// emitted, the jump table must do.
bool Emitter::far_link(int64_t target, bool call) {
  if (!options_.far_links || !may_link_far() || target != static_cast<int32_t>(target)) return false;
  uint32_t slot = cache_.make_far_slot(lock_, bank_);
  if (slot == 0) return false;
  uint8_t* to_poll = target < 0 ? poll(0) : nullptr;
  a_.load(kT1, ctx_mem(RHEA_CTX(rip_page)));
  a_.cmp(kT1, ctx_mem(RHEA_CTX(far_page) + 8 * size_t{slot}));
  uint8_t* unseen = a_.jcc_later(ccNE);
  if (call) a_.push(kT0);
  a_.lea(kT0, {.base = kT1, .disp = static_cast<int32_t>(target & ~static_cast<int64_t>(kPageMask))});
  far_site(Stub::Kind::LinkFar, call, slot, static_cast<int32_t>(target), unseen, to_poll);
  return true;
}

// Through a pointer at a fixed place, which hardly ever changes (procedure linkage tables): a far link whose
// slot holds the whole target. T0: rip; flags are in their slot, a call's return address on the host's stack.
// False: nothing is emitted.
bool Emitter::predict(const Insn& i, bool call) {
  bool pointer = i.has_mem && i.mem.base == kRip && i.op_bytes != 2;
  if (!options_.predict || !may_link_far() || !pointer) return false;
  uint32_t slot = cache_.make_far_slot(lock_, bank_);
  if (slot == 0) return false;
  uint8_t* to_poll = poll(0);
  a_.cmp(kT0, ctx_mem(RHEA_CTX(far_page) + 8 * size_t{slot}));
  uint8_t* other = a_.jcc_later(ccNE);
  far_site(Stub::Kind::Predicted, call, slot, 0, other, to_poll);
  return true;
}

}  // namespace rhea::dbt
