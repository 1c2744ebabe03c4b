// Lookup in the table of instruction forms (forms.inc). Thread-safe; the index is made on first use.
#include "engine/dbt/forms.h"

#include <Zydis/Zydis.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "engine/dbt/helpers/helpers.h"

namespace rhea::dbt {

namespace {

// What all rows of an instruction set share.
struct Isa {
  ZydisISASet set;
  const char* feature;
  const char* feature2;
};

#define ISA(set, unit, feature, feature2) {ZYDIS_ISA_SET_##set, feature, feature2},
#define COPY(set, mnemonic, pattern, unit)
#define COPY_IF(set, mnemonic, pattern, unit, feature)
#define COPY_OR_OLDER(set, mnemonic, pattern, unit)
#define NOP(set, mnemonic, pattern, unit)
#define REWRITE(set, mnemonic, pattern, unit)
#define UNDEFINED(set, mnemonic, pattern, unit)
#define HELP(set, mnemonic, pattern, unit, helper, reads, writes)
#define HELP_IF(set, mnemonic, pattern, unit, helper, reads, writes, feature)
#define HELP_FULL(set, mnemonic, pattern, unit, helper, reads, writes)
#define HELP_END(set, mnemonic, pattern, unit, helper, reads, writes)
constexpr Isa kIsas[] = {
#include "engine/dbt/forms.inc"
};
#undef ISA
#undef COPY
#undef COPY_IF
#undef COPY_OR_OLDER
#undef NOP
#undef REWRITE
#undef UNDEFINED
#undef HELP
#undef HELP_IF
#undef HELP_FULL
#undef HELP_END

consteval Isa isa_of(ZydisISASet set) {
  for (const Isa& isa : kIsas) {
    if (isa.set == set) return isa;
  }
  throw "a row of a set without an ISA line";
}

struct FeatureName {
  std::string_view name;
  cpu::Feature feature;
};
constexpr FeatureName kFeatureNames[] = {
#define FEATURE(id, name, leaf, subleaf, reg, bit, source) {name, cpu::Feature::id},
#include "cpu/features.inc"
#undef FEATURE
};

consteval uint16_t feature_number(std::string_view name) {
  if (name.empty()) return kNoFeature;
  for (const FeatureName& f : kFeatureNames) {
    if (f.name == name) return static_cast<uint16_t>(f.feature);
  }
  throw "a feature that cpu/features.inc does not have";
}

consteval Form row(ZydisISASet set, ZydisMnemonic mnemonic, Pattern pattern, Action action, Unit unit,
                   const char* feature = nullptr, bool older = false, const char* helper_name = nullptr,
                   Helper helper = nullptr, bool reads = false, bool writes = false) {
  Isa isa = isa_of(set);
  bool own = feature != nullptr;
  return {.mnemonic = static_cast<uint16_t>(mnemonic),
          .isa_set = static_cast<uint16_t>(set),
          .pattern = pattern,
          .action = action,
          .unit = unit,
          .reads_flags = reads,
          .writes_flags = writes,
          .older_without_feature = older,
          .feature = feature_number(own ? feature : isa.feature),
          .feature2 = own ? kNoFeature : feature_number(isa.feature2),
          .helper_name = helper_name,
          .helper = helper};
}

#define SIMPLE(set, mnemonic, pattern, unit, action) \
  row(ZYDIS_ISA_SET_##set, ZYDIS_MNEMONIC_##mnemonic, Pattern::pattern, Action::action, Unit::unit),
#define HELPED(set, mnemonic, pattern, unit, action, helper, reads, writes, feature)                         \
  row(ZYDIS_ISA_SET_##set, ZYDIS_MNEMONIC_##mnemonic, Pattern::pattern, Action::action, Unit::unit, feature, \
      false, #helper, helpers::helper, reads, writes),
#define ISA(set, unit, feature, feature2)
#define COPY(set, mnemonic, pattern, unit) SIMPLE(set, mnemonic, pattern, unit, Copy)
#define COPY_IF(set, mnemonic, pattern, unit, feature) \
  row(ZYDIS_ISA_SET_##set, ZYDIS_MNEMONIC_##mnemonic, Pattern::pattern, Action::Copy, Unit::unit, feature),
#define COPY_OR_OLDER(set, mnemonic, pattern, unit)                                                        \
  row(ZYDIS_ISA_SET_##set, ZYDIS_MNEMONIC_##mnemonic, Pattern::pattern, Action::Copy, Unit::unit, nullptr, \
      true),
#define NOP(set, mnemonic, pattern, unit) SIMPLE(set, mnemonic, pattern, unit, Nop)
#define REWRITE(set, mnemonic, pattern, unit) SIMPLE(set, mnemonic, pattern, unit, Rewrite)
#define UNDEFINED(set, mnemonic, pattern, unit) SIMPLE(set, mnemonic, pattern, unit, Undefined)
#define HELP(set, mnemonic, pattern, unit, helper, r, w) \
  HELPED(set, mnemonic, pattern, unit, Help, helper, r, w, nullptr)
#define HELP_IF(set, mnemonic, pattern, unit, helper, r, w, f) \
  HELPED(set, mnemonic, pattern, unit, Help, helper, r, w, f)
#define HELP_FULL(set, mnemonic, pattern, unit, helper, r, w) \
  HELPED(set, mnemonic, pattern, unit, HelpFull, helper, r, w, nullptr)
#define HELP_END(set, mnemonic, pattern, unit, helper, r, w) \
  HELPED(set, mnemonic, pattern, unit, HelpEnd, helper, r, w, nullptr)
constexpr Form kForms[] = {
#include "engine/dbt/forms.inc"
};

constexpr Form kUndefined = {.mnemonic = ZYDIS_MNEMONIC_INVALID,
                             .isa_set = ZYDIS_ISA_SET_INVALID,
                             .pattern = Pattern::Any,
                             .action = Action::Undefined,
                             .unit = Unit::Integer,
                             .reads_flags = false,
                             .writes_flags = false,
                             .older_without_feature = false,
                             .feature = kNoFeature,
                             .feature2 = kNoFeature,
                             .helper_name = nullptr,
                             .helper = nullptr};

// Rows by mnemonic, in table order within one.
struct Index {
  std::array<uint16_t, ZYDIS_MNEMONIC_MAX_VALUE + 2> first{};
  std::vector<const Form*> rows;

  Index() {
    for (const Form& f : kForms) rows.push_back(&f);
    std::ranges::stable_sort(rows, {}, [](const Form* f) { return f->mnemonic; });
    for (const Form* f : rows) ++first[f->mnemonic + 1u];
    for (size_t i = 1; i < first.size(); ++i) first[i] = static_cast<uint16_t>(first[i] + first[i - 1]);
  }
};

const Index& index() {
  static const Index index;
  return index;
}

bool is_far(const Insn& insn) {
  if (insn.map != 0) return false;
  if (insn.opcode == 0xff) return (insn.modrm >> 3 & 7) == 3 || (insn.modrm >> 3 & 7) == 5;
  return insn.opcode == 0x9a || insn.opcode == 0xea || insn.opcode == 0xca || insn.opcode == 0xcb;
}

bool writes_segment(const Insn& insn) {
  if (insn.map == 1) return insn.opcode == 0xa1 || insn.opcode == 0xa9;
  return insn.map == 0 &&
         (insn.opcode == 0x8e || insn.opcode == 0x07 || insn.opcode == 0x17 || insn.opcode == 0x1f);
}

bool reads_segment(const Insn& insn) {
  if (insn.map == 1) return insn.opcode == 0xa0 || insn.opcode == 0xa8;
  return insn.map == 0 && (insn.opcode == 0x8c || insn.opcode == 0x06 || insn.opcode == 0x0e ||
                           insn.opcode == 0x16 || insn.opcode == 0x1e);
}

bool bit_index_in_register(const Insn& insn) {
  return insn.map == 1 &&
         (insn.opcode == 0xa3 || insn.opcode == 0xab || insn.opcode == 0xb3 || insn.opcode == 0xbb);
}

bool matches(Pattern pattern, const Insn& insn) {
  switch (pattern) {
    case Pattern::Any: return true;
    case Pattern::Reg: return !insn.has_mem;
    case Pattern::Mem: return insn.has_mem;
    case Pattern::MemRegIndex: return insn.has_mem && bit_index_in_register(insn);
    case Pattern::MemMasked: {
      const uint8_t* payload = evex_payload(insn);
      return insn.has_mem && payload != nullptr && (payload[2] & 7) != 0;
    }
    case Pattern::CrTo: return insn.map == 1 && insn.opcode == 0x22;
    case Pattern::CrFrom: return insn.map == 1 && insn.opcode == 0x20;
    case Pattern::DrTo: return insn.map == 1 && insn.opcode == 0x23;
    case Pattern::DrFrom: return insn.map == 1 && insn.opcode == 0x21;
    case Pattern::SegTo: return writes_segment(insn);
    case Pattern::SegFrom: return reads_segment(insn);
    case Pattern::Far: return is_far(insn);
    case Pattern::Moffs: return insn.map == 0 && (insn.opcode & 0xfc) == 0xa0;
    case Pattern::Mode64: return insn.code_bits == 64;
    case Pattern::ModeLegacy: return insn.code_bits != 64;
    case Pattern::Rep: return insn.rep || insn.repne;
    case Pattern::NoRep: return !insn.rep && !insn.repne;
  }
  return false;
}

}  // namespace

const uint8_t* evex_payload(const Insn& insn) {
  if (insn.encoding != Encoding::Evex) return nullptr;
  for (unsigned i = 0; i + 4 < insn.length; ++i) {
    if (insn.raw[i] == 0x62) return &insn.raw[i + 1];
  }
  return nullptr;
}

const Form* find_form(const Insn& insn) {
  if (insn.mnemonic > ZYDIS_MNEMONIC_MAX_VALUE) return &kUndefined;
  const Index& all = index();
  // VEX.W1 of these is the 64-bit form, which other modes do not have; Zydis 4.0 takes it for the 32-bit one.
  bool quadword = insn.mnemonic == ZYDIS_MNEMONIC_VPINSRD || insn.mnemonic == ZYDIS_MNEMONIC_VPEXTRD;
  if (quadword && insn.encoding == Encoding::Vex && insn.rex_w != 0) return &kUndefined;
  for (unsigned i = all.first[insn.mnemonic]; i < all.first[insn.mnemonic + 1u]; ++i) {
    const Form* form = all.rows[i];
    if (form->isa_set == insn.isa_set && matches(form->pattern, insn)) return form;
  }
  return &kUndefined;
}

bool form_available(const Form& form, const cpu::CpuidTable& cpuid) {
  for (uint16_t feature : {form.feature, form.feature2}) {
    if (feature != kNoFeature && !cpuid.has(static_cast<cpu::Feature>(feature))) return false;
  }
  return true;
}

std::span<const Form> all_forms() {
  return kForms;
}

}  // namespace rhea::dbt
