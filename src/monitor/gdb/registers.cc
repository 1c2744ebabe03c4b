#include "monitor/gdb/registers.h"

#include <cstring>

namespace rhea::gdb {

using namespace cpu;

namespace {

// What a number stands for; `index` counts within the group.
enum class Group : uint8_t { Gpr, Rip, Flags, Segment, St, Fpu, Xmm, Mxcsr, Base, Control };
struct Place {
  Group group;
  unsigned index;
  unsigned bytes;
};

constexpr unsigned kRip = 16, kFlags = 17, kSegments = 18, kSt = 24, kFpu = 32, kXmm = 40, kMxcsr = 56,
                   kBases = 57, kControl = 59, kCount = 65;
constexpr Reg kGprOrder[16] = {RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8, R9, R10, R11, R12, R13, R14, R15};
constexpr SegIndex kSegmentOrder[6] = {CS, SS, DS, ES, FS, GS};

// Offsets in an FXSAVE image, SDM vol. 1 10.5.1.
constexpr unsigned kFxFcw = 0, kFxFsw = 2, kFxFtw = 4, kFxFop = 6, kFxFip = 8, kFxFdp = 16, kFxMxcsr = 24,
                   kFxSt = 32, kFxXmm = 160, kXstateBv = 512;

bool place_of(unsigned number, Place& out) {
  if (number < kRip) {
    out = {Group::Gpr, number, 8};
  } else if (number == kRip) {
    out = {Group::Rip, 0, 8};
  } else if (number == kFlags) {
    out = {Group::Flags, 0, 4};
  } else if (number < kSt) {
    out = {Group::Segment, number - kSegments, 4};
  } else if (number < kFpu) {
    out = {Group::St, number - kSt, 10};
  } else if (number < kXmm) {
    out = {Group::Fpu, number - kFpu, 4};
  } else if (number < kMxcsr) {
    out = {Group::Xmm, number - kXmm, 16};
  } else if (number == kMxcsr) {
    out = {Group::Mxcsr, 0, 4};
  } else if (number < kControl) {
    out = {Group::Base, number - kBases, 8};
  } else if (number < kCount) {
    out = {Group::Control, number - kControl, 8};
  } else {
    return false;
  }
  return true;
}

template <class T>
T field(const CpuState& s, unsigned offset) {
  T value{};
  std::memcpy(&value, s.xsave + offset, sizeof value);
  return value;
}

template <class T>
void set_field(CpuState& s, unsigned offset, uint64_t value) {
  T narrow = static_cast<T>(value);
  std::memcpy(s.xsave + offset, &narrow, sizeof narrow);
}

// The full tag word from FXSAVE's abridged one: 0 valid, 1 zero, 2 special, 3 empty, by physical register.
uint32_t full_tags(const CpuState& s) {
  unsigned top = field<uint16_t>(s, kFxFsw) >> 11 & 7;
  uint32_t tags = 0;
  for (unsigned i = 0; i < 8; ++i) {
    unsigned at = kFxSt + ((i - top) & 7) * 16;
    auto mantissa = field<uint64_t>(s, at);
    unsigned exponent = field<uint16_t>(s, at + 8) & 0x7fff;
    uint32_t tag = 0;
    if ((s.xsave[kFxFtw] >> i & 1) == 0) {
      tag = 3;
    } else if (exponent == 0 && mantissa == 0) {
      tag = 1;
    } else if (exponent == 0 || exponent == 0x7fff || mantissa >> 63 == 0) {
      tag = 2;
    }
    tags |= tag << (2 * i);
  }
  return tags;
}

// fctrl, fstat, ftag, fiseg, fioff, foseg, fooff, fop.
uint32_t read_fpu(const CpuState& s, unsigned index) {
  switch (index) {
    case 0: return field<uint16_t>(s, kFxFcw);
    case 1: return field<uint16_t>(s, kFxFsw);
    case 2: return full_tags(s);
    case 3: return field<uint16_t>(s, kFxFip + 4);
    case 4: return field<uint32_t>(s, kFxFip);
    case 5: return field<uint16_t>(s, kFxFdp + 4);
    case 6: return field<uint32_t>(s, kFxFdp);
    default: return field<uint16_t>(s, kFxFop);
  }
}

void write_fpu(CpuState& s, unsigned index, uint32_t value) {
  switch (index) {
    case 0: set_field<uint16_t>(s, kFxFcw, value); return;
    case 1: set_field<uint16_t>(s, kFxFsw, value); return;
    case 2: {
      uint8_t abridged = 0;
      for (unsigned i = 0; i < 8; ++i) {
        if ((value >> (2 * i) & 3) != 3) abridged = static_cast<uint8_t>(abridged | 1u << i);
      }
      s.xsave[kFxFtw] = abridged;
      return;
    }
    case 3: set_field<uint16_t>(s, kFxFip + 4, value); return;
    case 4: set_field<uint32_t>(s, kFxFip, value); return;
    case 5: set_field<uint16_t>(s, kFxFdp + 4, value); return;
    case 6: set_field<uint32_t>(s, kFxFdp, value); return;
    default: set_field<uint16_t>(s, kFxFop, value & 0x7ff); return;
  }
}

uint64_t read_integer(const CpuState& s, const Place& at) {
  switch (at.group) {
    case Group::Gpr: return s.gpr[kGprOrder[at.index]];
    case Group::Rip: return s.rip;
    case Group::Flags: return s.rflags();
    case Group::Segment: return s.seg[kSegmentOrder[at.index]].selector;
    case Group::Fpu: return read_fpu(s, at.index);
    case Group::Mxcsr: return field<uint32_t>(s, kFxMxcsr);
    case Group::Base: return s.seg[at.index == 0 ? FS : GS].base;
    case Group::Control: {
      const uint64_t values[] = {s.cr0, s.cr2, s.cr3, s.cr4, s.efer, s.kernel_gs_base};
      return values[at.index];
    }
    case Group::St:
    case Group::Xmm: break;
  }
  return 0;
}

}  // namespace

unsigned register_count() {
  return kCount;
}

unsigned register_bytes(unsigned number) {
  Place at{};
  return place_of(number, at) ? at.bytes : 0;
}

std::vector<uint8_t> read_register(const CpuState& s, unsigned number) {
  Place at{};
  if (!place_of(number, at)) return {};
  std::vector<uint8_t> out(at.bytes);
  if (at.group == Group::St) {
    std::memcpy(out.data(), s.xsave + kFxSt + at.index * 16, 10);
  } else if (at.group == Group::Xmm) {
    std::memcpy(out.data(), s.xsave + kFxXmm + at.index * 16, 16);
  } else {
    uint64_t value = read_integer(s, at);
    std::memcpy(out.data(), &value, at.bytes);
  }
  return out;
}

bool write_register(CpuState& s, unsigned number, std::span<const uint8_t> bytes) {
  Place at{};
  if (!place_of(number, at) || bytes.size() != at.bytes) return false;
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), bytes.size() < 8 ? bytes.size() : 8);
  if (at.group >= Group::St && at.group <= Group::Mxcsr) s.xsave[kXstateBv] |= 3;
  switch (at.group) {
    case Group::Gpr: s.gpr[kGprOrder[at.index]] = value; return true;
    case Group::Rip: s.rip = value; return true;
    case Group::Flags: {
      // VM changes the mode with everything that hangs on it: not here.
      uint64_t keep = rflags::VM;
      s.set_rflags((value & ~keep) | (s.rflags() & keep));
      return true;
    }
    case Group::Segment: return s.seg[kSegmentOrder[at.index]].selector == value;
    case Group::St: std::memcpy(s.xsave + kFxSt + at.index * 16, bytes.data(), 10); return true;
    case Group::Fpu: write_fpu(s, at.index, static_cast<uint32_t>(value)); return true;
    case Group::Xmm: std::memcpy(s.xsave + kFxXmm + at.index * 16, bytes.data(), 16); return true;
    case Group::Mxcsr: set_field<uint32_t>(s, kFxMxcsr, value & 0xffff); return true;
    case Group::Base: s.seg[at.index == 0 ? FS : GS].base = value; return true;
    case Group::Control: return read_integer(s, at) == value;
  }
  return false;
}

}  // namespace rhea::gdb
