#include "writer.h"

namespace rhea::differential {

namespace {

// A short instruction that is the same in every mode: MOV AL, imm8.
constexpr unsigned kFiller = 2;

// Code that is never the case's own: breakpoints only.
constexpr uint64_t kBreakpoints = layout::kCode + 0x1400, kBreakpointBytes = 0x3f0;

bool is_relative_branch(const Decoded& d) {
  return (d.z.attributes & ZYDIS_ATTRIB_IS_RELATIVE) != 0 && d.z.raw.imm[0].is_relative != 0;
}

unsigned general_number(ZydisRegister reg) {
  return static_cast<unsigned>(
      ZydisRegisterGetId(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg)));
}

bool is_general(ZydisRegister reg) {
  ZydisRegisterClass kind = ZydisRegisterGetClass(reg);
  return kind >= ZYDIS_REGCLASS_GPR8 && kind <= ZYDIS_REGCLASS_GPR64;
}

const ZydisDecodedOperand* memory_operand(const Decoded& d) {
  for (unsigned i = 0; i < d.z.operand_count; ++i) {
    const ZydisDecodedOperand& op = d.operands[i];
    if (op.type == ZYDIS_OPERAND_TYPE_MEMORY && op.visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN) return &op;
  }
  return nullptr;
}

bool loads_stack_segment(const Decoded& d) {
  for (unsigned i = 0; i < d.z.operand_count; ++i) {
    const ZydisDecodedOperand& op = d.operands[i];
    bool written = (op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
    if (op.type == ZYDIS_OPERAND_TYPE_REGISTER && op.reg.value == ZYDIS_REGISTER_SS && written) return true;
  }
  return false;
}

bool is_near_indirect(const Decoded& d) {
  if (d.z.meta.branch_type != ZYDIS_BRANCH_TYPE_NEAR || is_relative_branch(d)) return false;
  return d.z.mnemonic == ZYDIS_MNEMONIC_JMP || d.z.mnemonic == ZYDIS_MNEMONIC_CALL ||
         d.z.mnemonic == ZYDIS_MNEMONIC_RET;
}

}  // namespace

Writer::Writer(Random& r, const Generator& g, Input& in)
    : r_(r), g_(g), in_(in), mode_(in.c.mode), bits_(code_bits(in.c.mode)), known_{in.registers} {}

void Writer::fill(unsigned max_insns) {
  auto all = static_cast<unsigned>(g_.templates().size());
  const auto& row = g_.rows()[in_.c.seed % g_.rows().size()];
  unsigned count = 1 + r_.below(max_insns), first = row[r_.below(static_cast<unsigned>(row.size()))];
  unsigned special = r_.below(count);
  for (unsigned n = 0; n < count; ++n) {
    if (n > special && r_.one_in(48)) {
      add_invalid(r_.below(all));
      break;
    }
    if (!add(n == special ? first : r_.below(all))) break;
  }
  in_.c.code.push_back(0xcc);
  uint64_t room = layout::kCodeBytes - in_.c.code_offset;
  if (in_.c.code.size() > room) in_.c.code.resize(room);
}

void Writer::append(const std::vector<uint8_t>& bytes, uint32_t index, uint8_t traits) {
  in_.c.code.insert(in_.c.code.end(), bytes.begin(), bytes.end());
  in_.c.lengths.push_back(static_cast<uint8_t>(bytes.size()));
  in_.c.templates.push_back(index);
  in_.c.traits.push_back(traits);
}

void Writer::add_invalid(unsigned index) {
  std::vector<uint8_t> bytes = Maker(r_, mode_, known_, here()).make_invalid(g_.templates()[index]);
  if (bytes.empty()) return;
  append(bytes, ~0u, trait::kInvalid);
}

bool Writer::add(unsigned index) {
  Decoded d;
  std::vector<uint8_t> bytes = Maker(r_, mode_, known_, here()).make(g_.templates()[index], d);
  if (bytes.empty()) return true;
  Kind kind = kind_of(d);
  bool on = prepare(kind, d, bytes);
  if (kind == Kind::Image && on) return true;  // nobody knows where; left out
  bool relative = is_relative_branch(d);
  if (relative) {
    // Skips the filler or goes to it.
    uint64_t distance = r_.one_in(2) ? kFiller : 0;
    for (unsigned i = 0; i < d.z.raw.imm[0].size / 8u; ++i) {
      bytes[d.z.raw.imm[0].offset + i] = static_cast<uint8_t>(distance >> (8 * i));
    }
  }
  append(bytes, index, traits_of(g_.templates()[index], d, mode_));
  note(d);
  if (relative) {
    append({0xb0, static_cast<uint8_t>(r_.next())}, ~0u);
    known_.changed |= 1;
  }
  in_.c.undefined_flags = helped_undefined_flags(g_.templates()[index], d);
  return on && in_.c.undefined_flags == 0;
}

void Writer::note(const Decoded& d) {
  for (unsigned i = 0; i < d.z.operand_count; ++i) {
    const ZydisDecodedOperand& op = d.operands[i];
    // String instructions: that they move on is not among the operands.
    bool string = op.type == ZYDIS_OPERAND_TYPE_MEMORY && op.visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;
    if (string && is_general(op.mem.base))
      known_.changed = static_cast<uint16_t>(known_.changed | 1u << general_number(op.mem.base));
    if (op.type != ZYDIS_OPERAND_TYPE_REGISTER || (op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == 0)
      continue;
    if (is_general(op.reg.value))
      known_.changed = static_cast<uint16_t>(known_.changed | 1u << general_number(op.reg.value));
    if (ZydisRegisterGetClass(op.reg.value) == ZYDIS_REGCLASS_SEGMENT) known_.segments = false;
  }
}

bool Writer::known(ZydisRegister reg, uint64_t& value) const {
  unsigned n = general_number(reg);
  value = known_.registers.gpr[n & 15];
  return (known_.changed >> n & 1) == 0;
}

uint64_t Writer::base_of(ZydisRegister segment) const {
  const Registers& r = known_.registers;
  if (segment == ZYDIS_REGISTER_FS && mode_ == Mode::Long64) return r.fs_base;
  if (segment == ZYDIS_REGISTER_GS && mode_ == Mode::Long64) return r.gs_base;
  if (mode_ == Mode::Long64) return 0;
  auto index = static_cast<unsigned>(segment - ZYDIS_REGISTER_ES);
  return index < 6 ? segment_base(r.selector[index]) : 0;
}

bool Writer::address_of(const Decoded& d, uint64_t& linear) const {
  const ZydisDecodedOperand* op = memory_operand(d);
  if (op == nullptr || !known_.segments) return false;
  // Zydis 4.0 reports a base, r13d, for SIB forms without one under REX.B with 32-bit addresses.
  bool baseless =
      (d.z.attributes & ZYDIS_ATTRIB_HAS_SIB) != 0 && d.z.raw.modrm.mod == 0 && d.z.raw.sib.base == 5;
  auto at = static_cast<uint64_t>(baseless                        ? d.z.raw.disp.value
                                  : op->mem.disp.has_displacement ? op->mem.disp.value
                                                                  : 0);
  for (bool index : {false, true}) {
    ZydisRegister reg = index ? op->mem.index : baseless ? ZYDIS_REGISTER_NONE : op->mem.base;
    uint64_t value = 0;
    if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP) {
      value = here() + d.z.length;
    } else if (reg != ZYDIS_REGISTER_NONE && (!is_general(reg) || !known(reg, value))) {
      return false;
    }
    at += index ? value * op->mem.scale : value;
  }
  if (d.z.address_width < 64) at &= (uint64_t{1} << d.z.address_width) - 1;
  linear = base_of(op->mem.segment) + at;
  if (mode_ != Mode::Long64) linear &= 0xffffffff;
  return true;
}

bool Writer::stack_address(uint64_t& linear) const {
  uint64_t sp = 0;
  if (!known_.segments || !known(ZYDIS_REGISTER_RSP, sp)) return false;
  if (mode_ == Mode::Segmented16) sp &= 0xffff;
  linear = base_of(ZYDIS_REGISTER_SS) + sp;
  return true;
}

void Writer::put(uint64_t& linear, uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i, ++linear, value >>= 8) {
    uint64_t at = linear - layout::kWritable;
    if (at < layout::kWindowBytes) in_.window[at] = static_cast<uint8_t>(value);
  }
}

bool Writer::prepare(Kind kind, const Decoded& d, std::vector<uint8_t>& bytes) {
  switch (kind) {
    case Kind::Plain: return is_near_indirect(d) ? prepare_near(d) : true;
    case Kind::Image: return prepare_image(d);
    case Kind::LoadSegment:
    case Kind::PopSegment:
    case Kind::FarPointer: return prepare_segment(d);
    default: return prepare_far(kind, d, bytes);
  }
}

bool Writer::prepare_segment(const Decoded& d) {
  uint64_t at;
  uint16_t selector = any_selector(r_);
  bool found = kind_of(d) == Kind::PopSegment ? stack_address(at) : address_of(d, at);
  if (found) {
    if (kind_of(d) == Kind::FarPointer) at += d.z.operand_width / 8;
    put(at, selector, 2);
  } else if (kind_of(d) == Kind::LoadSegment && d.operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER) {
    load_register(d.operands[1].reg.value, selector);
  }
  return !loads_stack_segment(d) || r_.one_in(2);
}

// MOV reg, imm in front of the instruction.
void Writer::load_register(ZydisRegister reg, uint64_t value) {
  unsigned n = general_number(reg);
  if (n == 4) return;
  std::vector<uint8_t> bytes;
  if (bits_ == 64) bytes.push_back(static_cast<uint8_t>(0x48 | n >> 3));
  bytes.push_back(static_cast<uint8_t>(0xb8 | (n & 7)));
  for (unsigned i = 0; i < bits_ / 8; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
  append(bytes, ~0u);
  known_.changed = static_cast<uint16_t>(known_.changed | 1u << n);
}

// The instruction's successor, a breakpoint, the pad, or where nothing may be executed.
uint64_t Writer::near_target(uint64_t next, bool& continues) {
  switch (r_.below(8)) {
    case 0: return place(r_);
    case 1: return layout::kCode + layout::kCodeBytes + r_.below(64);
    case 2: return layout::kCode + layout::kPad;
    case 3:
    case 4: return kBreakpoints + r_.below(kBreakpointBytes);
    default: continues = true; return next;
  }
}

bool Writer::prepare_near(const Decoded& d) {
  uint64_t at, base = base_of(ZYDIS_REGISTER_CS), length = d.z.length;
  bool continues = false, from_stack = d.z.mnemonic == ZYDIS_MNEMONIC_RET;
  unsigned width = d.z.operand_width / 8u;
  if (!from_stack && d.operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER) {
    if (general_number(d.operands[0].reg.value) == 4 || r_.one_in(8)) return true;
    unsigned load = bits_ == 64 ? 10 : bits_ / 8 + 1;
    load_register(d.operands[0].reg.value, near_target(here() + load + length, continues) - base);
    return true;
  }
  if (from_stack ? !stack_address(at) : !address_of(d, at)) return true;
  put(at, near_target(here() + length, continues) - base, width);
  return true;
}

uint64_t Writer::far_target(uint16_t selector, uint64_t next, unsigned width, bool& continues) {
  const Registers& r = known_.registers;
  uint64_t base = segment_base(selector), to = near_target(next, continues);
  if (continues && (selector | 3) != (r.selector[kCs] | 3)) {
    continues = false;
    to = layout::kCode + layout::kPad;
  }
  uint64_t offset = to - base;
  if (r_.one_in(40)) offset = r_.of({uint64_t{0xffff0000}, uint64_t{1} << 47, ~uint64_t{0}});
  // Nothing may lead into the middle of the case's instructions.
  uint64_t got = base + (width == 8 ? offset : offset & ((uint64_t{1} << 8 * width) - 1));
  if (got - layout::kCode < layout::kCodeBytes && got != next && got - kBreakpoints >= kBreakpointBytes)
    return layout::kCode + layout::kPad - base;
  return offset;
}

uint64_t Writer::any_flags() {
  uint64_t flags = 0x202 | (r_.next() & (kStatusFlags | 0x400));
  for (uint64_t bit :
       {0x100u, 0x4000u, 0x10000u, 0x40000u, 0x200000u, 0x3000u, 0x200u, 0x20000u, 0x180000u}) {
    if (r_.one_in(12)) flags ^= bit;
  }
  return flags;
}

bool Writer::prepare_frame(const Decoded& d, uint64_t next, unsigned width) {
  uint64_t at;
  if (!stack_address(at)) return false;
  bool continues = false;
  uint16_t selector = r_.one_in(2) ? known_.registers.selector[kCs] : code_selector(r_);
  uint64_t offset = far_target(selector, next, width, continues);
  put(at, offset, width);
  put(at, selector | (r_.next() << 16), width);
  if (kind_of(d) != Kind::Iret) return continues;
  put(at, any_flags(), width);
  if (mode_ != Mode::Long64) return continues;
  put(at, place(r_), width);
  put(at, r_.one_in(2) ? kUserData : any_selector(r_), width);
  return continues;
}

bool Writer::prepare_far(Kind kind, const Decoded& d, std::vector<uint8_t>& bytes) {
  unsigned width = d.z.operand_width / 8u;
  uint64_t next = here() + d.z.length;
  if (kind == Kind::Iret || kind == Kind::FarReturn) return prepare_frame(d, next, width);
  bool continues = false;
  uint16_t selector = r_.one_in(2) ? known_.registers.selector[kCs] : code_selector(r_);
  // Into 64-bit code a CPU pushes with no segment base, and an RSP whose upper half is the host's.
  bool segmented = mode_ == Mode::Segmented16 || mode_ == Mode::Segmented32;
  if (d.z.mnemonic == ZYDIS_MNEMONIC_CALL && segmented && (selector | 3) == kUserCode64)
    selector = kUserCode32;
  uint64_t offset = far_target(selector, next, width, continues);
  if (kind == Kind::FarDirect) {
    unsigned at = d.z.raw.imm[0].offset;
    for (unsigned i = 0; i < width; ++i) bytes[at + i] = static_cast<uint8_t>(offset >> (8 * i));
    for (unsigned i = 0; i < 2; ++i) bytes[at + width + i] = static_cast<uint8_t>(selector >> (8 * i));
    return continues;
  }
  uint64_t at;
  if (!address_of(d, at)) return false;
  put(at, offset, width);
  put(at, selector, 2);
  return continues;
}

// True: its place is not known.
bool Writer::prepare_image(const Decoded& d) {
  uint64_t at;
  if (!address_of(d, at)) return true;
  in_.c.image = image_of(d);
  in_.c.image_at = at - layout::kWritable;
  return false;
}

}  // namespace rhea::differential
