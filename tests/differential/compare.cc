#include "compare.h"

#include <Zydis/Zydis.h>
#include <cpuid.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "accept.h"
#include "kinds.h"

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
  if (x != y) out += fmt::format("  mxcsr native {:04x} translated {:04x}\n", x, y);
}

// Linux hides whether kernel addresses are mapped.
uint32_t shown_code(const Event& e) {
  return e.vector == 14 && e.address >> 47 != 0 ? e.code | 1 : e.code;
}

bool same_address(const Case& c, const Result& n, const Result& t) {
  uint64_t ignored = (all_traits(c) & trait::kMasked) != 0 ? layout::kPage - 1 : 0;
  return ((n.event.address ^ t.event.address) & ~ignored) == 0;
}

void compare_segments(const Result& n, const Result& t, std::string& out) {
  static constexpr const char* kSegments[6] = {"es", "cs", "ss", "ds", "fs", "gs"};
  auto null = [](uint16_t s) { return s < 4 ? uint16_t{0} : s; };  // an interrupt clears its RPL
  for (unsigned i = 0; i < 6; ++i) {
    uint16_t x = n.registers.selector[i], y = t.registers.selector[i];
    if (null(x) != null(y)) out += fmt::format("  {} native {:x} translated {:x}\n", kSegments[i], x, y);
  }
  uint64_t x = n.registers.fs_base, y = t.registers.fs_base;
  if (x != y) out += fmt::format("  fs base native {:x} translated {:x}\n", x, y);
  x = n.registers.gs_base, y = t.registers.gs_base;
  if (x != y) out += fmt::format("  gs base native {:x} translated {:x}\n", x, y);
}

// The pointers of the last x87 instruction: of its opcode and operand the translator knows nothing, of its
// place not always.
bool in_pointers(const Case& c, uint64_t at, uint8_t translated) {
  at -= c.image_at;
  bool no_place = translated == 0;
  switch (c.image) {
    case Image::None: return false;
    case Image::Env16: return at - 8 < 6 || (no_place && at - 6 < 2);
    case Image::Env32: return at - 16 < 12 || (no_place && at - 12 < 4);
    case Image::Fxsave:
    case Image::Xsave:
    case Image::Xsavec: return at - 6 < 2 || at - 16 < 8 || (no_place && at - 8 < 8);
  }
  return false;
}

constexpr unsigned kMovedComponents = 832;  // what stands before is in the same place everywhere
constexpr unsigned kImageEnd = 2696;

// The host has components that the guest has not (PKRU).
bool host_has_more() {
  uint32_t eax, edx;
  // SAFETY: the native side needs XSAVE, too.
  asm("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  return (eax & ~0xe7u) != 0;
}

bool in_moved_components(const Case& c, uint64_t at) {
  static const bool more = host_has_more();
  at -= c.image_at;
  if (more && c.image == Image::Xsavec && at - 576 < kImageEnd - 576) return true;
  if (more && (c.image == Image::Xsave || c.image == Image::Xsavec) && (at == 513 || at == 521)) return true;
  return c.image == Image::Xsave && at - kMovedComponents < kImageEnd - kMovedComponents;
}

void compare_moved_components(const Input& input, const Result& n, const Result& t, std::string& out) {
  static constexpr struct { unsigned bit, offset; } kPlaces[] = {{5, 1088}, {6, 1152}, {7, 1664}};
  const Case& c = input.c;
  uint64_t end = layout::kCode + c.code_offset + c.code.size() - segment_base(input.registers.selector[kCs]);
  bool reached = n.event.vector == 3 && n.registers.rip == end;
  if (c.image != Image::Xsave || !reached || c.image_at + 2688 > layout::kWindowBytes) return;
  unsigned count;
  const Area* all = areas(count);
  for (const auto& place : kPlaces) {
    const Area& a = *std::find_if(all, all + count, [&](const Area& x) { return x.bit == place.bit; });
    bool requested = (n.registers.gpr[0] >> a.bit & 1) != 0;
    bool used = (n.window[c.image_at + 512] >> a.bit & 1) != 0;
    // Outside 64-bit mode not all of it is there.
    unsigned size = c.mode == Mode::Long64 ? a.size : a.bit == 7 ? 0 : a.bit == 6 ? 256 : a.size;
    if (!requested || !used || a.offset + a.size > 2688) continue;
    const uint8_t *x = n.window.data() + c.image_at + a.offset,
                  *y = t.window.data() + c.image_at + place.offset;
    if (std::memcmp(x, y, size) != 0) out += fmt::format("  {} in the image\n", a.name);
  }
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
  bool several = (all_traits(input.c) & trait::kSeveral) != 0;
  for (unsigned i = 0; i < 16; ++i) {
    // The host's kernel leaves something in the upper half of RSP when it returns to a 16-bit stack; of other
    // registers KMOVQ with VEX.W set, which 32-bit code does not see, writes 64 bits on this CPU. Far returns
    // that release parameters carry into the upper half of ESP. Of RSP's upper half 32-bit code leaves
    // nothing.
    bool wide = input.c.mode == Mode::Long64 && (i != 4 || n.registers.selector[kCs] == kUserCode64);
    uint64_t mask = wide ? ~uint64_t{0} : 0xffffffff;
    if (i == 4 && input.c.mode == Mode::Segmented16 && several) mask = 0xffff;
    uint64_t x = n.registers.gpr[i] & mask, y = t.registers.gpr[i] & mask;
    if (x != y) out += fmt::format("  {} native {:x} translated {:x}\n", kNames[i], x, y);
  }
  if (n.registers.rip != t.registers.rip) {
    out += fmt::format("  rip native {:x} translated {:x}\n", n.registers.rip, t.registers.rip);
  }
  uint64_t compared = exact_flags || n.event.vector == 3 ? kComparedFlags : kComparedFlags & ~kStatusFlags;
  compared &= ~uint64_t{input.c.undefined_flags};
  // Single steps inside a repeated string instruction keep RF.
  if (n.event.vector == 1 && (t.registers.rflags & 0x10000) == 0) compared &= ~uint64_t{0x10000};
  uint64_t x = n.registers.rflags & compared, y = t.registers.rflags & compared;
  if (x != y) out += fmt::format("  flags native {:x} translated {:x} (differ in {:x})\n", x, y, x ^ y);
  compare_segments(n, t, out);
  compare_x87(n, t, out);
  unsigned count;
  const Area* all = areas(count);
  for (unsigned i = 0; i < count; ++i) compare_area(all[i], n, t, out);
  compare_moved_components(input, n, t, out);
  if (std::memcmp(n.window.data(), t.window.data(), n.window.size()) == 0) return out;
  for (unsigned i = 0, shown = 0; i < layout::kWindowBytes && shown < 8; ++i) {
    if (n.window[i] == t.window[i] || in_pointers(input.c, i, t.window[i])) continue;
    if (in_moved_components(input.c, i)) continue;
    out += fmt::format("  memory {:x} native {:02x} translated {:02x} (was {:02x})\n", layout::kWritable + i,
                       n.window[i], t.window[i], input.window[i]);
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
  const auto& s = input.registers.selector;
  out += fmt::format("  es={:x} cs={:x} ss={:x} ds={:x} fs={:x} ({:x}) gs={:x} ({:x})\n", s[kEs], s[kCs],
                     s[kSs], s[kDs], s[kFs], input.registers.fs_base, s[kGs], input.registers.gs_base);
  uint64_t at = 0;
  for (uint8_t length : input.c.lengths) {
    if (at >= input.c.code.size()) break;
    length = static_cast<uint8_t>(std::min<size_t>(length, input.c.code.size() - at));
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
