// A memory operand is given a base (and index) register that nothing before it in the case has changed and a
// displacement that brings it to a chosen place: aligned, unaligned, across a page, at the end of the window,
// in the read-only page, or outside.
#include "maker.h"

#include <algorithm>
#include <array>

#include "quirks.h"

namespace rhea::differential {

namespace {

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

bool rip_relative(const Decoded& d) {
  return (d.z.attributes & ZYDIS_ATTRIB_IS_RELATIVE) != 0 && d.z.raw.disp.size == 32;
}

bool vsib(const Template& t) {
  return t.map == 2 && t.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
         ((t.opcode >= 0x90 && t.opcode <= 0x93) || (t.opcode >= 0xa0 && t.opcode <= 0xa3));
}

unsigned pp(const Template& t) {
  return t.mandatory == 0 ? 0 : t.mandatory == 0x66 ? 1 : t.mandatory == 0xf3 ? 2 : 3;
}

void put_first(std::vector<uint8_t>& bytes, uint8_t prefix) {
  bytes.insert(bytes.begin(), prefix);
}

}  // namespace

ZyanStatus decode_bytes(const std::vector<uint8_t>& bytes, unsigned bits, Decoded& out) {
  return ZydisDecoderDecodeFull(&decoder_of(bits), bytes.data(), std::min<size_t>(bytes.size(), 15), &out.z,
                                out.operands);
}

std::vector<uint8_t> Maker::make(const Template& t, Decoded& d) {
  for (unsigned attempt = 0; attempt < 12; ++attempt) {
    plain_ = attempt > 6;
    std::vector<uint8_t> bytes = build(t);
    size_t size = bytes.size();
    while (bytes.size() < std::max<size_t>(15, size + 1)) bytes.push_back(static_cast<uint8_t>(r_.next()));
    if (!ZYAN_SUCCESS(decode_bytes(bytes, bits_, d))) continue;
    if (d.z.mnemonic != t.mnemonic || d.z.meta.isa_set != t.isa_set || d.z.length < size) continue;
    bytes.resize(d.z.length);
    if (extends_general(bytes, d)) continue;
    if (t.memory && rip_relative(d) && bytes.size() >= 4) {
      fix_rip(bytes, d);
      static_cast<void>(decode_bytes(bytes, bits_, d));
    }
    if (r_.one_in(4) && has_lock_form(d.z)) try_lock(bytes, t, d);
    return bytes;
  }
  return {};
}

// A LOCK prefix where none may be, a bit turned over, or more than 15 bytes.
std::vector<uint8_t> Maker::make_invalid(const Template& t) {
  // EVEX.V' outside 64-bit mode and bound registers beyond the fourth are ignored by this CPU.
  bool lenient =
      (t.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && bits_ != 64) || t.isa_set == ZYDIS_ISA_SET_MPX;
  if (lenient) return {};
  for (unsigned attempt = 0; attempt < 4; ++attempt) {
    Decoded d;
    std::vector<uint8_t> bytes = make(t, d);
    if (bytes.empty()) return {};
    static constexpr uint8_t kPrefixes[] = {0xf0, 0xf2, 0xf3, 0x66, 0x48, 0x2e};
    switch (r_.below(3)) {
      case 0: put_first(bytes, 0xf0); break;
      case 1:
        bytes[r_.below(static_cast<unsigned>(std::min<size_t>(bytes.size(), 5)))] ^=
            static_cast<uint8_t>(1u << r_.below(8));
        break;
      default:
        for (unsigned n = 1 + r_.below(14); n != 0; --n) put_first(bytes, r_.of(kPrefixes));
        break;
    }
    // Reserved NOPs, which Zydis takes for MPX.
    static constexpr uint8_t kBound[2] = {0x0f, 0x1a};
    auto mpx = [](uint8_t have, uint8_t want) { return have == want || (want == 0x1a && have == 0x1b); };
    if (std::search(bytes.begin(), bytes.end(), kBound, kBound + 2, mpx) != bytes.end()) continue;
    if (executed_anyway(bytes, bits_)) continue;
    ZyanStatus status = decode_bytes(bytes, bits_, d);
    if (!ZYAN_SUCCESS(status) && (status != ZYDIS_STATUS_NO_MORE_DATA || bytes.size() >= 15)) return bytes;
  }
  return {};
}

unsigned Maker::pointer_register() {
  for (unsigned i = 0; i < 6; ++i) {
    unsigned n = random_register();
    if ((known_.changed >> n & 1) == 0 && !(n == 4 && mode_ == Mode::Segmented16)) return n;
  }
  return random_register();
}

std::vector<uint8_t> Maker::build(const Template& t) {
  reg_ = t.reg >= 0 ? static_cast<unsigned>(t.reg) : random_register();
  rm_ = t.rm >= 0 ? static_cast<unsigned>(t.rm) : random_register();
  index_extension_ = base_extension_ = 0;
  tail_.clear();
  address_override_ = !plain_ && !t.has_modrm && r_.one_in(10);
  segment_override_ = 0;
  static constexpr uint8_t kOverrides[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
  if (!plain_ && r_.one_in(10) && (t.memory || !t.has_modrm)) segment_override_ = r_.of(kOverrides);
  if (t.has_modrm) make_modrm(t);
  std::vector<uint8_t> out;
  put_prefixes(t, out);
  switch (t.encoding) {
    case ZYDIS_INSTRUCTION_ENCODING_VEX: put_vex(t, out); break;
    case ZYDIS_INSTRUCTION_ENCODING_EVEX: put_evex(t, out); break;
    default: put_legacy(t, out); break;
  }
  out.insert(out.end(), tail_.begin(), tail_.end());
  return out;
}

// Some that mean nothing too: of two segments the last one counts, a REX that is not last is ignored.
void Maker::put_prefixes(const Template& t, std::vector<uint8_t>& out) {
  if (!plain_ && r_.one_in(24)) {
    static constexpr uint8_t kIgnored[] = {0x3e, 0x26, 0x2e, 0x36};
    if (segment_override_ != 0 && !r_.one_in(3))
      out.push_back(r_.of(kIgnored));
    else if (bits_ == 64 && (segment_override_ != 0 || address_override_))
      out.push_back(static_cast<uint8_t>(0x40 | r_.below(16)));
    else if (t.mandatory == 0x66)
      out.push_back(0x66);
  }
  if (segment_override_ != 0) out.push_back(segment_override_);
  if (address_override_) out.push_back(0x67);
}

// The offset to aim at, in the segment that the override names.
uint64_t Maker::target() {
  uint64_t linear = place(r_);
  if (bits_ == 64) {
    uint64_t base = segment_override_ == 0x64 ? regs_.fs_base : segment_override_ == 0x65 ? regs_.gs_base : 0;
    return linear - base;
  }
  unsigned segment = kDs;
  switch (segment_override_) {
    case 0x26: segment = kEs; break;
    case 0x2e: return r_.below(0x2000) - segment_base(regs_.selector[kCs]) + layout::kCode;
    case 0x36: segment = kSs; break;
    case 0x64: segment = kFs; break;
    case 0x65: segment = kGs; break;
    default: break;
  }
  return linear - segment_base(regs_.selector[segment]);
}

void Maker::make_modrm(const Template& t) {
  bool control = t.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && t.map == 1 && (t.opcode & 0xfc) == 0x20;
  if (!t.memory || control) {  // MOV to and from CR and DR: ModRM.mod is ignored
    tail_.push_back(static_cast<uint8_t>((t.memory ? r_.below(3) << 6 : 0xc0) | (reg_ & 7) << 3 | (rm_ & 7)));
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

void Maker::make_modrm16() {
  static constexpr uint8_t kBases[8][2] = {{3, 6},   {3, 7},   {5, 6},   {5, 7},
                                           {6, 255}, {7, 255}, {5, 255}, {3, 255}};
  unsigned rm = r_.below(8);
  uint64_t target = Maker::target();
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

void Maker::make_modrm32(const Template& t) {
  unsigned base = pointer_register();
  uint64_t target = Maker::target();
  bool sib = r_.one_in(3) || (base & 7) == 4 || vsib(t);
  auto reg = (reg_ & 7) << 3;
  if (!sib && r_.one_in(8)) {  // disp32, RIP-relative in 64-bit mode
    tail_.push_back(static_cast<uint8_t>(reg | 5));
    put_disp(target, 4);
    return;
  }
  base_extension_ = base >> 3;
  if (sib) return make_sib(t, base, target);
  uint64_t disp = target - regs_.gpr[base];
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

void Maker::make_sib(const Template& t, unsigned base, uint64_t to) {
  unsigned index = pointer_register(), scale = r_.below(4);
  index_extension_ = index >> 3;
  bool no_base = r_.one_in(8);
  uint64_t sum = no_base ? 0 : regs_.gpr[base];
  if (index != 4 && !vsib(t)) sum += regs_.gpr[index] << scale;
  uint64_t disp = to - sum;
  if (static_cast<int64_t>(disp) != static_cast<int32_t>(disp) && bits_ == 64) disp = 0;
  tail_.push_back(static_cast<uint8_t>((no_base ? 0 : 0x80) | (reg_ & 7) << 3 | 4));
  tail_.push_back(static_cast<uint8_t>(scale << 6 | (index & 7) << 3 | (no_base ? 5 : base & 7)));
  put_disp(disp, 4);
}

void Maker::put_legacy(const Template& t, std::vector<uint8_t>& out) {
  if (t.second_prefix != 0) out.push_back(t.second_prefix);
  if (t.mandatory != 0) out.push_back(t.mandatory);
  unsigned opcode_extension = 0;
  uint8_t opcode = t.opcode;
  if (bits_ == 64) {
    if (!t.has_modrm && r_.one_in(2) && t.mnemonic != ZYDIS_MNEMONIC_NOP) opcode_extension = r_.below(2);
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

void Maker::put_vex(const Template& t, std::vector<uint8_t>& out) {
  unsigned vvvv = r_.one_in(2) ? 0xf : bits_ == 64 ? r_.below(16) : 8 | r_.below(8);
  unsigned r = bits_ == 64 && t.reg < 0 ? reg_ >> 3 : 0;
  if (t.map == 1 && !t.wide && index_extension_ == 0 && base_extension_ == 0 && r_.one_in(2)) {
    out.push_back(0xc5);
    out.push_back(static_cast<uint8_t>((r ^ 1) << 7 | vvvv << 3 | unsigned{t.length_bits} << 2 | pp(t)));
    out.push_back(t.opcode);
    return;
  }
  out.push_back(0xc4);
  out.push_back(
      static_cast<uint8_t>((r ^ 1) << 7 | (index_extension_ ^ 1) << 6 | (base_extension_ ^ 1) << 5 | t.map));
  out.push_back(
      static_cast<uint8_t>(unsigned{t.wide} << 7 | vvvv << 3 | unsigned{t.length_bits} << 2 | pp(t)));
  out.push_back(t.opcode);
}

void Maker::put_evex(const Template& t, std::vector<uint8_t>& out) {
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

void Maker::try_lock(std::vector<uint8_t>& bytes, const Template& t, Decoded& d) {
  std::vector<uint8_t> locked = bytes;
  put_first(locked, 0xf0);
  Decoded again;
  if (locked.size() > 15 || !ZYAN_SUCCESS(decode_bytes(locked, bits_, again)) ||
      again.z.mnemonic != t.mnemonic)
    return;
  if (rip_relative(again)) {
    fix_rip(locked, again);
    static_cast<void>(decode_bytes(locked, bits_, again));
  }
  bytes = locked;
  d = again;
}

void Maker::put_disp(uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) tail_.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

void Maker::fix_rip(std::vector<uint8_t>& bytes, const Decoded& d) {
  uint64_t disp = target() - (rip_ + bytes.size());
  for (unsigned i = 0; i < 4; ++i) bytes[d.z.raw.disp.offset + i] = static_cast<uint8_t>(disp >> (8 * i));
}

}  // namespace rhea::differential
