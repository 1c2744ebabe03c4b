#include "engine/dbt/decode.h"

#include <Zydis/Zydis.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/dbt/forms.h"

namespace rhea::dbt {
namespace {

constexpr uint16_t kStatusFlags = static_cast<uint16_t>(cpu::rflags::kStatus);

const ZydisDecoder& decoder_for(unsigned code_bits) {
  static const auto decoders = [] {
    std::array<ZydisDecoder, 3> d{};
    ZydisDecoderInit(&d[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    ZydisDecoderInit(&d[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderInit(&d[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return d;
  }();
  return decoders[code_bits == 16 ? 0 : code_bits == 32 ? 1 : 2];
}

// GPR number and width in bytes, or -1. AH..BH are reported as 0..3 with `high` set.
int gpr_number(ZydisRegister r, unsigned& bytes, bool& high) {
  high = false;
  switch (ZydisRegisterGetClass(r)) {
    case ZYDIS_REGCLASS_GPR8:
      bytes = 1;
      if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH) {
        high = true;
        return r - ZYDIS_REGISTER_AH;
      }
      if (r <= ZYDIS_REGISTER_BL) return r - ZYDIS_REGISTER_AL;
      if (r <= ZYDIS_REGISTER_DIL) return r - ZYDIS_REGISTER_SPL + 4;
      return r - ZYDIS_REGISTER_R8B + 8;
    case ZYDIS_REGCLASS_GPR16: bytes = 2; break;
    case ZYDIS_REGCLASS_GPR32: bytes = 4; break;
    case ZYDIS_REGCLASS_GPR64: bytes = 8; break;
    default: return -1;
  }
  return ZydisRegisterGetId(r);
}

uint8_t segment_index(ZydisRegister r) {
  switch (r) {
    case ZYDIS_REGISTER_ES: return cpu::ES;
    case ZYDIS_REGISTER_CS: return cpu::CS;
    case ZYDIS_REGISTER_SS: return cpu::SS;
    case ZYDIS_REGISTER_FS: return cpu::FS;
    case ZYDIS_REGISTER_GS: return cpu::GS;
    default: return cpu::DS;
  }
}

uint8_t override_segment(const ZydisDecodedInstruction& z, unsigned code_bits) {
  if ((z.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_FS) != 0) return cpu::FS;
  if ((z.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_GS) != 0) return cpu::GS;
  if (code_bits == 64) return cpu::DS;
  if ((z.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_CS) != 0) return cpu::CS;
  if ((z.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_SS) != 0) return cpu::SS;
  if ((z.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_ES) != 0) return cpu::ES;
  return cpu::DS;
}

void take_register(const ZydisDecodedOperand& op, Insn& out) {
  unsigned bytes = 0;
  bool high = false;
  int n = gpr_number(op.reg.value, bytes, high);
  bool explicit_operand = op.visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT;
  if (n >= 0) {
    auto bit = static_cast<uint16_t>(1u << n);
    // BSF and BSR leave the register alone when the source is 0, on the CPUs there are.
    bool partial = bytes < 4 || out.mnemonic == ZYDIS_MNEMONIC_BSF || out.mnemonic == ZYDIS_MNEMONIC_BSR ||
                   (op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == ZYDIS_OPERAND_ACTION_CONDWRITE;
    if ((op.actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0) out.regs_read |= bit;
    if ((op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0) {
      out.regs_written |= bit;
      if (partial) out.regs_read |= bit;
    }
    if (explicit_operand && high) out.high_byte = true;
  }
  if (!explicit_operand && op.encoding != ZYDIS_OPERAND_ENCODING_OPCODE) return;
  int id = n >= 0 ? n : ZydisRegisterGetId(op.reg.value);
  auto reg = static_cast<int8_t>(id);
  switch (op.encoding) {
    case ZYDIS_OPERAND_ENCODING_MODRM_REG:
      out.reg = reg;
      if (n >= 0) out.gpr_fields |= gpr_field::kModrmReg, out.gpr_bytes_reg = static_cast<uint8_t>(bytes);
      if (high) out.high_fields |= gpr_field::kModrmReg;
      break;
    case ZYDIS_OPERAND_ENCODING_MODRM_RM:
      out.rm = reg;
      if (n >= 0) out.gpr_fields |= gpr_field::kModrmRm, out.gpr_bytes_rm = static_cast<uint8_t>(bytes);
      if (high) out.high_fields |= gpr_field::kModrmRm;
      break;
    case ZYDIS_OPERAND_ENCODING_NDSNDD:
      out.vvvv = reg;
      if (n >= 0) out.gpr_fields |= gpr_field::kVvvv;
      break;
    case ZYDIS_OPERAND_ENCODING_OPCODE:
      out.rm = reg;
      if (n >= 0) out.gpr_fields |= gpr_field::kOpcode, out.gpr_bytes_rm = static_cast<uint8_t>(bytes);
      if (high) out.high_fields |= gpr_field::kOpcode;
      break;
    default: break;
  }
}

int8_t address_register(ZydisRegister r, uint16_t& read) {
  if (r == ZYDIS_REGISTER_NONE) return kNoReg;
  if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP) return kRip;
  int id = ZydisRegisterGetId(r);
  read |= static_cast<uint16_t>(1u << id);
  return static_cast<int8_t>(id);
}

// SDM vol. 2A 2.4 and 2.7: exception classes 1, 2 and 4 of legacy SSE with its exceptions, class 1 of VEX and
// EVEX.
bool must_be_aligned(const ZydisDecodedInstruction& z, unsigned bytes) {
  if (z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
    return z.meta.exception_class == ZYDIS_EXCEPTION_CLASS_AVX1;
  if (z.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) {
    return z.meta.exception_class == ZYDIS_EXCEPTION_CLASS_E1 ||
           z.meta.exception_class == ZYDIS_EXCEPTION_CLASS_E1NF;
  }
  if (z.meta.isa_set == ZYDIS_ISA_SET_SHA) return false;  // not on every CPU; only the priority depends on it
  switch (z.mnemonic) {
    case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_MOVUPD:
    case ZYDIS_MNEMONIC_MOVDQU:
    case ZYDIS_MNEMONIC_LDDQU:
    case ZYDIS_MNEMONIC_PCMPESTRI:
    case ZYDIS_MNEMONIC_PCMPESTRM:
    case ZYDIS_MNEMONIC_PCMPISTRI:
    case ZYDIS_MNEMONIC_PCMPISTRM: return false;
    default: return bytes == 16;
  }
}

void take_memory(const ZydisDecodedOperand& op, const ZydisDecodedInstruction& z, Insn& out) {
  bool moffs =
      op.encoding >= ZYDIS_OPERAND_ENCODING_DISP8 && op.encoding <= ZYDIS_OPERAND_ENCODING_DISP16_32_32;
  if (op.encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM && !moffs) return;
  out.has_mem = true;
  MemOperand& m = out.mem;
  m.vsib = op.mem.type == ZYDIS_MEMOP_TYPE_VSIB;
  m.base = address_register(op.mem.base, out.regs_read);
  if (m.vsib) {
    m.index = static_cast<int8_t>(ZydisRegisterGetId(op.mem.index));
  } else {
    m.index = address_register(op.mem.index, out.regs_read);
  }
  m.scale = op.mem.scale == 8 ? 3 : op.mem.scale == 4 ? 2 : op.mem.scale == 2 ? 1 : 0;
  m.disp = op.mem.disp.value;
  if (!moffs && z.raw.modrm.mod == 0 && out.has_sib && z.raw.sib.base == 5 && m.base != kNoReg) {
    // No base but a displacement; Zydis 4.0 reports r13d under REX.B with 32-bit addresses.
    m.base = kNoReg;
    m.disp = z.raw.disp.value;
  }
  if (m.base == kRip) m.disp += z.length;  // relative to the next instruction: now to this one's start
  m.seg = segment_index(op.mem.segment);
  // Without CET, 3E in front of an indirect near branch is DS's override as anywhere else.
  if ((z.attributes & ZYDIS_ATTRIB_HAS_NOTRACK) != 0 && out.code_bits != 64) m.seg = cpu::DS;
  if (out.code_bits == 64 && (m.seg == cpu::ES || m.seg == cpu::CS)) m.seg = cpu::DS;
  if (op.mem.type == ZYDIS_MEMOP_TYPE_AGEN) return;
  m.bytes = static_cast<uint16_t>(op.size / 8);
  m.aligned = must_be_aligned(z, m.bytes);
  m.read = (op.actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0;
  m.write = (op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
}

void take_immediates(const ZydisDecodedInstruction& z, Insn& out) {
  const auto& a = z.raw.imm[0];
  const auto& b = z.raw.imm[1];
  if (a.size == 0) return;
  out.imm_offset = a.offset;
  out.imm_bytes = static_cast<uint8_t>((a.size + b.size) / 8);
  out.imm = a.is_signed ? a.value.s : static_cast<int64_t>(a.value.u);
  if (b.size != 0) out.imm2 = static_cast<uint16_t>(b.value.u);
}

void take_prefixes(const ZydisDecodedInstruction& z, Insn& out) {
  out.lock = (z.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0;
  for (unsigned i = 0; i < z.raw.prefix_count; ++i) {
    const auto& p = z.raw.prefixes[i];
    bool mandatory = p.type == ZYDIS_PREFIX_TYPE_MANDATORY;
    if (p.value == 0x66) {
      if (mandatory)
        out.mandatory = 0x66;
      else
        out.operand_override = true;
    } else if (p.value == 0xf3 || p.value == 0xf2) {
      if (mandatory) {
        out.mandatory = p.value;
      } else if (p.type == ZYDIS_PREFIX_TYPE_EFFECTIVE) {
        out.rep = p.value == 0xf3;
        out.repne = p.value == 0xf2;
      }
    }
  }
}

bool is_cl_shift(ZydisMnemonic m) {
  switch (m) {
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_SAR:
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR:
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD: return true;
    default: return false;
  }
}

// "Undefined" flags that the host is known to overwrite whatever they were before.
bool undefined_is_written(ZydisMnemonic m) {
  switch (m) {
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR:
    case ZYDIS_MNEMONIC_TEST: return true;
    default: return false;
  }
}

// Returns what is written when an immediate shift count is not 0.
uint16_t take_flags(const ZydisDecodedInstruction& z, Insn& out) {
  if (z.cpu_flags == nullptr) return 0;
  const auto& f = *z.cpu_flags;
  out.flags_read = static_cast<uint16_t>(f.tested & 0xffff);
  out.flags_undefined = static_cast<uint16_t>(f.undefined & kStatusFlags);
  auto written = static_cast<uint16_t>((f.modified | f.set_0 | f.set_1) & kStatusFlags & ~f.undefined);
  if (undefined_is_written(z.mnemonic)) written |= out.flags_undefined;
  out.flags_touched = ((f.modified | f.set_0 | f.set_1 | f.undefined) & kStatusFlags) != 0;
  bool maybe_none = out.rep || out.repne, string = maybe_none;
  if (is_cl_shift(z.mnemonic)) {
    bool by_one = (out.opcode == 0xd0 || out.opcode == 0xd1) && out.map == 0;
    bool by_imm = out.imm_bytes != 0 && (out.imm & 0x1f) != 0;
    if (!by_one && !by_imm) maybe_none = true;
  }
  out.flags_written = maybe_none ? 0 : written;
  return is_cl_shift(z.mnemonic) && out.imm_bytes != 0 && !string ? written : out.flags_written;
}

DecodeLayout layout_of(const ZydisDecodedInstruction& z, const ZydisDecodedOperand* operands,
                       uint16_t flags_written) {
  DecodeLayout l;
  bool plain =
      z.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY || z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
  l.regular = plain && z.raw.imm[1].size == 0;
  for (unsigned i = 0; i < z.operand_count; ++i) {
    const auto& op = operands[i];
    bool absolute =
        op.encoding >= ZYDIS_OPERAND_ENCODING_DISP8 && op.encoding <= ZYDIS_OPERAND_ENCODING_DISP16_32_32;
    if (absolute || op.type == ZYDIS_OPERAND_TYPE_POINTER || op.encoding == ZYDIS_OPERAND_ENCODING_IS4)
      l.regular = false;
  }
  l.disp_offset = z.raw.disp.offset;
  l.disp_bytes = static_cast<uint8_t>(z.raw.disp.size / 8);
  l.imm_signed = z.raw.imm[0].is_signed != 0;
  l.shift = is_cl_shift(z.mnemonic);
  l.flags_written = flags_written;
  return l;
}

void take_fields(const ZydisDecodedInstruction& z, Insn& out) {
  out.mnemonic = static_cast<uint16_t>(z.mnemonic);
  out.isa_set = static_cast<uint16_t>(z.meta.isa_set);
  out.opcode = z.opcode;
  out.map = static_cast<uint8_t>(z.opcode_map);
  out.length = z.length;
  out.addr_bytes = static_cast<uint8_t>(z.address_width / 8);
  out.op_bytes = static_cast<uint8_t>(z.operand_width / 8);
  out.has_modrm = (z.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
  out.has_sib = (z.attributes & ZYDIS_ATTRIB_HAS_SIB) != 0;
  out.has_rex = (z.attributes & ZYDIS_ATTRIB_HAS_REX) != 0;
  if (out.has_modrm) {
    out.modrm = static_cast<uint8_t>(z.raw.modrm.mod << 6 | z.raw.modrm.reg << 3 | z.raw.modrm.rm);
  }
  if (out.has_sib) {
    out.sib = static_cast<uint8_t>(z.raw.sib.scale << 6 | z.raw.sib.index << 3 | z.raw.sib.base);
  }
  switch (z.encoding) {
    case ZYDIS_INSTRUCTION_ENCODING_VEX:
      out.encoding = Encoding::Vex;
      out.rex_w = z.raw.vex.W;
      break;
    case ZYDIS_INSTRUCTION_ENCODING_EVEX:
      out.encoding = Encoding::Evex;
      out.rex_w = z.raw.evex.W;
      break;
    case ZYDIS_INSTRUCTION_ENCODING_XOP: out.encoding = Encoding::Xop; break;
    case ZYDIS_INSTRUCTION_ENCODING_3DNOW: out.encoding = Encoding::ThreeDNow; break;
    default:
      out.encoding = Encoding::Legacy;
      if (!out.has_rex) break;
      out.rex_w = z.raw.rex.W;
      out.rex_r = z.raw.rex.R;
      out.rex_x = z.raw.rex.X;
      out.rex_b = z.raw.rex.B;
  }
}

}  // namespace

namespace {

// F3 … REX.B 90 is XCHG with r8, not PAUSE, which Zydis 4.0 takes it for. The F3 to leave out, or -1.
int stray_repeat(const ZydisDecodedInstruction& z, const uint8_t* bytes) {
  if (z.mnemonic != ZYDIS_MNEMONIC_PAUSE || z.raw.rex.B == 0) return -1;
  for (int i = 0; i < z.length; ++i) {
    if (bytes[i] == 0xf3) return i;
  }
  return -1;
}

}  // namespace

DecodeStatus decode(const uint8_t* bytes, size_t available, unsigned code_bits, unsigned page_offset,
                    Insn& out, DecodeLayout* layout) {
  const ZydisDecoder& d = decoder_for(code_bits);
  ZydisDecodedInstruction z;
  ZydisDecoderContext ctx;
  ZyanStatus status = ZydisDecoderDecodeInstruction(&d, &ctx, bytes, std::min<size_t>(available, 15), &z);
  if (status == ZYDIS_STATUS_NO_MORE_DATA) {
    return available >= 15 ? DecodeStatus::TooLong : DecodeStatus::NeedMore;
  }
  if (status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG) return DecodeStatus::TooLong;
  if (!ZYAN_SUCCESS(status)) return DecodeStatus::Invalid;
  if (int stray = stray_repeat(z, bytes); stray >= 0) {
    uint8_t without[16] = {};
    std::copy_n(bytes, stray, without);
    std::copy_n(bytes + stray + 1, z.length - stray - 1, without + stray);
    DecodeStatus inner = decode(without, z.length - 1u, code_bits, page_offset, out);
    if (inner != DecodeStatus::Ok) return inner;
    std::copy_n(bytes, z.length, out.raw);
    out.length = z.length;
    return inner;
  }
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeOperands(&d, &ctx, &z, operands, z.operand_count)))
    return DecodeStatus::Invalid;

  out = Insn{};
  std::memcpy(out.raw, bytes, z.length);
  out.code_bits = static_cast<uint8_t>(code_bits);
  out.page_offset = static_cast<uint16_t>(page_offset);
  out.reg = out.rm = out.vvvv = kNoReg;
  take_fields(z, out);
  take_prefixes(z, out);
  take_immediates(z, out);
  out.mem.seg = override_segment(z, code_bits);
  for (unsigned i = 0; i < z.operand_count; ++i) {
    const auto& op = operands[i];
    if (op.type == ZYDIS_OPERAND_TYPE_REGISTER) take_register(op, out);
    if (op.type == ZYDIS_OPERAND_TYPE_MEMORY) take_memory(op, z, out);
    if (op.type == ZYDIS_OPERAND_TYPE_POINTER) {
      out.imm = static_cast<int64_t>(op.ptr.offset);
      out.imm2 = op.ptr.segment;
    }
  }
  uint16_t flags_written = take_flags(z, out);
  if (layout != nullptr) *layout = layout_of(z, operands, flags_written);
  out.form = find_form(out);
  return DecodeStatus::Ok;
}

}  // namespace rhea::dbt
