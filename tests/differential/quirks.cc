#include "quirks.h"

#include <algorithm>
#include <iterator>

namespace rhea::differential {

namespace {

size_t behind_prefixes(const std::vector<uint8_t>& bytes, unsigned bits) {
  static constexpr uint8_t kPrefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
  size_t at = 0;
  auto prefix = [&](uint8_t b) {
    return std::find(std::begin(kPrefixes), std::end(kPrefixes), b) != std::end(kPrefixes) ||
           (bits == 64 && (b & 0xf0) == 0x40);
  };
  while (at < bytes.size() && prefix(bytes[at])) ++at;
  return at;
}

// With an operand-size prefix, which AMD's processors heed in 64-bit mode: a shorter instruction.
bool near_branch(const std::vector<uint8_t>& bytes, size_t at, unsigned bits) {
  if (bits != 64 || std::find(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(at), 0x66) ==
                        bytes.begin() + static_cast<ptrdiff_t>(at))
    return false;
  uint8_t opcode = bytes[at];
  if (opcode == 0x0f) return (bytes[at + 1] & 0xf0) == 0x80;
  bool jcc = (opcode & 0xf0) == 0x70, loop = opcode >= 0xe0 && opcode <= 0xe3;
  return jcc || loop || opcode == 0xe8 || opcode == 0xe9 || opcode == 0xeb || opcode == 0xff ||
         (opcode & 0xfe) == 0xc2;
}

bool is_valid(std::vector<uint8_t> bytes, unsigned bits, Decoded& d) {
  bytes.resize(15);
  return ZYAN_SUCCESS(decode_bytes(bytes, bits, d));
}

bool names_mask(const Decoded& d) {
  for (unsigned i = 0; i < d.z.operand_count; ++i) {
    const ZydisDecodedOperand& op = d.operands[i];
    bool mask =
        op.encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG || op.encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM;
    if (op.type != ZYDIS_OPERAND_TYPE_REGISTER || !mask) continue;
    if (ZydisRegisterGetClass(op.reg.value) == ZYDIS_REGCLASS_MASK) return true;
  }
  return false;
}

bool evex_executed_anyway(std::vector<uint8_t> bytes, size_t at, unsigned bits) {
  if (bytes[at + 5] >= 0xc0) bytes[at + 3] &= static_cast<uint8_t>(~0x10u);
  if ((bytes[at + 3] & 7) == 0) bytes[at + 3] &= 0x7f;
  if (bits != 64) bytes[at + 3] |= 8;
  Decoded d;
  if (is_valid(bytes, bits, d)) return true;
  bytes[at + 1] |= 0x90;
  return is_valid(bytes, bits, d) && names_mask(d);
}

// All but three bits of mask registers' numbers.
bool vex_executed_anyway(std::vector<uint8_t> bytes, size_t at, unsigned bits) {
  bool three = bytes[at] == 0xc4, permutes = three && (bytes[at + 1] & 0x1f) == 3 && bytes[at + 3] <= 1;
  Decoded d;
  if (permutes) bytes[at + 2] |= 0x80;
  if (permutes && is_valid(bytes, bits, d)) return true;
  bytes[at + 1] |= three ? 0xa0 : 0xc0;
  if (three) bytes[at + 2] |= 0x40;
  return is_valid(bytes, bits, d) && names_mask(d);
}

}  // namespace

bool extends_general(const std::vector<uint8_t>& bytes, const Decoded& d) {
  if (d.z.encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX || d.z.raw.modrm.mod != 3) return false;
  if ((bytes[d.z.raw.evex.offset + 1] & 0x40) != 0) return false;
  for (unsigned i = 0; i < d.z.operand_count; ++i) {
    ZydisRegisterClass kind = ZydisRegisterGetClass(d.operands[i].reg.value);
    bool general = kind >= ZYDIS_REGCLASS_GPR8 && kind <= ZYDIS_REGCLASS_GPR64;
    if (d.operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER && general &&
        d.operands[i].encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
      return true;
  }
  return false;
}

bool executed_anyway(std::vector<uint8_t> bytes, unsigned bits) {
  size_t at = behind_prefixes(bytes, bits);
  if (at + 5 >= bytes.size()) bytes.resize(at + 6);
  if (near_branch(bytes, at, bits)) return true;
  switch (bytes[at]) {
    case 0x0f: return bytes[at + 1] == 0 && (bytes[at + 2] >> 3 & 7) == 5;
    case 0x62: return evex_executed_anyway(bytes, at, bits);
    case 0xc4:
    case 0xc5: return vex_executed_anyway(bytes, at, bits);
    default: return false;
  }
}

}  // namespace rhea::differential
