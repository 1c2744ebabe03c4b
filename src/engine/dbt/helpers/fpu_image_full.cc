#include <cpuid.h>

#include <array>

#include "engine/dbt/helpers/fpu_image.h"

namespace rhea::dbt::helpers {

LocateHostPc locate_host_pc = nullptr;

const Component& host_component(unsigned index) {
  static const auto all = [] {
    std::array<Component, xstate::kCount> found{};
    for (unsigned i = 2; i < xstate::kCount; ++i) {
      uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
      __get_cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx);
      if (uint64_t{eax} + ebx <= cpu::kXsaveBytes) found[i] = {ebx, eax};
    }
    found[xstate::kX87] = {0, xstate::kXmm};
    found[xstate::kSse] = {xstate::kXmm, 256};
    return found;
  }();
  return all[index];
}

void FpuImage::materialise() {
  uint64_t used = in_use();
  if ((used & xstate::kX87Bit) == 0) {
    std::memset(image_, 0, xstate::kMxcsr);
    std::memset(image_ + xstate::kSt, 0, xstate::kXmm - xstate::kSt);
    set<uint16_t>(0, 0x37f);
  }
  for (unsigned i = 1; i < xstate::kCount; ++i) {
    const Component& component = host_component(i);
    if ((used >> i & 1) == 0 && component.size != 0)
      std::memset(image_ + component.offset, 0, component.size);
  }
}

void FpuImage::set_top(unsigned top) {
  uint8_t registers[8 * 16];
  std::memcpy(registers, image_ + xstate::kSt, sizeof registers);
  unsigned moved = (top - this->top()) & 7;
  for (unsigned i = 0; i < 8; ++i)
    std::memcpy(image_ + xstate::kSt + 16 * i, registers + 16 * ((i + moved) & 7), 16);
  set<uint16_t>(2, static_cast<uint16_t>((get<uint16_t>(2) & ~0x3800u) | top << 11));
}

uint32_t FpuImage::mxcsr_mask() const {
  static const uint32_t mask = [] {
    alignas(16) uint8_t area[512] = {};
    // SAFETY: FXSAVE writes 512 bytes.
    asm volatile("fxsave %0" : "=m"(area));
    uint32_t found;
    std::memcpy(&found, area + 28, sizeof found);
    return found != 0 ? found : 0xffbf;
  }();
  return mask;
}

X87Pointers guest_pointers(Core& c, const FpuImage& image) {
  X87Pointers p{.fip = image.get<uint64_t>(8),
                .fdp = image.get<uint64_t>(16),
                .fcs = 0,
                .fds = 0,
                .fop = image.get<uint16_t>(6)};
  if ((image.in_use() & xstate::kX87Bit) == 0) return {};
  uint64_t rip = 0;
  if (locate_host_pc == nullptr) return {};
  if (!locate_host_pc(c, p.fip, rip)) return p;  // as the guest loaded them
  return {.fip = rip, .fdp = 0, .fcs = 0, .fds = 0, .fop = 0};
}

namespace {

constexpr unsigned kPiece = 64;

// What #AC demands of x87 environments and states; other images have rules of their own.
unsigned environment_alignment(unsigned size) {
  return size == 14 || size == 94 ? 2 : size == 28 || size == 108 ? 4 : 1;
}

// Calls access(linear, position, size) for pieces of at most 64 bytes.
template <class Access>
bool for_pieces(Core& c, const Insn& insn, uint64_t add, unsigned size, bool write, Access access) {
  auto segment = static_cast<cpu::SegIndex>(insn.mem.seg);
  uint64_t base = effective_offset(c, insn) + add;
  for (unsigned done = 0; done < size;) {
    unsigned piece = size - done < kPiece ? size - done : kPiece;
    uint64_t linear;
    if (!cpu::to_linear(c, segment, base + done, piece, write, linear)) return false;
    if (done == 0 && (linear & (environment_alignment(size) - 1)) != 0 && alignment_checked(c))
      return c.raise(vec::AC, 0);
    if (!access(linear, done, piece)) return false;
    done += piece;
  }
  return true;
}

}  // namespace

bool probe_block(Core& c, const Insn& insn, uint64_t add, unsigned size) {
  bool stack = insn.mem.seg == cpu::SS;
  return for_pieces(c, insn, add, size, true, [&](uint64_t linear, unsigned, unsigned piece) {
    return cpu::probe_write(c, linear, piece, cpu::current_privilege(c), stack);
  });
}

bool read_block(Core& c, const Insn& insn, uint64_t add, void* to, unsigned size) {
  bool stack = insn.mem.seg == cpu::SS;
  return for_pieces(c, insn, add, size, false, [&](uint64_t linear, unsigned done, unsigned piece) {
    return cpu::read_linear(c, linear, static_cast<uint8_t*>(to) + done, piece, cpu::current_privilege(c),
                            stack);
  });
}

bool write_block(Core& c, const Insn& insn, uint64_t add, const void* from, unsigned size) {
  if (size > kPiece && !probe_block(c, insn, add, size)) return false;
  bool stack = insn.mem.seg == cpu::SS;
  return for_pieces(c, insn, add, size, true, [&](uint64_t linear, unsigned done, unsigned piece) {
    return cpu::write_linear(c, linear, static_cast<const uint8_t*>(from) + done, piece,
                             cpu::current_privilege(c), stack);
  });
}

bool alignment_checked(const Core& c) {
  return c.s.cpl == 3 && (c.s.cr0 & cpu::cr0::AM) != 0 && (c.s.system_flags & cpu::rflags::AC) != 0;
}

bool require_alignment(Core& c, const Insn& insn, unsigned alignment) {
  // Before the address itself is checked.
  bool based = insn.code_bits != 64 || insn.mem.seg == cpu::FS || insn.mem.seg == cpu::GS;
  uint64_t linear = effective_offset(c, insn) + (based ? c.s.seg[insn.mem.seg].base : 0);
  return (linear & (alignment - 1)) == 0 || c.raise(vec::GP, 0);
}

bool require_fpu(Core& c, bool emulation) {
  uint64_t bits = cpu::cr0::TS | (emulation ? cpu::cr0::EM : 0);
  return (c.s.cr0 & bits) == 0 || c.raise(vec::NM);
}

}  // namespace rhea::dbt::helpers
