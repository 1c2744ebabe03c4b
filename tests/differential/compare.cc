#include "compare.h"

#include <Zydis/Zydis.h>
#include <cpuid.h>
#include <fmt/format.h>

#include <cstring>

namespace rhea::differential {

namespace {

constexpr const char* kNames[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

struct Area {
  const char* name;
  unsigned bit, offset, size;
};

// Of the standard format; offsets of the extended components are this host's.
const Area* areas(unsigned& count) {
  static Area all[6] = {{"x87 registers", 0, 32, 128}, {"xmm", 1, 160, 256}, {"ymm", 2, 0, 0}, {"k", 5, 0, 0},
                        {"zmm0-15", 6, 0, 0},          {"zmm16-31", 7, 0, 0}};
  for (Area& a : all) {
    uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (a.bit < 2 || a.size != 0) continue;
    __get_cpuid_count(0xd, a.bit, &eax, &ebx, &ecx, &edx);
    a.offset = ebx;
    a.size = eax;
  }
  count = 6;
  return all;
}

template <class T>
T get(const Registers& r, unsigned at) {
  T v;
  std::memcpy(&v, r.xsave.data() + at, sizeof v);
  return v;
}

std::string hex(const uint8_t* p, unsigned n) {
  std::string s;
  for (unsigned i = 0; i < n; ++i) s += fmt::format("{:02x}", p[n - 1 - i]);
  return s;
}

void compare_area(const Area& a, const Result& n, const Result& t, std::string& out) {
  unsigned step = a.bit == 5 ? 8 : a.bit == 6 ? 32 : a.bit == 7 ? 64 : 16, bytes = a.bit == 0 ? 10 : step;
  bool n_used = (get<uint64_t>(n.registers, 512) >> a.bit & 1) != 0;
  bool t_used = (get<uint64_t>(t.registers, 512) >> a.bit & 1) != 0;
  static constexpr uint8_t kZero[64] = {};
  for (unsigned i = 0; i * step < a.size; ++i) {
    const uint8_t* x = n_used ? n.registers.xsave.data() + a.offset + i * step : kZero;
    const uint8_t* y = t_used ? t.registers.xsave.data() + a.offset + i * step : kZero;
    if (std::memcmp(x, y, bytes) == 0) continue;
    out += fmt::format("  {}[{}] native {} translated {}\n", a.name, i, hex(x, bytes), hex(y, bytes));
  }
}

void compare_x87(const Result& n, const Result& t, std::string& out) {
  struct Field {
    const char* name;
    unsigned at, mask, initial;
  };
  static constexpr Field kFields[] = {{"fcw", 0, 0xffff, 0x37f}, {"fsw", 2, 0xffff, 0}, {"ftw", 4, 0xff, 0}};
  bool n_used = (get<uint64_t>(n.registers, 512) & 1) != 0,
       t_used = (get<uint64_t>(t.registers, 512) & 1) != 0;
  for (const Field& f : kFields) {
    unsigned x = (n_used ? get<uint16_t>(n.registers, f.at) : f.initial) & f.mask;
    unsigned y = (t_used ? get<uint16_t>(t.registers, f.at) : f.initial) & f.mask;
    if (x != y) out += fmt::format("  {} native {:04x} translated {:04x}\n", f.name, x, y);
  }
  auto x = get<uint32_t>(n.registers, 24), y = get<uint32_t>(t.registers, 24);
  // A masked form that traps on underflow: whether inexactness is noted beside it.
  bool underflow_trap = n.event.vector == 19 && t.event.vector == 19 && (y & 0x10) != 0 && (y & 0x800) == 0;
  if (underflow_trap && (x ^ y) == 0x20) return;
  if (x != y) out += fmt::format("  mxcsr native {:04x} translated {:04x}\n", x, y);
}

// Linux hides whether kernel addresses are mapped.
uint32_t shown_code(const Event& e) {
  return e.vector == 14 && e.address >> 47 != 0 ? e.code | 1 : e.code;
}

bool same_address(const Case& c, const Result& n, const Result& t) {
  uint64_t ignored = c.page_exact ? layout::kPage - 1 : 0;
  return ((n.event.address ^ t.event.address) & ~ignored) == 0;
}

bool is_memory_fault(const Event& e) {
  return e.vector >= 12 && e.vector <= 14;
}

// The documented deviations (docs/cpu-conformance.md).
bool accepted(const Input& input, const Result& n, const Result& t) {
  // A near branch out of the code segment, or to a non-canonical address, faults at the branch on this CPU,
  // at its target in the translator.
  uint64_t rip = t.registers.rip;
  auto top = static_cast<int64_t>(rip) >> 47;
  bool nowhere =
      input.c.mode == Mode::Long64 ? top != 0 && top != -1 : input.c.mode != Mode::Flat32 && rip > 0xffff;
  if (nowhere && n.event.vector == 13 && t.event.vector == 13) return true;
  if (input.c.near_branch && n.event.vector == 13) return true;
  // Misaligned and beyond the stack segment: #GP on this CPU, #SS in the translator.
  if (n.event.vector == 13 && t.event.vector == 12 && n.registers.rip == t.registers.rip) return true;
  // Which of several faults of one access is reported: at segment limits, for masked forms, with an x87
  // exception pending.
  bool same_place = n.registers.rip == t.registers.rip;
  bool segmented = input.c.mode == Mode::Segmented16 || input.c.mode == Mode::Segmented32;
  if (same_place && (segmented || input.c.page_exact) && is_memory_fault(n.event) && is_memory_fault(t.event))
    return true;
  if (same_place && segmented && n.event.vector == 16 && is_memory_fault(t.event)) return true;
  // Forms of several accesses: which of them faults.
  return input.c.any_fault && is_memory_fault(n.event) && is_memory_fault(t.event);
}

void compare_event(const Input& input, const Result& n, const Result& t, std::string& out) {
  bool same = n.event.vector == t.event.vector && same_address(input.c, n, t) &&
              (n.event.vector == 3 || shown_code(n.event) == shown_code(t.event));
  if (same) return;
  out += fmt::format("  event native #{} code {:x} cr2 {:x}, translated #{} code {:x} cr2 {:x}\n",
                     n.event.vector, n.event.code, n.event.address, t.event.vector, t.event.code,
                     t.event.address);
}

}  // namespace

std::string compare(const Input& input, const Result& n, const Result& t, bool exact_flags) {
  std::string out;
  if (accepted(input, n, t)) return out;
  compare_event(input, n, t, out);
  bool narrow_stack = input.c.mode == Mode::Segmented16;
  for (unsigned i = 0; i < 16; ++i) {
    uint64_t mask = narrow_stack && i == 4         ? 0xffff
                    : input.c.mode != Mode::Long64 ? 0xffffffff
                                                   : ~uint64_t{0};
    if (input.c.mode != Mode::Long64 && i >= 8) continue;
    uint64_t x = n.registers.gpr[i] & mask, y = t.registers.gpr[i] & mask;
    if (x != y) out += fmt::format("  {} native {:x} translated {:x}\n", kNames[i], x, y);
  }
  if (n.registers.rip != t.registers.rip) {
    out += fmt::format("  rip native {:x} translated {:x}\n", n.registers.rip, t.registers.rip);
  }
  uint64_t compared = exact_flags || n.event.vector == 3 ? kComparedFlags : kComparedFlags & ~uint64_t{0x8d5};
  uint64_t x = n.registers.rflags & compared, y = t.registers.rflags & compared;
  if (x != y) out += fmt::format("  flags native {:x} translated {:x} (differ in {:x})\n", x, y, x ^ y);
  compare_x87(n, t, out);
  unsigned count;
  const Area* all = areas(count);
  for (unsigned i = 0; i < count; ++i) compare_area(all[i], n, t, out);
  for (unsigned i = 0, shown = 0; i < layout::kWindowBytes && shown < 8; ++i) {
    if (n.window[i] == t.window[i]) continue;
    out += fmt::format("  memory {:x} native {:02x} translated {:02x}\n", layout::kWritable + i, n.window[i],
                       t.window[i]);
    ++shown;
  }
  return out;
}

std::string describe(const Input& input) {
  unsigned bits = code_bits(input.c.mode);
  ZydisMachineMode mode = bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                          : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                       : ZYDIS_MACHINE_MODE_LEGACY_16;
  std::string out = fmt::format("  mode {} seed {}\n", mode_name(input.c.mode), input.c.seed);
  for (unsigned i = 0; i < 16; ++i) {
    out += fmt::format("  {}={:x}{}", kNames[i], input.registers.gpr[i], i % 4 == 3 ? "\n" : "");
  }
  out += fmt::format("  flags={:x} mxcsr={:x} fcw={:x} fsw={:x} ftw={:x}\n", input.registers.rflags,
                     get<uint32_t>(input.registers, 24), get<uint16_t>(input.registers, 0),
                     get<uint16_t>(input.registers, 2), get<uint8_t>(input.registers, 4));
  uint64_t at = 0;
  for (uint8_t length : input.c.lengths) {
    ZydisDisassembledInstruction d;
    const uint8_t* bytes = input.c.code.data() + at;
    bool ok = ZYAN_SUCCESS(ZydisDisassembleIntel(mode, input.registers.rip + at, bytes, length, &d));
    std::string raw;
    for (unsigned i = 0; i < length; ++i) raw += fmt::format("{:02x}", bytes[i]);
    out += fmt::format("  {:08x} {:30} {}\n", input.registers.rip + at, raw, ok ? d.text : "?");
    at += length;
  }
  return out;
}

}  // namespace rhea::differential
