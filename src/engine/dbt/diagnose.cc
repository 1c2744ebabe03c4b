#include "engine/dbt/diagnose.h"

#include <Zydis/Zydis.h>
#include <fmt/format.h>

#include <string>

#include "base/log.h"
#include "engine/dbt/code_cache.h"

namespace rhea::dbt {

namespace {

std::string disassemble(const uint8_t* bytes, unsigned length, unsigned bits, uint64_t address) {
  ZydisDisassembledInstruction d;
  auto mode = bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
              : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                           : ZYDIS_MACHINE_MODE_LEGACY_16;
  if (!ZYAN_SUCCESS(ZydisDisassembleIntel(mode, address, bytes, length, &d))) return "(bad)";
  return d.text;
}

std::string hex_bytes(const uint8_t* bytes, unsigned length) {
  std::string out;
  for (unsigned i = 0; i < length; ++i) out += fmt::format("{:02x}", bytes[i]);
  return out;
}

}  // namespace

bool exec_logged() {
  return log_on(LogItem::Exec);
}
bool events_logged() {
  return log_on(LogItem::Int);
}

void log_guest_code(const Block& block, std::span<const Insn> insns) {
  if (!log_on(LogItem::InAsm)) return;
  log_line("----------------");
  log_line(fmt::format("IN: {}+{:#x} mode {:#x}", block.ram != nullptr ? block.ram->name() : "io",
                       block.offset, block.mode));
  for (const Insn& i : insns) {
    uint64_t place = (block.offset & ~kPageMask) + i.page_offset;
    log_line(fmt::format("{:#010x}: {:<24} {}", place, hex_bytes(i.raw, i.length),
                         disassemble(i.raw, i.length, code_bits_of(block.mode), place)));
  }
}

void log_host_code(const CodeCache& cache, const Block& block) {
  if (!log_on(LogItem::OutAsm)) return;
  log_line(fmt::format("OUT: [size={}]", block.host_bytes()));
  for (const uint8_t *p = block.start, *end = block.end(); p < block.cold_end();) {
    if (p == block.end()) p = block.cold_start(), end = block.cold_end();
    ZydisDisassembledInstruction d;
    auto left = static_cast<ZyanUSize>(end - p);
    auto address = reinterpret_cast<uint64_t>(cache.executable(p));
    if (!ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, address, p, left, &d))) {
      log_line(fmt::format("{:#x}: .byte {:#04x}", address, *p++));
      continue;
    }
    log_line(fmt::format("{:#x}: {}", address, d.text));
    p += d.info.length;
  }
}

void cold_log_exec(void* context) {
  const auto& c = *static_cast<const Context*>(context);
  const cpu::CpuState& s = c.core.s;
  log_line(
      fmt::format("Trace {}: {:04x}:{:016x} mode {:06x} fl {:08x} ax {:x} cx {:x} dx {:x} bx {:x} sp {:x} bp "
                  "{:x} si {:x} di {:x} "
                  "r8 {:x} r9 {:x} r10 {:x} r11 {:x} r12 {:x} r13 {:x} r14 {:x} r15 {:x}",
                  c.core.index, s.seg[cpu::CS].selector, s.rip, c.mode, s.rflags(), s.gpr[0], s.gpr[1],
                  s.gpr[2], s.gpr[3], s.gpr[4], s.gpr[5], s.gpr[6], s.gpr[7], s.gpr[8], s.gpr[9], s.gpr[10],
                  s.gpr[11], s.gpr[12], s.gpr[13], s.gpr[14], s.gpr[15]));
}

void cold_log_event(void* record) {
  const auto& r = *static_cast<const EventRecord*>(record);
  const cpu::CpuState& s = r.context->core.s;
  log_line(
      fmt::format("cpu {}: {} v={:02x} e={:04x} cpl={} IP={:04x}:{:016x} SP={:04x}:{:016x} CR2={:016x} "
                  "AX={:016x} fl={:08x}",
                  r.context->core.index, r.what, r.vector, r.code, s.cpl, s.seg[cpu::CS].selector, s.rip,
                  s.seg[cpu::SS].selector, s.gpr[cpu::RSP], r.address, s.gpr[cpu::RAX], s.rflags()));
}

}  // namespace rhea::dbt
