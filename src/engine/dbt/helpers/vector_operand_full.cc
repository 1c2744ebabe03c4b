#include <Zydis/Zydis.h>

#include <algorithm>

#include "engine/dbt/helpers/vector_operand.h"

namespace rhea::dbt::helpers {

namespace {

bool is_vector(const ZydisDecodedOperand& op) {
  if (op.type != ZYDIS_OPERAND_TYPE_REGISTER) return false;
  ZydisRegisterClass kind = ZydisRegisterGetClass(op.reg.value);
  return kind == ZYDIS_REGCLASS_XMM || kind == ZYDIS_REGCLASS_YMM || kind == ZYDIS_REGCLASS_ZMM;
}

bool scalar_set(const ZydisDecodedInstruction& decoded) {
  return decoded.meta.isa_set == ZYDIS_ISA_SET_AVX512F_SCALAR ||
         decoded.meta.isa_set == ZYDIS_ISA_SET_AVX512DQ_SCALAR;
}

bool compresses(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_VPCOMPRESSB:
    case ZYDIS_MNEMONIC_VPCOMPRESSW:
    case ZYDIS_MNEMONIC_VPCOMPRESSD:
    case ZYDIS_MNEMONIC_VPCOMPRESSQ:
    case ZYDIS_MNEMONIC_VCOMPRESSPS:
    case ZYDIS_MNEMONIC_VCOMPRESSPD:
    case ZYDIS_MNEMONIC_VPEXPANDB:
    case ZYDIS_MNEMONIC_VPEXPANDW:
    case ZYDIS_MNEMONIC_VPEXPANDD:
    case ZYDIS_MNEMONIC_VPEXPANDQ:
    case ZYDIS_MNEMONIC_VEXPANDPS:
    case ZYDIS_MNEMONIC_VEXPANDPD: return true;
    default: return false;
  }
}

// A shift count in memory is one operand for all elements.
bool shift_count(const ZydisDecodedInstruction& decoded) {
  if (decoded.opcode_map != ZYDIS_OPCODE_MAP_0F) return false;
  unsigned low = decoded.opcode & 0xf;
  switch (decoded.opcode >> 4) {
    case 0xd:
    case 0xf: return low >= 1 && low <= 3;
    case 0xe: return low == 1 || low == 2;
    default: return false;
  }
}

unsigned broadcast_count(ZydisBroadcastMode mode) {
  switch (mode) {
    case ZYDIS_BROADCAST_MODE_1_TO_2: return 2;
    case ZYDIS_BROADCAST_MODE_1_TO_4: return 4;
    case ZYDIS_BROADCAST_MODE_1_TO_8: return 8;
    case ZYDIS_BROADCAST_MODE_1_TO_16: return 16;
    default: return 32;
  }
}

// How many elements the mask counts, and how many of them memory has (fewer when it is broadcast).
void count_elements(const ZydisDecodedInstruction& decoded, const ZydisDecodedOperand& first,
                    const ZydisDecodedOperand& memory, VectorOperands& out) {
  unsigned mask_bits = std::max<unsigned>(memory.element_count, 1), elements = mask_bits;
  bool repeated = decoded.avx.broadcast.mode != ZYDIS_BROADCAST_MODE_INVALID;
  if (repeated && decoded.avx.broadcast.is_static == ZYAN_FALSE) {
    mask_bits = broadcast_count(decoded.avx.broadcast.mode);
    elements = 1;
  } else if (!out.store && is_vector(first) && first.element_count != 0) {
    // Wider results of several memory elements (VPDPBUSD) count once; a broadcast repeats those that memory
    // has.
    mask_bits =
        repeated || first.element_count < memory.element_count ? first.element_count : memory.element_count;
    elements = repeated ? std::max<unsigned>(memory.element_count, 1) : mask_bits;
    if (repeated && memory.element_size != first.element_size) {
      elements = std::max(out.memory_bytes / std::max(first.element_size / 8u, 1u), 1u);
    }
  }
  if (out.store && memory.element_size > 64) {  // VEXTRACT: by the elements of the source
    mask_bits = elements = out.memory_bytes / (decoded.raw.evex.W != 0 ? 8u : 4u);
  }
  out.scalar = scalar_set(decoded);
  if (out.scalar) mask_bits = elements = 1;
  out.whole = shift_count(decoded);
  out.elements = static_cast<uint8_t>(elements);
  out.mask_bits = static_cast<uint8_t>(mask_bits);
}

VectorOperands look(const Insn& insn) {
  VectorOperands out{};
  ZydisDecoder decoder;
  ZydisDecodedInstruction decoded;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  bool wide = insn.code_bits == 64;
  ZydisDecoderInit(&decoder,
                   wide                   ? ZYDIS_MACHINE_MODE_LONG_64
                   : insn.code_bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                          : ZYDIS_MACHINE_MODE_LEGACY_16,
                   wide                   ? ZYDIS_STACK_WIDTH_64
                   : insn.code_bits == 32 ? ZYDIS_STACK_WIDTH_32
                                          : ZYDIS_STACK_WIDTH_16);
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, insn.raw, insn.length, &decoded, operands))) return out;
  const ZydisDecodedOperand* memory = nullptr;
  const ZydisDecodedOperand* registers[2] = {};
  unsigned found = 0;
  for (unsigned i = 0; i < decoded.operand_count; ++i) {
    if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY) memory = &operands[i];
    if (is_vector(operands[i]) && found < 2) registers[found++] = &operands[i];
  }
  if (memory == nullptr) return out;
  out.valid = true;
  out.store = (memory->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
  out.memory_bytes = static_cast<uint8_t>(std::min(memory->size / 8, 64));
  out.vector_bytes = static_cast<uint8_t>(decoded.avx.vector_length / 8);
  out.suppresses = decoded.meta.exception_class != ZYDIS_EXCEPTION_CLASS_E6NF;
  out.compresses = compresses(decoded.mnemonic);
  out.aligned = decoded.meta.exception_class == ZYDIS_EXCEPTION_CLASS_E1;
  if (registers[0] != nullptr)
    out.data_register = static_cast<uint8_t>(ZydisRegisterGetId(registers[0]->reg.value));
  if (registers[1] != nullptr)
    out.second_register = static_cast<uint8_t>(ZydisRegisterGetId(registers[1]->reg.value));
  if (decoded.avx.mask.reg != ZYDIS_REGISTER_NONE) {
    out.mask_register = static_cast<uint8_t>(ZydisRegisterGetId(decoded.avx.mask.reg));
  }
  count_elements(decoded, operands[0], *memory, out);
  return out;
}

}  // namespace

const VectorOperands& vector_operands(const Insn& insn) {
  struct Entry {
    uint8_t raw[16];
    uint8_t length, bits;
    VectorOperands operands;
  };
  constexpr unsigned kEntries = 64;
  static thread_local Entry cache[kEntries];
  unsigned hash = 0;
  for (unsigned i = 0; i < insn.length; ++i) hash = hash * 31 + insn.raw[i];
  Entry& e = cache[hash % kEntries];
  bool same = e.length == insn.length && e.bits == insn.code_bits &&
              std::equal(insn.raw, insn.raw + insn.length, e.raw);
  if (!same) {
    std::copy_n(insn.raw, sizeof e.raw, e.raw);
    e.length = insn.length;
    e.bits = insn.code_bits;
    e.operands = look(insn);
  }
  return e.operands;
}

namespace {

// The pieces of a vector register in the image.
unsigned xmm_at(unsigned reg) {
  return xstate::kXmm + 16 * reg;
}
unsigned ymm_at(unsigned reg) {
  return host_component(xstate::kAvx).offset + 16 * reg;
}
unsigned zmm_at(unsigned reg) {
  return host_component(xstate::kZmmHi256).offset + 32 * reg;
}
unsigned high_at(unsigned reg) {
  return host_component(xstate::kHi16Zmm).offset + 64 * (reg - 16);
}

bool has(unsigned component) {
  return host_component(component).size != 0;
}

}  // namespace

// Callers have materialised the image.
void read_vector(const FpuImage& image, unsigned reg, void* to, unsigned bytes) {
  uint8_t value[64] = {};
  const uint8_t* base = const_cast<FpuImage&>(image).at(0);
  if (reg >= 16) {
    if (has(xstate::kHi16Zmm)) std::memcpy(value, base + high_at(reg), 64);
  } else {
    std::memcpy(value, base + xmm_at(reg), 16);
    if (has(xstate::kAvx)) std::memcpy(value + 16, base + ymm_at(reg), 16);
    if (has(xstate::kZmmHi256)) std::memcpy(value + 32, base + zmm_at(reg), 32);
  }
  std::memcpy(to, value, bytes);
}

void write_vector(FpuImage& image, unsigned reg, const void* from, unsigned bytes) {
  uint8_t value[64] = {};
  std::memcpy(value, from, bytes);
  if (reg >= 16) {
    if (!has(xstate::kHi16Zmm)) return;
    std::memcpy(image.at(high_at(reg)), value, 64);
    image.mark(uint64_t{1} << xstate::kHi16Zmm, true);
    return;
  }
  std::memcpy(image.at(xmm_at(reg)), value, 16);
  image.mark(xstate::kSseBit, true);
  if (has(xstate::kAvx)) {
    std::memcpy(image.at(ymm_at(reg)), value + 16, 16);
    image.mark(xstate::kAvxBit, true);
  }
  if (has(xstate::kZmmHi256)) {
    std::memcpy(image.at(zmm_at(reg)), value + 32, 32);
    image.mark(uint64_t{1} << xstate::kZmmHi256, true);
  }
}

uint64_t read_mask(const FpuImage& image, unsigned reg) {
  if (!has(xstate::kOpmask)) return ~uint64_t{0};
  return image.get<uint64_t>(host_component(xstate::kOpmask).offset + 8 * reg);
}

void write_mask(FpuImage& image, unsigned reg, uint64_t value) {
  if (!has(xstate::kOpmask)) return;
  image.set<uint64_t>(host_component(xstate::kOpmask).offset + 8 * reg, value);
  image.mark(uint64_t{1} << xstate::kOpmask, true);
}

}  // namespace rhea::dbt::helpers
