#include "engine/dbt/translate.h"

#include <Zydis/Zydis.h>

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "engine/dbt/decode_cache.h"
#include "engine/dbt/diagnose.h"
#include "engine/dbt/emit_string.h"
#include "engine/dbt/emit_system.h"
#include "engine/dbt/emitter.h"
#include "engine/dbt/forms.h"
#include "engine/dbt/helpers/helpers.h"

namespace rhea::dbt {

namespace {

constexpr unsigned kLongestInsn = 15;  // bytes

constexpr Form raising(Helper helper) {
  Form f{};
  f.action = Action::HelpEnd;
  f.reads_flags = true;
  f.helper = helper;
  return f;
}
const Form kRaiseUd = raising(helpers::raise_ud), kRaiseNm = raising(helpers::raise_nm),
           kRaiseGp = raising(helpers::raise_gp);

constexpr Form seeded_random_form() {
  Form f{};
  f.action = Action::Help;
  f.writes_flags = true;
  f.helper = helpers::seeded_random;
  return f;
}
const Form kSeededRandom = seeded_random_form();

Form whole_extent_form() {
  Form f{};
  f.action = Action::Copy;
  f.unit = Unit::Avx512;
  f.whole_or_careful = true;
  return f;
}
const Form kWholeExtent = whole_extent_form();

// A masked access whose whole extent is accessible needs no fault suppression: it runs natively. The block's
// careful variant, entered where that is not so, leaves it to the helper.
bool run_whole(const Insn& i, uint32_t m, const DbtOptions& options) {
  constexpr uint32_t kCareful = mode::kUngrouped | mode::kSingle | mode::kWatch | mode::kAlignCheck;
  bool vex = i.form->helper == &helpers::vmaskmov;
  if (vex && i.mem.write && i.addr_bytes != 8) return false;  // the offset of each element wraps
  bool masked = vex || i.form->helper == &helpers::masked_memory;
  return masked && options.slots && options.groups && is64(m) && (m & kCareful) == 0 && i.has_mem &&
         !i.mem.vsib && i.mem.bytes >= 1 && i.mem.bytes <= 64;
}

// #UD and #NM that follow from the mode and the CPU model alone.
const Form* gate(const Insn& i, uint32_t m, const cpu::CpuidTable& cpuid) {
  using namespace mode;
  const Form& f = *i.form;
  if (f.action == Action::Undefined) return &kRaiseUd;
  if (!f.older_without_feature && !form_available(f, cpuid)) return &kRaiseUd;
  bool vector_prefix =
      i.encoding == Encoding::Vex || i.encoding == Encoding::Evex || i.encoding == Encoding::Xop;
  if (vector_prefix && ((m & kProtected) == 0 || (m & kVm86) != 0)) return &kRaiseUd;
  bool em = (m & kEm) != 0, ts = (m & kTs) != 0;
  switch (f.unit) {
    case Unit::Integer: return nullptr;
    case Unit::Fwait: return nullptr;  // its helper looks at MP and TS
    case Unit::X87: return em || ts ? &kRaiseNm : nullptr;
    case Unit::Mmx: return em ? &kRaiseUd : ts ? &kRaiseNm : nullptr;
    case Unit::Sse: return em || (m & kOsfxsr) == 0 ? &kRaiseUd : ts ? &kRaiseNm : nullptr;
    case Unit::Avx: return (m & kAvxOk) == 0 ? &kRaiseUd : ts ? &kRaiseNm : nullptr;
    case Unit::Avx512: return (m & kAvx512Ok) == 0 ? &kRaiseUd : ts ? &kRaiseNm : nullptr;
  }
  return nullptr;
}

bool is_unconditional(const Insn& i) {
  return i.mnemonic == ZYDIS_MNEMONIC_JMP || i.mnemonic == ZYDIS_MNEMONIC_CALL ||
         i.mnemonic == ZYDIS_MNEMONIC_RET;
}
bool is_branch(const Insn& i) {
  if (i.form->action != Action::Rewrite || i.form->helper != nullptr) return false;
  switch (i.mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_POP:
    case ZYDIS_MNEMONIC_LEAVE:
    case ZYDIS_MNEMONIC_LEA:
    case ZYDIS_MNEMONIC_MOV: return false;
    default: return true;
  }
}

}  // namespace

class Translator::Work final : Emitter::TargetFlags {
 public:
  Work(CodeCache& cache, const Thunks& thunks, const DbtOptions& options)
      : cache_(cache), thunks_(thunks), options_(options) {}

  Block* run(CacheLock& lock, const cpu::CpuidTable& cpuid, Counters& counters, const TranslateInput& input) {
    in_ = input;
    cpuid_ = &cpuid;
    insns_.clear();
    lines_ = 0;
    looked_.clear();
    const uint8_t concessions = cache_.concessions(in_.ram, in_.offset);
    // Where groups fail, so does what inline strings read.
    strings_inline_ = (concessions & CodeCache::kNoGroups) == 0 && !in_.crossing;
    if (!collect()) return nullptr;
    cache_.prepare(lock);
    Block& block = make_block(lock);
    block.ram = in_.ram;
    block.offset = in_.offset;
    block.mode = in_.mode;
    block.conceded = concessions;
    analyse();
    block.flags_live_in = live_in_;
    block.insns = static_cast<uint16_t>(insns_.size());
    Emitter e(cache_, lock, thunks_, options_, buffers_, block);
    e.set_target_flags(this);
    unsigned groups = 0;
    bool grouped = options_.groups && options_.slots && (concessions & CodeCache::kNoGroups) == 0;
    bool narrow = (concessions & CodeCache::kNarrowGroups) != 0;
    int64_t span = !grouped ? 0 : narrow ? AccessPlanner::kNarrow : AccessPlanner::kWide;
    plan_ = planner_.plan(insns_, in_.mode, span, groups);
    e.set_groups(groups);
    e.set_alternatives((concessions & CodeCache::kAlternatives) != 0);
    // Hot code is worth a slot at each access; other code is so much that slots would crowd each other out.
    bool hot = (concessions & CodeCache::kHot) != 0 || ((in_.mode & mode::kCplMask) == 3 && has_loop());
    e.set_probe(options_.probe && !hot);
    e.begin(in_.page_offset, flags_pass());
    emit(e);
    e.finish();
    block.guest_bytes = static_cast<uint16_t>(next_ - in_.page_offset);
    block.lines = lines_;
    const std::span<const ByteRange> looked = cache_.keep(lock, std::span<const ByteRange>(looked_));
    block.looked_at = looked.data();
    block.looked_count = static_cast<uint8_t>(looked.size());
    cache_.publish(lock, block);
    log_guest_code(block, insns_);
    log_host_code(cache_, block);
    ++counters.blocks;
    counters.guest_insns += insns_.size();
    counters.guest_bytes += block.guest_bytes;
    counters.host_bytes += block.host_bytes();
    return &block;
  }

 private:
  Block& make_block(CacheLock& lock) {
    if (!in_.crossing) return cache_.make_block(lock);
    CrossingBlock& block = cache_.make_crossing_block(lock);
    block.second_ram = in_.second_ram;
    block.second_offset = in_.second_offset;
    return block;
  }
  const uint8_t* at(unsigned page_offset) const { return in_.bytes + (page_offset - in_.page_offset); }

  void touch(unsigned first, unsigned length) {
    unsigned last = std::min(first + length - 1, 4095u);
    for (unsigned line = first / 64; line <= last / 64; ++line) lines_ |= uint64_t{1} << line;
  }

  // Looked at beyond the block. When there are too many places, they are one.
  void look(unsigned first, unsigned length) {
    constexpr size_t kMost = 32;
    touch(first, length);
    const auto begin = static_cast<uint16_t>(first), end = static_cast<uint16_t>(first + length);
    if (!looked_.empty() && looked_.back().end == begin) {
      looked_.back().end = end;
    } else if (looked_.size() < kMost) {
      looked_.push_back({begin, end});
    } else {
      looked_.back() = {std::min(looked_.back().begin, begin), std::max(looked_.back().end, end)};
    }
  }

  // Decodes up to the block's end. False: not even the first instruction is whole.
  bool collect() {
    unsigned limit =
        (in_.mode & mode::kSingle) != 0 || in_.crossing || in_.ram == nullptr ? 1 : options_.max_insns;
    unsigned offset = in_.page_offset;
    while (insns_.size() < limit) {
      unsigned left = in_.available - (offset - in_.page_offset);
      Insn& i = insns_.emplace_back();
      DecodeStatus status = left == 0 ? DecodeStatus::NeedMore
                                      : decoder_.decode(at(offset), left, code_bits_of(in_.mode), offset, i);
      if (status == DecodeStatus::NeedMore) {
        insns_.pop_back();
        if (insns_.empty()) return false;
        next_crosses_ = left != 0;  // not to be linked to: found through the jump table
        break;
      }
      if (status != DecodeStatus::Ok) {
        i = Insn{};
        i.length = 1;
        i.code_bits = static_cast<uint8_t>(code_bits_of(in_.mode));
        i.page_offset = static_cast<uint16_t>(offset);
        i.form = status == DecodeStatus::TooLong ? &kRaiseGp : &kRaiseUd;
        if (in_.ram != nullptr && !in_.crossing)
          look(offset, std::min(left, kLongestInsn));  // what made it so
      } else if (const Form* raise = gate(i, in_.mode, *cpuid_)) {
        i.form = raise;
      } else if (i.form->older_without_feature && !form_available(*i.form, *cpuid_)) {
        i.mandatory = 0;  // LZCNT, TZCNT → BSR, BSF
      } else if (options_.deterministic &&
                 (i.mnemonic == ZYDIS_MNEMONIC_RDRAND || i.mnemonic == ZYDIS_MNEMONIC_RDSEED)) {
        i.form = &kSeededRandom;
      } else if (run_whole(i, in_.mode, options_)) {
        i.form = &kWholeExtent;
      } else if (const Form* inlined = system_form(i, in_.mode, options_)) {
        i.form = inlined;
      } else if (const Form* whole = strings_inline_ ? string_form(i, in_.mode, options_) : nullptr) {
        i.form = whole;
      }
      touch(offset, i.length);
      offset += i.length;
      if (i.form->action == Action::HelpEnd || changes_ac_mode(i, in_.mode)) break;
      if (is_branch(i) && (is_unconditional(i) || !options_.superblocks)) break;
    }
    next_ = offset;
    return true;
  }

  // A branch back to the block's start: its code is likely to run many times.
  bool has_loop() const {
    for (const Insn& i : insns_) {
      if (!is_branch(i) || i.imm_bytes == 0 || i.mnemonic == ZYDIS_MNEMONIC_RET ||
          i.mnemonic == ZYDIS_MNEMONIC_CALL)
        continue;
      int64_t target = static_cast<int64_t>(i.page_offset) + i.length + i.imm;
      if (target == in_.page_offset) return true;
    }
    return false;
  }

  void analyse() {
    live_.resize(insns_.size());
    uint16_t live = kStatusMask;  // whatever follows the block may read anything …
    if (insns_.back().form->action != Action::HelpEnd && !is_unconditional(insns_.back()) && next_ < 4096 &&
        (in_.mode & mode::kSingle) == 0) {
      live = live_at(next_);
    }
    for (size_t n = insns_.size(); n-- > 0;) {
      const Insn& i = insns_[n];
      live_[n] = options_.flag_liveness ? live : kStatusMask;
      bool helped = i.form->action == Action::Help || i.form->action == Action::HelpFull;
      if (i.form->action == Action::HelpEnd || (helped && i.form->reads_flags)) {
        live = kStatusMask;
      } else if (is_branch(i)) {
        live = static_cast<uint16_t>(live | i.flags_read | branch_live(i));
      } else {
        live = static_cast<uint16_t>((live & ~i.flags_written) | i.flags_read);
      }
      live &= kStatusMask;
    }
    // Where a counted run stops in front of a block, its flags are to be exact.
    live_in_ = options_.deterministic && !options_.flag_liveness ? kStatusMask : live;
  }

  // Whether what needs the flags that are live on entry first needs them in their slot: a check of an access,
  // a helper, an exit to an unknown place.
  bool flags_pass() const {
    if (live_in_ == 0 || !options_.lazy_flags || options_.deterministic || (in_.mode & mode::kSingle) != 0)
      return false;
    for (size_t n = 0; n < insns_.size(); ++n) {
      const Insn& i = insns_[n];
      if (i.form->action == Action::Nop) continue;
      if (i.form->action == Action::Rewrite && i.form->helper != nullptr) return false;
      if (is_branch(i)) return is_unconditional(i);
      if (i.form->action != Action::Copy && i.form->action != Action::Rewrite) return true;
      bool push = i.mnemonic == ZYDIS_MNEMONIC_PUSH || i.mnemonic == ZYDIS_MNEMONIC_POP ||
                  i.mnemonic == ZYDIS_MNEMONIC_LEAVE;
      if (push || (i.has_mem && i.mem.bytes != 0)) return true;
      if (i.flags_touched || (i.flags_read & kStatusMask) != 0) return false;
    }
    return true;
  }

  uint16_t branch_live(const Insn& i) {
    int64_t target = static_cast<int64_t>(i.page_offset) + i.length + i.imm;
    if (i.imm_bytes == 0 || i.mnemonic == ZYDIS_MNEMONIC_RET || target < 0 || target > 4095 ||
        (in_.mode & mode::kSingle) != 0) {
      return kStatusMask;
    }
    return live_at(static_cast<unsigned>(target));
  }

  // Look-ahead: which status flags the code at this place of the page may read before writing them. The lines
  // looked at belong to the block: when they change, so may the answer.
  uint16_t live_at(unsigned page_offset) override {
    if (!options_.flag_liveness || in_.ram == nullptr || in_.crossing) return kStatusMask;
    const uint8_t* page = in_.ram->host() + (in_.offset & ~kPageMask);
    uint16_t unknown = kStatusMask, live = 0;
    for (unsigned n = 0; n < 6 && unknown != 0 && page_offset < 4096; ++n) {
      Insn i;
      if (decoder_.decode(page + page_offset, 4096 - page_offset, code_bits_of(in_.mode), page_offset, i) !=
          DecodeStatus::Ok)
        break;
      look(page_offset, i.length);
      live = static_cast<uint16_t>(live | (i.flags_read & unknown));
      bool plain = i.form->action == Action::Copy || i.form->action == Action::Nop ||
                   (i.form->action == Action::Rewrite && !is_branch(i));
      if (!plain || gate(i, in_.mode, *cpuid_) != nullptr) break;
      unknown = static_cast<uint16_t>(unknown & ~i.flags_written);
      page_offset += i.length;
    }
    return live | unknown;
  }

  void emit(Emitter& e) {
    for (size_t n = 0; n < insns_.size(); ++n) {
      const Insn& i = insns_[n];
      if (options_.deterministic) e.count(&i);
      e.set_plan(plan_[n]);
      switch (i.form->action) {
        case Action::Nop: e.hint(i, live_[n]); break;
        case Action::Copy: e.copy(i, live_[n]); break;
        case Action::Rewrite:
          if (is_string_form(*i.form))
            e.string(i, live_[n]);
          else if (i.form->helper != nullptr)
            e.system(i, live_[n], n + 1 == insns_.size());
          else
            CHECK(e.rewrite(i, live_[n]));
          break;
        case Action::Help:
        case Action::HelpFull: e.help(i, live_[n]); break;
        default: e.help_end(i); break;
      }
    }
    if (e.ended()) return;
    if (options_.deterministic) e.count(nullptr);
    bool linkable = next_ < 4096 && !next_crosses_ && (in_.mode & mode::kSingle) == 0 && !in_.crossing &&
                    in_.ram != nullptr;
    if (linkable)
      e.jump_to(next_, false, live_at(next_));
    else
      e.exit_to_rip_offset(next_);
  }

  CodeCache& cache_;
  const Thunks& thunks_;
  const DbtOptions& options_;
  const cpu::CpuidTable* cpuid_ = nullptr;
  TranslateInput in_{};
  DecodeCache decoder_;
  AccessPlanner planner_;
  Emitter::Buffers buffers_;
  std::vector<Insn> insns_;
  std::vector<uint16_t> live_;
  std::vector<ByteRange> looked_;
  std::span<const AccessPlan> plan_;
  uint16_t live_in_ = 0;
  uint64_t lines_ = 0;
  unsigned next_ = 0;
  bool next_crosses_ = false;
  bool strings_inline_ = false;
};

Translator::Translator(CodeCache& cache, const Thunks& thunks, const DbtOptions& options)
    : work_(std::make_unique<Work>(cache, thunks, options)) {}
Translator::~Translator() = default;

Block* Translator::translate(CacheLock& lock, const cpu::CpuidTable& cpuid, Counters& counters,
                             const TranslateInput& input) {
  return work_->run(lock, cpuid, counters, input);
}

}  // namespace rhea::dbt
