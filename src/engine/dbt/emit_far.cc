// Jumps and calls to other pages that are patched to where they usually lead. What each vCPU has seen of the
// target's mapping is in Context::far_page: only while that holds may it take the short way.
#include "engine/dbt/emitter.h"
#include "engine/dbt/options.h"

namespace rhea::dbt {

// To another page, by a jump or call that is patched to the place mapped there when rip_page is what this
// vCPU has seen that mapping for. Flags are in their slot, a call's return address in T0. False: nothing is
// emitted, the jump table must do.
bool Emitter::far_link(int64_t target, bool call) {
  constexpr uint32_t kNot = mode::kSingle | mode::kDebug | mode::kWatch;
  if (!options_.far_links || !options_.link || !options_.jump_cache || !is64(mode_) || (mode_ & kNot) != 0 ||
      block_.ram == nullptr || target != static_cast<int32_t>(target))
    return false;
  uint32_t slot = cache_.make_far_slot(lock_, bank_);
  if (slot == 0) return false;
  uint8_t* to_poll = target < 0 ? poll(0) : nullptr;
  a_.load(kT1, ctx_mem(RHEA_CTX(rip_page)));
  a_.cmp(kT1, ctx_mem(RHEA_CTX(far_page) + 8 * size_t{slot}));
  uint8_t* unseen = a_.jcc_later(ccNE);
  if (call) a_.push(kT0);
  a_.lea(kT0, {.base = kT1, .disp = static_cast<int32_t>(target & ~static_cast<int64_t>(kPageMask))});
  a_.keep_together(1, 4);
  uint8_t* rel32 = call ? a_.call_later() : a_.jmp_later();
  LinkSite* l = link_site(static_cast<int32_t>(target), rel32);
  l->far_slot = slot;
  stubs_.push_back({.kind = Stub::Kind::LinkFar,
                    .patch = unseen,
                    .resume = to_poll,
                    .after = call ? a_.here() : nullptr,
                    .op = {},
                    .mem = {},
                    .link = l});
  return true;
}

// Through a pointer at a fixed place, which hardly ever changes (procedure linkage tables): a far link whose
// slot holds the whole target. T0: rip; flags are in their slot, a call's return address on the host's stack.
// False: nothing is emitted.
bool Emitter::predict(const Insn& i, bool call) {
  constexpr uint32_t kNot = mode::kSingle | mode::kDebug | mode::kWatch;
  bool pointer = i.has_mem && i.mem.base == kRip && is64(mode_) && i.op_bytes != 2;
  if (!options_.predict || !pointer || !options_.link || !options_.jump_cache || (mode_ & kNot) != 0 ||
      block_.ram == nullptr)
    return false;
  uint32_t slot = cache_.make_far_slot(lock_, bank_);
  if (slot == 0) return false;
  uint8_t* to_poll = poll(0);
  a_.cmp(kT0, ctx_mem(RHEA_CTX(far_page) + 8 * size_t{slot}));
  uint8_t* other = a_.jcc_later(ccNE);
  a_.keep_together(1, 4);
  LinkSite* l = link_site(0, call ? a_.call_later() : a_.jmp_later());
  l->far_slot = slot;
  l->predicted = true;
  stubs_.push_back({.kind = Stub::Kind::Predicted,
                    .patch = other,
                    .resume = to_poll,
                    .after = call ? a_.here() : nullptr,
                    .op = {},
                    .mem = {},
                    .link = l});
  return true;
}

}  // namespace rhea::dbt
