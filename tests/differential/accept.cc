#include "accept.h"

#include <cstring>

#include "kinds.h"

namespace rhea::differential {

namespace {

bool is_memory_fault(const Event& e) {
  return (e.vector >= 11 && e.vector <= 14) || e.vector == 17;
}

// Of the instruction at which a side stopped; 0 behind the last, and where a branch has led.
unsigned traits_at(const Input& input, uint64_t rip) {
  uint64_t at = input.registers.rip;
  for (size_t i = 0; i < input.c.lengths.size(); ++i) {
    if (at == rip) return input.c.traits[i];
    at += input.c.lengths[i];
  }
  return 0;
}

struct Side {
  const Event& event;
  unsigned traits;
  bool lax() const { return (traits & (trait::kMasked | trait::kSeveral)) != 0; }
};

// A near branch out of the code segment, or to a non-canonical address, faults at the branch on this CPU, at
// its target in the translator.
bool branch_out(const Input& input, const Result& n, const Result& t) {
  uint64_t rip = t.registers.rip;
  auto top = static_cast<int64_t>(rip) >> 47;
  bool nowhere =
      input.c.mode == Mode::Long64 ? top != 0 && top != -1 : input.c.mode != Mode::Flat32 && rip > 0xffff;
  if (nowhere && n.event.vector == 13 && (t.event.vector == 13 || t.event.vector == 1)) return true;
  return (all_traits(input.c) & trait::kNearBranch) != 0 && n.event.vector == 13;
}

// Which of several faults that one instruction deserves is reported.
bool which_fault(const Input& input, const Side& n, const Side& t) {
  bool segmented = input.c.mode == Mode::Segmented16 || input.c.mode == Mode::Segmented32;
  bool different = n.event.vector == 17 || t.event.vector == 17 || n.event.vector != t.event.vector;
  bool masked = (all_traits(input.c) & trait::kMasked) != 0;
  if ((segmented || masked || different) && is_memory_fault(n.event) && is_memory_fault(t.event)) return true;
  if (n.event.vector == 16 && is_memory_fault(t.event)) return true;  // with an x87 exception pending
  // Not an instruction: whether that, its length, or the page that its end is in comes first.
  auto kind = [](const Event& e) { return e.vector == 6 || e.vector == 13 || e.vector == 14; };
  return (n.traits & trait::kInvalid) != 0 && kind(n.event) && kind(t.event);
}

// Of the bytes that a masked form's mask leaves out, of the pieces of a far transfer, of vectors: whether
// they must be aligned, and outside 64-bit mode inside their segment and where they wrap.
bool unspecified_access(const Input& input, const Side& n, const Side& t) {
  if ((n.event.vector == 17 && n.lax()) || (t.event.vector == 17 && t.lax())) return true;
  if (input.c.mode == Mode::Long64) return false;
  return (is_memory_fault(n.event) && n.lax()) || (is_memory_fault(t.event) && t.lax());
}

// What has not been measured (docs/cpu-conformance.md) and the manuals leave open.
bool unmeasured(const Side& n, const Side& t) {
  if (wide_addresses() && n.event.vector == 14 && t.event.vector == 13) return true;
  if (measured_host()) return false;
  auto open = [](const Side& s) {
    bool alignment = s.event.vector == 17 && (s.traits & trait::kVector) != 0;
    return alignment || (is_memory_fault(s.event) && s.lax());
  };
  // Encodings that are free to newer instructions.
  bool newer = t.event.vector == 6 && (t.traits & trait::kInvalid) != 0;
  return open(n) || open(t) || newer;
}

// A branch has led to an INT1: KVM on AMD reports its #DB at the instruction.
bool at_int1(const Input& input, const Result& n, const Result& t) {
  uint64_t before = t.registers.rip - input.registers.rip - 1;
  return n.event.vector == 1 && t.event.vector == 1 && before < input.c.code.size() &&
         input.c.code[before] == 0xf1 && n.registers.rip < t.registers.rip;
}

}  // namespace

unsigned all_traits(const Case& c) {
  unsigned all = 0;
  for (uint8_t t : c.traits) all |= t;
  return all;
}

bool accepted(const Input& input, const Result& native, const Result& translated) {
  Side n{native.event, traits_at(input, native.registers.rip)},
      t{translated.event, traits_at(input, translated.registers.rip)};
  if (branch_out(input, native, translated) || at_int1(input, native, translated)) return true;
  if (native.registers.rip == translated.registers.rip && which_fault(input, n, t)) return true;
  if (unspecified_access(input, n, t) || unmeasured(n, t)) return true;
  // Which bytes of an XSAVE area are looked at.
  bool xsave = input.c.image == Image::Xsave || input.c.image == Image::Xsavec;
  if (xsave && (n.event.vector == 14 || t.event.vector == 14)) return true;
  if ((all_traits(input.c) & trait::kSeveral) == 0 || !is_memory_fault(t.event)) return false;
  // Forms of several accesses: which of them faults. Gathers may be interrupted by single steps half-way.
  return n.event.vector == 1 || is_memory_fault(n.event);
}

}  // namespace rhea::differential
