#include "monitor/disassemble.h"

#include <Zydis/Zydis.h>
#include <fmt/format.h>

namespace rhea::monitor {

Line disassemble(const cpu::CpuState& s, uint64_t address, std::span<const uint8_t> code) {
  bool big = (s.seg[cpu::CS].attr & cpu::attr::kBig) != 0;
  ZydisDecoder decoder;
  ZydisDecoderInit(&decoder,
                   s.code64() ? ZYDIS_MACHINE_MODE_LONG_64
                   : big      ? ZYDIS_MACHINE_MODE_LEGACY_32
                              : ZYDIS_MACHINE_MODE_LEGACY_16,
                   s.code64() ? ZYDIS_STACK_WIDTH_64
                   : big      ? ZYDIS_STACK_WIDTH_32
                              : ZYDIS_STACK_WIDTH_16);
  ZydisFormatter formatter;
  ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT);
  ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
  ZydisDecodedInstruction instruction;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  char text[160];
  bool good =
      ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code.data(), code.size(), &instruction, operands)) &&
      ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &instruction, operands,
                                                   instruction.operand_count_visible, text, sizeof text,
                                                   address, nullptr));
  if (!good) return {code.empty() ? "" : fmt::format(".byte    {:#04x}", code[0]), 1};
  std::string_view whole = text;
  auto blank = whole.find(' ');
  if (blank == whole.npos) return {std::string(whole), instruction.length};
  return {fmt::format("{:<8} {}", whole.substr(0, blank), whole.substr(blank + 1)), instruction.length};
}

}  // namespace rhea::monitor
