// The guest's vector and x87 state as HelpFull helpers find it: CpuState::xsave, a standard-format XSAVE64
// image in the host's layout (SDM vol. 1 13.4-13.5), and the pieces of guest memory that images are moved to
// and from. Ordinary C++; on the vCPU's thread.
#pragma once

#include <cstdint>
#include <cstring>

#include "engine/dbt/helpers/operands.h"

namespace rhea::dbt::helpers {

namespace xstate {
inline constexpr unsigned kX87 = 0, kSse = 1, kAvx = 2, kOpmask = 5, kZmmHi256 = 6, kHi16Zmm = 7, kPkru = 9,
                          kCount = 10;
inline constexpr uint64_t kX87Bit = 1, kSseBit = 2, kAvxBit = 4, kPkruBit = 1 << kPkru;
inline constexpr unsigned kMxcsr = 24, kSt = 32, kXmm = 160, kHeader = 512, kExtended = 576;
}  // namespace xstate

struct Component {
  uint32_t offset, size;
};

// Of the host's standard format, which CpuState::xsave uses. Size 0: the host does not have it.
const Component& host_component(unsigned index);

class FpuImage {
 public:
  explicit FpuImage(Core& core) : c_(core), image_(core.s.xsave) {}

  template <class T>
  T get(unsigned offset) const {
    T value;
    std::memcpy(&value, image_ + offset, sizeof value);
    return value;
  }
  template <class T>
  void set(unsigned offset, T value) {
    std::memcpy(image_ + offset, &value, sizeof value);
  }
  uint8_t* at(unsigned offset) { return image_ + offset; }

  uint64_t in_use() const { return get<uint64_t>(xstate::kHeader); }
  void mark(uint64_t bits, bool used) {
    set<uint64_t>(xstate::kHeader, used ? in_use() | bits : in_use() & ~bits);
  }
  // Writes the initial configuration of components that are marked unused, so that all bytes may be looked
  // at.
  void materialise();
  // Sets TOP; the image keeps registers by their distance from it, so that they move.
  void set_top(unsigned top);
  unsigned top() const { return get<uint16_t>(2) >> 11 & 7; }
  // An unmasked x87 exception waits to be reported (#MF) by the next waiting instruction.
  bool exception_pending() const { return (in_use() & 1) != 0 && (get<uint16_t>(2) & 0x80) != 0; }
  uint32_t mxcsr() const { return get<uint32_t>(xstate::kMxcsr); }
  uint32_t mxcsr_mask() const;

 private:
  Core& c_;
  uint8_t* image_;
};

// The last x87 instruction and its operand, in guest terms.
struct X87Pointers {
  uint64_t fip, fdp;
  uint16_t fcs, fds, fop;
};
X87Pointers guest_pointers(Core& c, const FpuImage& image);

// Set by the engine: true when host_pc is in translated code, then guest_rip is the instruction's (0 when
// unknown).
using LocateHostPc = bool (*)(Core& c, uint64_t host_pc, uint64_t& guest_rip);
extern LocateHostPc locate_host_pc;

// Memory operands larger than the accessors take. `offset` is the operand's; both check everything first.
bool read_block(Core& c, const Insn& insn, uint64_t add, void* to, unsigned size);
bool write_block(Core& c, const Insn& insn, uint64_t add, const void* from, unsigned size);
bool probe_block(Core& c, const Insn& insn, uint64_t add, unsigned size);
bool alignment_checked(const Core& c);  // #AC is on
// #GP(0) unless the operand is aligned.
bool require_alignment(Core& c, const Insn& insn, unsigned alignment);
// #NM for CR0.TS (and EM when `emulation` matters).
bool require_fpu(Core& c, bool emulation);

}  // namespace rhea::dbt::helpers
