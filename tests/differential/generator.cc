// How a case is made. Registers hold pointers into the data window, small numbers, selectors and edge cases.
// Its instructions come from maker.cc; what some of them need to succeed (a selector, a far pointer, a frame
// on the stack) is put in their way when it is known where they will look for it.
#include "generator.h"

#include <map>

#include "base/check.h"
#include "writer.h"

namespace rhea::differential {

const char* mode_name(Mode mode) {
  static constexpr const char* kNames[] = {"64", "32", "32seg", "16seg"};
  return kNames[static_cast<unsigned>(mode)];
}

unsigned code_bits(Mode mode) {
  return mode == Mode::Long64 ? 64 : mode == Mode::Segmented16 ? 16 : 32;
}

Generator::Generator(Mode mode, const std::string& filter) : mode_(mode) {
  for (const Template& t : make_catalogue(code_bits(mode))) {
    if (excluded(t, mode) != nullptr) continue;
    if (!filter.empty() && t.name().find(filter) == std::string::npos) continue;
    templates_.push_back(t);
  }
  CHECK(!templates_.empty());
  std::map<std::pair<const dbt::Form*, bool>, size_t> found;
  for (uint32_t i = 0; i < templates_.size(); ++i) {
    auto [it, added] = found.try_emplace({templates_[i].form, templates_[i].memory}, rows_.size());
    if (added) rows_.emplace_back();
    rows_[it->second].push_back(i);
  }
}

namespace {

// Mostly inside the first page; across the two; up to the end of the second, where the next byte faults.
uint64_t code_offset(Random& r) {
  switch (r.below(16)) {
    case 0: return layout::kPage - 1 - r.below(120);
    case 1: return layout::kCodeBytes - 1 - r.below(40);
    default: return r.below(1024);
  }
}

void make_general(Random& r, Mode mode, Registers& out) {
  uint64_t base = data_base(mode), limit = mode == Mode::Long64 ? ~uint64_t{0} : 0xffffffff;
  for (unsigned i = 0; i < 16; ++i) {
    out.gpr[i] = i >= 8 && mode != Mode::Long64 ? 0 : register_value(r, mode) & limit;
  }
  uint64_t stack = segment_base(out.selector[kSs]);
  out.gpr[4] = (place(r) - stack) & limit;
  if (!r.one_in(8)) out.gpr[4] = layout::kWritable + 0x1000 + r.below(1024) * 4 - stack;
  if (mode == Mode::Segmented16)
    out.gpr[4] = (out.gpr[4] & 0xffff) | (r.one_in(4) ? r.next() << 16 & limit : 0);
  if (r.one_in(2)) {  // string instructions
    out.gpr[1] = r.below(r.one_in(6) ? 3000 : 80);
    if (r.one_in(2)) out.gpr[6] = (place(r) - base) & limit;
    if (r.one_in(2)) out.gpr[7] = (place(r) - base) & limit;
  }
}

uint64_t make_flags(Random& r) {
  uint64_t flags = 0x202 | (r.next() & kStatusFlags);
  if (r.one_in(8)) flags |= 0x400;      // DF
  if (r.one_in(24)) flags |= 0x40000;   // AC
  if (r.one_in(32)) flags |= 0x100;     // TF
  if (r.one_in(32)) flags |= 0x4000;    // NT
  if (r.one_in(32)) flags |= 0x200000;  // ID
  if (r.one_in(64)) flags |= 0x10000;   // RF
  return flags;
}

}  // namespace

void Generator::make(uint64_t seed, unsigned max_insns, Input& in) const {
  Random r(seed);
  in.c = {};
  in.c.mode = mode_;
  in.c.seed = seed;
  in.c.code_offset = code_offset(r);
  make_segments(r, mode_, in.registers);
  make_general(r, mode_, in.registers);
  in.registers.rflags = make_flags(r);
  make_xsave(r, in.registers, r.one_in(2));
  fill_window(r, in.window);
  in.registers.rip = layout::kCode + in.c.code_offset - segment_base(in.registers.selector[kCs]);
  Writer(r, *this, in).fill(max_insns);
}

}  // namespace rhea::differential
