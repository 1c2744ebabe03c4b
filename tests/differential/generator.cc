// How a case is made. Registers hold pointers into the data window, small numbers and edge cases; a memory
// operand is given a base (and index) register that nothing before it in the case has changed and a
// displacement that brings it to a chosen place: aligned, unaligned, across a page, at the end of the window,
// in the read-only page, or outside. Immediates, prefixes, unused fields and register numbers are random as
// far as the decoder accepts them.
#include "generator.h"

#include <Zydis/Zydis.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "engine/dbt/decode.h"

namespace rhea::differential {

namespace {

using dbt::Action;

// Different by nature on the two sides, or not to be done to this process.
bool differs_by_nature(uint16_t mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_RDPMC:
    case ZYDIS_MNEMONIC_RDRAND:
    case ZYDIS_MNEMONIC_RDSEED:
    case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_RDPKRU:
    case ZYDIS_MNEMONIC_WRPKRU:
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SMSW:
    case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_LSL:
    case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW: return true;
    default: return false;
  }
}

bool leaves_the_process(uint16_t mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_SYSEXIT:
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_INT1:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_RDFSBASE:
    case ZYDIS_MNEMONIC_RDGSBASE:
    case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE:
    case ZYDIS_MNEMONIC_RSM:
    case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS:
    case ZYDIS_MNEMONIC_LSS:
    case ZYDIS_MNEMONIC_LDS:
    case ZYDIS_MNEMONIC_LES: return true;
    default: return false;
  }
}

// The images hold pointers of the last x87 instruction, which are compared by tests of their own.
bool stores_x87_pointers(uint16_t mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64:
    case ZYDIS_MNEMONIC_XSAVE:
    case ZYDIS_MNEMONIC_XSAVE64:
    case ZYDIS_MNEMONIC_XSAVEC:
    case ZYDIS_MNEMONIC_XSAVEC64:
    case ZYDIS_MNEMONIC_XSAVEOPT:
    case ZYDIS_MNEMONIC_XSAVEOPT64: return true;
    default: return false;
  }
}

constexpr uint64_t kEdges[] = {0,
                               1,
                               2,
                               0x7f,
                               0x80,
                               0xff,
                               0x7fff,
                               0x8000,
                               0xffff,
                               0x7fffffff,
                               0x80000000,
                               0xffffffff,
                               0x7fffffffffffffff,
                               0x8000000000000000,
                               ~uint64_t{0},
                               0x5555555555555555,
                               0x0123456789abcdef,
                               31,
                               32,
                               33,
                               63,
                               64,
                               65,
                               0xfffffffffffffff0};

// Bit patterns that floating-point instructions treat specially, by width.
constexpr uint32_t kFloats[] = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
                                0x7fc00000, 0x7f800001, 0xffc00000, 1,          0x80000001, 0x007fffff,
                                0x00800000, 0x7f7fffff, 0x4f000000, 0xcf000000, 0x5f000000, 0x40490fdb,
                                0x33800000, 0x477fe000, 0x477ff000};
constexpr uint64_t kDoubles[] = {0,
                                 0x8000000000000000,
                                 0x3ff0000000000000,
                                 0xbff0000000000000,
                                 0x7ff0000000000000,
                                 0xfff0000000000000,
                                 0x7ff8000000000000,
                                 0x7ff0000000000001,
                                 1,
                                 0x000fffffffffffff,
                                 0x0010000000000000,
                                 0x7fefffffffffffff,
                                 0x41e0000000000000,
                                 0xc1e0000000000000,
                                 0x43e0000000000000,
                                 0x400921fb54442d18,
                                 0x3ca0000000000000,
                                 0x47efffffe0000000};

void fill_bytes(Random& r, uint8_t* to, unsigned bytes) {
  for (unsigned i = 0; i + 8 <= bytes; i += 8) {
    uint64_t v = r.next();
    switch (r.below(6)) {
      case 0:
        v = kFloats[r.below(std::size(kFloats))] | uint64_t{kFloats[r.below(std::size(kFloats))]} << 32;
        break;
      case 1: v = kDoubles[r.below(std::size(kDoubles))]; break;
      case 2: v = kEdges[r.below(std::size(kEdges))]; break;
      default: break;
    }
    std::memcpy(to + i, &v, 8);
  }
}

void make_xsave(Random& r, Registers& out, bool quiet) {
  uint8_t* x = out.xsave.data();
  out.xsave = {};
  fill_bytes(r, x + 160, 256);
  fill_bytes(r, x + 576, kXsave - 576);
  for (unsigned i = 0; i < 8; ++i) {
    uint8_t* st = x + 32 + 16 * i;
    fill_bytes(r, st, 8);
    auto exponent = static_cast<uint16_t>(r.next());
    if (!r.one_in(3))
      exponent = static_cast<uint16_t>(0x3fff + r.below(128) - 64 + (r.one_in(2) ? 0x8000u : 0));
    if (r.one_in(8)) exponent = r.one_in(2) ? 0x7fff : 0;
    std::memcpy(st + 8, &exponent, 2);
    if (!r.one_in(4)) st[7] |= 0x80;
  }
  // Exceptions are unmasked now and then.
  auto control = static_cast<uint16_t>(0x037f & ~(r.below(4) << 8));
  control = static_cast<uint16_t>(control | r.below(4) << 10 | (r.below(4) << 8));
  if (!quiet && r.one_in(8)) control = static_cast<uint16_t>(control & ~r.below(64));
  std::memcpy(x, &control, 2);
  auto status = static_cast<uint16_t>(r.below(8) << 11 | (r.next() & 0x4700));
  std::memcpy(x + 2, &status, 2);
  x[4] = r.one_in(2) ? 0xff : static_cast<uint8_t>(r.next());
  if (r.one_in(4)) x[4] = 0;
  uint32_t mxcsr = 0x1f80 | r.below(4) << 13 | r.below(64);
  if (r.one_in(4)) mxcsr |= 0x40;
  if (r.one_in(4)) mxcsr |= 0x8000;
  if (!quiet && r.one_in(8)) mxcsr &= ~(r.below(64) << 7) & ~0x3fu;
  std::memcpy(x + 24, &mxcsr, 4);
  uint64_t used = 0xe7;
  std::memcpy(x + 512, &used, 8);
}

// Where the data window is for an offset in a segment.
struct Reach {
  uint64_t base;  // of the data segments
  uint64_t code_base;
};

Reach reach(Mode mode) {
  switch (mode) {
    case Mode::Segmented16: return {layout::kWritable, layout::kCode};
    case Mode::Segmented32: return {layout::kWritable - 0x1000, layout::kCode - 0x1000};
    default: return {0, 0};
  }
}

uint64_t place(Random& r) {
  constexpr uint64_t w = layout::kWritable, end = w + layout::kWindowBytes;
  switch (r.below(12)) {
    case 0: return w + r.below(layout::kWindowBytes);
    case 1: return w + layout::kPage * (1 + r.below(2)) - r.below(70);  // around a page boundary
    case 2: return end - r.below(80);                                   // end of the window
    case 3: return layout::kReadOnly + r.below(layout::kPage) - 32;
    case 4: return w - r.below(80);
    case 5: return w + r.below(layout::kPage * 3) / 64 * 64 + 60 + r.below(8);  // across a line
    default: return w + r.below(layout::kPage * 3 - 64) / 64 * 64;
  }
}

uint64_t register_value(Random& r, Mode mode) {
  switch (r.below(8)) {
    case 0: return r.next();
    case 1: return kEdges[r.below(std::size(kEdges))];
    case 2: return r.below(256);
    case 3: return r.below(16);
    default: return place(r) - reach(mode).base;
  }
}

bool has_lock_form(const ZydisDecodedInstruction& z) {
  return (z.attributes & ZYDIS_ATTRIB_ACCEPTS_LOCK) != 0;
}

const ZydisDecoder& decoder_of(unsigned bits) {
  static const auto all = [] {
    std::array<ZydisDecoder, 3> d;
    ZydisDecoderInit(&d[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    ZydisDecoderInit(&d[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderInit(&d[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return d;
  }();
  return all[bits / 32];
}

struct Decoded {
  ZydisDecodedInstruction z;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

bool decode(const std::vector<uint8_t>& bytes, unsigned bits, Decoded& out) {
  return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder_of(bits), bytes.data(),
                                             std::min<size_t>(bytes.size(), 15), &out.z, out.operands));
}

// One instruction from a template.
class Maker {
 public:
  Maker(Random& r, Mode mode, const Registers& regs, uint16_t changed, uint64_t rip)
      : r_(r), mode_(mode), bits_(code_bits(mode)), regs_(regs), changed_(changed), rip_(rip) {}

  // Empty: the decoder accepted none of the tries.
  std::vector<uint8_t> make(const Template& t, Decoded& d) {
    for (unsigned attempt = 0; attempt < 12; ++attempt) {
      plain_ = attempt > 6;
      std::vector<uint8_t> bytes = build(t);
      std::vector<uint8_t> padded = bytes;
      while (padded.size() < 15 || padded.size() < bytes.size() + 1)
        padded.push_back(static_cast<uint8_t>(r_.next()));
      if (!decode(padded, bits_, d) || d.z.mnemonic != t.mnemonic || d.z.meta.isa_set != t.isa_set) continue;
      if (d.z.length < bytes.size()) continue;
      padded.resize(d.z.length);
      if (t.memory && rip_relative(d) && padded.size() >= 4) fix_rip(padded, d);
      if (r_.one_in(4) && has_lock_form(d.z)) try_lock(padded, t, d);
      return padded;
    }
    return {};
  }

 private:
  unsigned random_register() { return r_.below(bits_ == 64 ? 16 : 8); }

  unsigned pointer_register() {
    for (unsigned i = 0; i < 6; ++i) {
      unsigned n = random_register();
      if ((changed_ >> n & 1) == 0 && !(n == 4 && mode_ == Mode::Segmented16)) return n;
    }
    return random_register();
  }

  std::vector<uint8_t> build(const Template& t) {
    reg_ = t.reg >= 0 ? static_cast<unsigned>(t.reg) : random_register();
    rm_ = t.rm >= 0 ? static_cast<unsigned>(t.rm) : random_register();
    index_extension_ = base_extension_ = 0;
    tail_.clear();
    address_override_ = false;
    segment_override_ = 0;
    if (t.has_modrm) make_modrm(t);
    std::vector<uint8_t> out;
    if (!plain_ && r_.one_in(12) && (t.memory || !t.has_modrm)) segment_override_ = random_segment();
    if (segment_override_ != 0) out.push_back(segment_override_);
    if (address_override_) out.push_back(0x67);
    switch (t.encoding) {
      case ZYDIS_INSTRUCTION_ENCODING_VEX: put_vex(t, out); break;
      case ZYDIS_INSTRUCTION_ENCODING_EVEX: put_evex(t, out); break;
      default: put_legacy(t, out); break;
    }
    out.insert(out.end(), tail_.begin(), tail_.end());
    return out;
  }

  uint8_t random_segment() {
    static constexpr uint8_t kOverrides[] = {0x26, 0x2e, 0x36, 0x3e};
    return kOverrides[r_.below(4)];
  }

  void make_modrm(const Template& t) {
    if (!t.memory) {
      tail_.push_back(static_cast<uint8_t>(0xc0 | (reg_ & 7) << 3 | (rm_ & 7)));
      base_extension_ = rm_ >> 3;
      return;
    }
    unsigned width = bits_ == 16 ? 2 : bits_ / 8;
    if (!plain_ && r_.one_in(10)) {
      address_override_ = true;
      width = bits_ == 64 ? 4 : bits_ == 32 ? 2 : 4;
    }
    if (width == 2)
      make_modrm16();
    else
      make_modrm32(t);
  }

  void put_disp(uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i) tail_.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }

  void make_modrm16() {
    static constexpr uint8_t kBases[8][2] = {{3, 6},   {3, 7},   {5, 6},   {5, 7},
                                             {6, 255}, {7, 255}, {5, 255}, {3, 255}};
    unsigned rm = r_.below(8);
    uint64_t target = place(r_) - reach(mode_).base;
    uint64_t sum = regs_.gpr[kBases[rm][0]] + (kBases[rm][1] != 255 ? regs_.gpr[kBases[rm][1]] : 0);
    if (r_.one_in(6)) {
      tail_.push_back(static_cast<uint8_t>(reg_ << 3 | 6));
      put_disp(target, 2);
    } else if (r_.one_in(6)) {
      tail_.push_back(static_cast<uint8_t>(0x40 | (reg_ & 7) << 3 | rm));
      put_disp(r_.next(), 1);
    } else {
      tail_.push_back(static_cast<uint8_t>(0x80 | (reg_ & 7) << 3 | rm));
      put_disp(target - sum, 2);
    }
  }

  void make_modrm32(const Template& t) {
    unsigned base = pointer_register(), index = pointer_register(), scale = r_.below(4);
    uint64_t target = place(r_) - reach(mode_).base;
    bool sib = r_.one_in(3) || (base & 7) == 4 || vsib(t);
    auto reg = (reg_ & 7) << 3;
    if (!sib && r_.one_in(8)) {  // disp32, RIP-relative in 64-bit mode
      tail_.push_back(static_cast<uint8_t>(reg | 5));
      put_disp(target, 4);
      return;
    }
    base_extension_ = base >> 3;
    uint64_t sum = regs_.gpr[base];
    if (sib) {
      index_extension_ = index >> 3;
      bool no_base = r_.one_in(8);
      if (index != 4 && !vsib(t)) sum += regs_.gpr[index] << scale;
      if (no_base) sum -= regs_.gpr[base];
      uint64_t disp = target - sum;
      bool far = static_cast<int64_t>(disp) != static_cast<int32_t>(disp) && bits_ == 64;
      if (far) disp = 0;
      tail_.push_back(static_cast<uint8_t>((no_base ? 0 : 0x80) | reg | 4));
      tail_.push_back(static_cast<uint8_t>(scale << 6 | (index & 7) << 3 | (no_base ? 5 : base & 7)));
      put_disp(disp, 4);
      return;
    }
    uint64_t disp = target - sum;
    if (r_.one_in(4)) {
      tail_.push_back(static_cast<uint8_t>(0x40 | reg | (base & 7)));
      put_disp(r_.below(16) * 8, 1);
    } else if (r_.one_in(4) && (base & 7) != 5) {
      tail_.push_back(static_cast<uint8_t>(reg | (base & 7)));
    } else {
      if (static_cast<int64_t>(disp) != static_cast<int32_t>(disp) && bits_ == 64) disp = r_.below(64);
      tail_.push_back(static_cast<uint8_t>(0x80 | reg | (base & 7)));
      put_disp(disp, 4);
    }
  }

  static bool vsib(const Template& t) {
    return t.map == 2 && t.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
           ((t.opcode >= 0x90 && t.opcode <= 0x93) || (t.opcode >= 0xa0 && t.opcode <= 0xa3));
  }

  void put_legacy(const Template& t, std::vector<uint8_t>& out) {
    if (t.second_prefix != 0) out.push_back(t.second_prefix);
    if (t.mandatory != 0) out.push_back(t.mandatory);
    unsigned opcode_extension = 0;
    uint8_t opcode = t.opcode;
    if (bits_ == 64) {
      if (!t.has_modrm && r_.one_in(2) && t.name().find("nop") == std::string::npos)
        opcode_extension = r_.below(2);
      unsigned rex =
          unsigned{t.wide} << 3 |
          (t.has_modrm ? (reg_ >> 3) << 2 | index_extension_ << 1 | base_extension_ : opcode_extension);
      if (t.reg >= 0) rex &= ~4u;
      if (rex != 0 || (!plain_ && r_.one_in(8))) out.push_back(static_cast<uint8_t>(0x40 | rex));
    }
    if (t.map >= 1) out.push_back(0x0f);
    if (t.map == 2) out.push_back(0x38);
    if (t.map == 3) out.push_back(0x3a);
    out.push_back(opcode);
  }

  static unsigned pp(const Template& t) {
    return t.mandatory == 0 ? 0 : t.mandatory == 0x66 ? 1 : t.mandatory == 0xf3 ? 2 : 3;
  }

  void put_vex(const Template& t, std::vector<uint8_t>& out) {
    unsigned vvvv = r_.one_in(2) ? 0xf : bits_ == 64 ? r_.below(16) : 8 | r_.below(8);
    unsigned r = bits_ == 64 && t.reg < 0 ? reg_ >> 3 : 0;
    out.push_back(0xc4);
    out.push_back(static_cast<uint8_t>((r ^ 1) << 7 | (index_extension_ ^ 1) << 6 |
                                       (base_extension_ ^ 1) << 5 | t.map));
    out.push_back(
        static_cast<uint8_t>(unsigned{t.wide} << 7 | vvvv << 3 | unsigned{t.length_bits} << 2 | pp(t)));
    out.push_back(t.opcode);
  }

  void put_evex(const Template& t, std::vector<uint8_t>& out) {
    bool wide_file = bits_ == 64 && !plain_;
    unsigned vvvv = r_.one_in(2) ? 0xf : bits_ == 64 ? r_.below(16) : 8 | r_.below(8);
    unsigned r = bits_ == 64 && t.reg < 0 ? reg_ >> 3 : 0, high = wide_file && t.reg < 0 ? r_.below(2) : 0;
    unsigned v_high = wide_file ? r_.below(2) : 0;
    unsigned x = t.memory ? index_extension_ : wide_file ? r_.below(2) : 0;
    unsigned mask = t.masked ? 1 + r_.below(7) : 0;
    bool zero = t.masked && r_.one_in(2);
    out.push_back(0x62);
    out.push_back(static_cast<uint8_t>((r ^ 1) << 7 | (x ^ 1) << 6 | (base_extension_ ^ 1) << 5 |
                                       (high ^ 1) << 4 | t.map));
    out.push_back(static_cast<uint8_t>(unsigned{t.wide} << 7 | vvvv << 3 | 4 | pp(t)));
    out.push_back(static_cast<uint8_t>(unsigned{zero} << 7 | unsigned{t.length_bits} << 5 |
                                       unsigned{t.broadcast} << 4 | (v_high ^ 1) << 3 | mask));
    out.push_back(t.opcode);
  }

  static bool rip_relative(const Decoded& d) {
    return (d.z.attributes & ZYDIS_ATTRIB_IS_RELATIVE) != 0 && d.z.raw.disp.size == 32;
  }

  void fix_rip(std::vector<uint8_t>& bytes, const Decoded& d) {
    uint64_t disp = place(r_) - (rip_ + bytes.size());
    for (unsigned i = 0; i < 4; ++i) bytes[d.z.raw.disp.offset + i] = static_cast<uint8_t>(disp >> (8 * i));
  }

  void try_lock(std::vector<uint8_t>& bytes, const Template& t, Decoded& d) {
    std::vector<uint8_t> locked{0xf0};
    locked.insert(locked.end(), bytes.begin(), bytes.end());
    Decoded again;
    if (locked.size() > 15 || !decode(locked, bits_, again) || again.z.mnemonic != t.mnemonic) return;
    if (rip_relative(again)) fix_rip(locked, again);
    bytes = locked;
    d = again;
  }

  Random& r_;
  Mode mode_;
  unsigned bits_;
  const Registers& regs_;
  uint16_t changed_;
  uint64_t rip_;
  bool plain_ = false;
  unsigned reg_ = 0, rm_ = 0, index_extension_ = 0, base_extension_ = 0;
  std::vector<uint8_t> tail_;
  bool address_override_ = false;
  uint8_t segment_override_ = 0;
};

bool is_relative_branch(const Decoded& d) {
  return (d.z.attributes & ZYDIS_ATTRIB_IS_RELATIVE) != 0 && d.z.raw.imm[0].is_relative != 0;
}

// A short instruction that is the same in every mode: MOV AL, imm8.
constexpr unsigned kFiller = 2;

void note_changes(const Decoded& d, uint16_t& changed) {
  for (unsigned i = 0; i < d.z.operand_count; ++i) {
    const ZydisDecodedOperand& op = d.operands[i];
    if (op.type != ZYDIS_OPERAND_TYPE_REGISTER || (op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == 0)
      continue;
    ZydisRegisterClass kind = ZydisRegisterGetClass(op.reg.value);
    if (kind < ZYDIS_REGCLASS_GPR8 || kind > ZYDIS_REGCLASS_GPR64) continue;
    ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, op.reg.value);
    changed = static_cast<uint16_t>(changed | 1u << ZydisRegisterGetId(wide));
  }
}

bool mentions(const Decoded& d, ZydisRegisterClass kind, int id) {
  for (unsigned i = 0; i < d.z.operand_count; ++i) {
    const ZydisDecodedOperand& op = d.operands[i];
    if (op.type != ZYDIS_OPERAND_TYPE_REGISTER || op.visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
      continue;
    if (ZydisRegisterGetClass(op.reg.value) == kind && ZydisRegisterGetId(op.reg.value) == id) return true;
  }
  return false;
}

bool is_near_branch(uint16_t mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_POP:
    case ZYDIS_MNEMONIC_LEA:
    case ZYDIS_MNEMONIC_LEAVE:
    case ZYDIS_MNEMONIC_MOV: return false;
    default: return true;
  }
}

bool several_pieces(uint16_t mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_CMPSB:
    case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSD:
    case ZYDIS_MNEMONIC_CMPSQ:
    case ZYDIS_MNEMONIC_FRSTOR:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64:
    case ZYDIS_MNEMONIC_XRSTOR:
    case ZYDIS_MNEMONIC_XRSTOR64:
    case ZYDIS_MNEMONIC_VGATHERDPS:
    case ZYDIS_MNEMONIC_VGATHERDPD:
    case ZYDIS_MNEMONIC_VGATHERQPS:
    case ZYDIS_MNEMONIC_VGATHERQPD:
    case ZYDIS_MNEMONIC_VPGATHERDD:
    case ZYDIS_MNEMONIC_VPGATHERDQ:
    case ZYDIS_MNEMONIC_VPGATHERQD:
    case ZYDIS_MNEMONIC_VPGATHERQQ: return true;
    default: return false;
  }
}

// Things that only the instruction's operands tell.
bool unwanted(const Decoded& d, Mode mode) {
  for (unsigned i = 0; i < d.z.operand_count; ++i) {
    const ZydisDecodedOperand& op = d.operands[i];
    if (op.type == ZYDIS_OPERAND_TYPE_REGISTER &&
        ZydisRegisterGetClass(op.reg.value) == ZYDIS_REGCLASS_SEGMENT &&
        op.visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
      return true;
    }
    if (op.type == ZYDIS_OPERAND_TYPE_REGISTER && op.visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
        ZydisRegisterGetClass(op.reg.value) == ZYDIS_REGCLASS_SEGMENT) {
      return true;
    }
  }
  // The kernel cannot restore the upper half of ESP with a 16-bit stack.
  return mode == Mode::Segmented16 && mentions(d, ZYDIS_REGCLASS_GPR32, 4);
}

void fill_code(Random& r, const Generator& g, unsigned max_insns, Mode mode, const Registers& regs, Case& c) {
  const auto& all = g.templates();
  unsigned count = 1 + r.below(max_insns), first = static_cast<unsigned>(c.seed % all.size());
  unsigned special = r.below(count);
  uint16_t changed = 0;
  for (unsigned n = 0; n < count; ++n) {
    unsigned index = n == special ? first : r.below(static_cast<unsigned>(all.size()));
    Decoded d;
    Maker maker(r, mode, regs, changed, layout::kCode + c.code_offset + c.code.size());
    std::vector<uint8_t> bytes = maker.make(all[index], d);
    if (bytes.empty() || unwanted(d, mode)) continue;
    bool relative = is_relative_branch(d);
    if (relative) {
      // Skips the filler or goes to it.
      uint64_t distance = r.one_in(2) ? kFiller : 0;
      for (unsigned i = 0; i < d.z.raw.imm[0].size / 8u; ++i) {
        bytes[d.z.raw.imm[0].offset + i] = static_cast<uint8_t>(distance >> (8 * i));
      }
    }
    c.code.insert(c.code.end(), bytes.begin(), bytes.end());
    c.lengths.push_back(static_cast<uint8_t>(bytes.size()));
    c.templates.push_back(index);
    if (all[index].form->action == Action::HelpFull) c.page_exact = true;
    if (several_pieces(all[index].mnemonic)) c.any_fault = true;
    bool near = all[index].form->action == Action::Rewrite && is_near_branch(all[index].mnemonic);
    if (near && mode == Mode::Segmented16) c.near_branch = true;
    if (relative) {
      c.code.push_back(0xb0);
      c.code.push_back(static_cast<uint8_t>(r.next()));
      c.lengths.push_back(kFiller);
      c.templates.push_back(~0u);
    }
    note_changes(d, changed);
  }
  c.code.push_back(0xcc);
}

}  // namespace

const char* excluded(const Template& t, Mode mode) {
  if (t.form == nullptr || t.form->mnemonic != t.mnemonic) return "not in the table";
  if (differs_by_nature(t.mnemonic)) return "differs by nature";
  if (leaves_the_process(t.mnemonic))
    return "enters the host's kernel or changes what its C library stands on";
  if (stores_x87_pointers(t.mnemonic)) return "stores host instruction pointers";
  bool far_return = t.mnemonic == ZYDIS_MNEMONIC_RET && (t.opcode == 0xca || t.opcode == 0xcb);
  bool branch = t.form->action == Action::Rewrite && (t.mandatory == 0x66 || t.second_prefix == 0x66);
  if (mode == Mode::Long64 && branch && is_near_branch(t.mnemonic))
    return "depends on the vendor: operand size of near branches in 64-bit mode";
  bool loop =
      t.map == 0 && (t.opcode == 0xe0 || t.opcode == 0xe1) && t.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
  if (loop && t.mandatory >= 0xf2) return "F2 and F3 change LOOPcc's condition on some CPUs, undocumented";
  if (t.form->pattern == dbt::Pattern::Far || far_return) return "changes the code segment";
  return nullptr;
}

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
}

Input Generator::make(uint64_t seed, unsigned max_insns) const {
  Input in;
  Random r(seed);
  in.c.mode = mode_;
  in.c.seed = seed;
  in.c.code_offset = r.one_in(8) ? layout::kPage - 200 + r.below(32) : r.below(1024);
  for (unsigned i = 0; i < 16; ++i) {
    uint64_t v = register_value(r, mode_);
    in.registers.gpr[i] = mode_ == Mode::Long64 ? v : i < 8 ? v & 0xffffffff : 0;
  }
  in.registers.gpr[4] = place(r) - reach(mode_).base;
  if (!r.one_in(8)) in.registers.gpr[4] = layout::kWritable + 0x1000 + r.below(1024) * 4 - reach(mode_).base;
  if (mode_ == Mode::Segmented16) in.registers.gpr[4] &= 0xffff;
  if (r.one_in(2)) in.registers.gpr[1] = r.below(80);  // string counts
  in.registers.rflags = 0x202 | (r.next() & 0x8d5);
  if (r.one_in(8)) in.registers.rflags |= 0x400;
  make_xsave(r, in.registers, r.one_in(2));
  for (unsigned i = 0; i < layout::kWindowBytes; i += 1024) {
    fill_bytes(r, in.window.data() + i, 1024);
  }
  in.registers.rip = layout::kCode + in.c.code_offset - reach(mode_).code_base;
  fill_code(r, *this, max_insns, mode_, in.registers, in.c);
  return in;
}

}  // namespace rhea::differential
