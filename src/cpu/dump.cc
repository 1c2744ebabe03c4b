#include "cpu/dump.h"

#include <fmt/format.h>

#include <iterator>
#include <string_view>

namespace rhea::cpu {

namespace {

using Out = std::back_insert_iterator<std::string>;

constexpr std::string_view kWide[] = {"RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "RSP",
                                      "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15"};
constexpr std::string_view kNarrow[] = {"EAX", "EBX", "ECX", "EDX", "ESI", "EDI", "EBP", "ESP"};
constexpr Reg kOrder[] = {RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8, R9, R10, R11, R12, R13, R14, R15};
constexpr std::string_view kSegments[] = {"ES ", "CS ", "SS ", "DS ", "FS ", "GS ", "LDT", "TR "};

void general_registers(Out out, const CpuState& s) {
  bool wide = s.code64();
  for (unsigned i = 0; i < (wide ? 16u : 8u); ++i) {
    uint64_t value = s.gpr[kOrder[i]];
    char end = i % 4 == 3 ? '\n' : ' ';
    wide ? fmt::format_to(out, "{}={:016x}{}", kWide[i], value, end)
         : fmt::format_to(out, "{}={:08x}{}", kNarrow[i], static_cast<uint32_t>(value), end);
  }
  uint64_t flags = s.rflags();
  wide ? fmt::format_to(out, "RIP={:016x} RFL={:08x}", s.rip, flags)
       : fmt::format_to(out, "EIP={:08x} EFL={:08x}", static_cast<uint32_t>(s.rip), flags);
  constexpr std::pair<uint64_t, char> kLetters[] = {{rflags::DF, 'D'}, {rflags::OF, 'O'}, {rflags::SF, 'S'},
                                                    {rflags::ZF, 'Z'}, {rflags::AF, 'A'}, {rflags::PF, 'P'},
                                                    {rflags::CF, 'C'}};
  std::string letters;
  for (auto [bit, letter] : kLetters) letters += (flags & bit) != 0 ? letter : '-';
  fmt::format_to(out, " [{}] CPL={} II={} A20={} SMM={} HLT={}\n", letters, s.cpl, s.interrupt_shadow,
                 s.a20_masked == 0 ? 1 : 0, s.in_smm, s.halted);
}

// SDM vol. 3A table 3-2.
constexpr std::string_view kSystemTypes[2][16] = {
    {"Reserved", "TSS16-avl", "LDT", "TSS16-busy", "CallGate16", "TaskGate", "IntGate16", "TrapGate16",
     "Reserved", "TSS32-avl", "Reserved", "TSS32-busy", "CallGate32", "Reserved", "IntGate32", "TrapGate32"},
    {"<hiword>", "Reserved", "LDT", "Reserved", "Reserved", "Reserved", "Reserved", "Reserved", "Reserved",
     "TSS64-avl", "Reserved", "TSS64-busy", "CallGate64", "Reserved", "IntGate64", "TrapGate64"}};

// What the descriptor's type means, as in "CS64 [CR-]" or "DS [-WA]".
std::string meaning(const Segment& seg, bool long_mode, bool system) {
  uint32_t a = seg.attr;
  std::string text = fmt::format(" DPL={}", seg.dpl());
  if (system) return fmt::format("{} {}", text, kSystemTypes[long_mode ? 1 : 0][a & attr::kTypeMask]);
  auto flag = [&](uint32_t bit, char letter) { return (a & bit) != 0 ? letter : '-'; };
  if ((a & attr::kCode) != 0) {
    std::string_view kind = long_mode && (a & attr::kLong) != 0 ? "CS64"
                            : (a & attr::kBig) != 0             ? "CS32"
                                                                : "CS16";
    return fmt::format("{} {} [{}{}{}]", text, kind, flag(attr::kConforming, 'C'), flag(attr::kReadable, 'R'),
                       flag(attr::kAccessed, 'A'));
  }
  return fmt::format("{} {} [{}{}{}]", text, (a & attr::kBig) != 0 || long_mode ? "DS  " : "DS16",
                     flag(attr::kExpandDown, 'E'), flag(attr::kWritable, 'W'), flag(attr::kAccessed, 'A'));
}

void segments(Out out, const CpuState& s) {
  bool wide = s.long_mode();
  int digits = wide ? 16 : 8;
  for (unsigned i = 0; i < kSegCount; ++i) {
    const Segment& seg = s.seg[i];
    uint32_t flags = seg.usable() ? (seg.attr & 0xffffu) << 8 : 0;
    fmt::format_to(out, "{}={:04x} {:0{}x} {:08x} {:08x}{}\n", kSegments[i], seg.selector, seg.base, digits,
                   seg.limit, flags, seg.usable() ? meaning(seg, wide, i >= LDTR) : "");
  }
  fmt::format_to(out, "GDT=     {:0{}x} {:08x}\n", s.gdtr.base, digits, s.gdtr.limit);
  fmt::format_to(out, "IDT=     {:0{}x} {:08x}\n", s.idtr.base, digits, s.idtr.limit);
}

}  // namespace

std::string dump_state(const CpuState& s) {
  std::string text;
  Out out(text);
  general_registers(out, s);
  segments(out, s);
  int digits = s.long_mode() ? 16 : 8;
  fmt::format_to(out, "CR0={:08x} CR2={:0{}x} CR3={:0{}x} CR4={:08x}\n", s.cr0, s.cr2, digits, s.cr3, digits,
                 s.cr4);
  for (unsigned i : {0u, 1u, 2u, 3u}) fmt::format_to(out, "DR{}={:016x} {}", i, s.dr[i], i == 3 ? "\n" : "");
  fmt::format_to(out, "DR6={:016x} DR7={:016x}\nEFER={:016x}\n", s.dr[6], s.dr[7], s.efer);
  return text;
}

// From the image that FXSAVE and XSAVE leave in memory: SDM vol. 1 table 10-2.
std::string dump_vectors(const CpuState& s) {
  std::string text;
  Out out(text);
  auto field = [&s](size_t at, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = bytes; i-- > 0;) value = value << 8 | s.xsave[at + i];
    return value;
  };
  uint64_t status = field(2, 2);
  fmt::format_to(out, "FCW={:04x} FSW={:04x} [ST={}] FTW={:02x} MXCSR={:08x}\n", field(0, 2), status,
                 status >> 11 & 7, field(4, 1), field(24, 4));
  for (unsigned i = 0; i < 8; ++i)
    fmt::format_to(out, "FPR{}={:016x} {:04x}{}", i, field(32 + 16 * i, 8), field(40 + 16 * i, 2),
                   i % 2 == 1 ? '\n' : ' ');
  for (unsigned i = 0; i < (s.code64() ? 16u : 8u); ++i)
    fmt::format_to(out, "XMM{:02}={:016x} {:016x}{}", i, field(168 + 16 * i, 8), field(160 + 16 * i, 8),
                   i % 2 == 1 ? '\n' : ' ');
  return text;
}

}  // namespace rhea::cpu
