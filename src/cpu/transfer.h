// What the sources behind control_transfer.h and segmentation.h share: stacks under construction, gate and
// TSS access, code segment checks. SDM vol. 3A chapters 5-7. Internal to src/cpu.
#pragma once

#include <cstdint>

#include "cpu/core.h"
#include "cpu/paging.h"
#include "cpu/segmentation.h"

namespace rhea::cpu {

// Types of system descriptors (SDM vol. 3A table 3-2).
enum SystemType : uint32_t {
  kTss16 = 1,
  kLdt = 2,
  kTss16Busy = 3,
  kCallGate16 = 4,
  kTaskGate = 5,
  kInterruptGate16 = 6,
  kTrapGate16 = 7,
  kTss32 = 9,
  kTss32Busy = 11,
  kCallGate32 = 12,
  kInterruptGate32 = 14,
  kTrapGate32 = 15,
};
inline constexpr uint32_t kTssBusyBit = 2;
inline constexpr uint32_t kDescriptorAccessed =
    0x100;  // in Descriptor::high; bit 41 of the descriptor is 0x200

inline uint32_t selector_code(uint16_t selector) {
  return selector & 0xfffcu;
}
inline bool null_selector(uint16_t selector) {
  return (selector & 0xfffc) == 0;
}
inline unsigned rpl(uint16_t selector) {
  return selector & 3;
}

inline bool is_segment(uint32_t a) {
  return (a & attr::kS) != 0;
}
inline bool is_code(uint32_t a) {
  return (a & (attr::kS | attr::kCode)) == (attr::kS | attr::kCode);
}
inline bool is_conforming_code(uint32_t a) {
  return is_code(a) && (a & attr::kConforming) != 0;
}
inline bool is_writable_data(uint32_t a) {
  return (a & (attr::kS | attr::kCode | attr::kWritable)) == (attr::kS | attr::kWritable);
}
inline bool is_present(uint32_t a) {
  return (a & attr::kPresent) != 0;
}
inline unsigned dpl_of(uint32_t a) {
  return (a >> attr::kDplShift) & 3;
}

inline bool is_canonical(const Core& c, uint64_t linear) {
  unsigned shift = (c.s.cr4 & cr4::LA57) != 0 ? 7 : 16;
  return static_cast<uint64_t>(static_cast<int64_t>(linear << shift) >> shift) == linear;
}
// Linear addresses wrap at 4 GiB outside long mode.
inline uint64_t wrap_linear(const Core& c, uint64_t linear) {
  return c.s.long_mode() ? linear : linear & 0xffffffffu;
}

// descriptor.cc
// The upper half of a 16-byte system descriptor; `d` holds the lower. False: vector(selector) or #PF.
bool fetch_upper_half(Core& c, uint16_t selector, Descriptor& d, uint8_t vector);
bool set_accessed(Core& c, Descriptor& d);  // locked, only when clear
bool set_tss_busy(Core& c, uint64_t address, bool busy);
void set_null_segment(Core& c, SegIndex index, uint16_t selector);
void set_flat_segment(Core& c, SegIndex index, uint16_t selector,
                      uint32_t attributes);  // SYSCALL and friends
void set_vm86_segment(Core& c, SegIndex index, uint16_t selector);
// ES, DS, FS and GS that the new, outer CPL may not use become null.
void drop_inner_segments(Core& c);
// Whether translated code sees different segments than before.
bool same_segment(const Segment& a, const Segment& b);

// A code segment's limit, or canonical form for a 64-bit one. False: #GP(0).
bool check_code_offset(Core& c, uint32_t attributes, uint32_t limit, uint64_t offset);

// stack.cc
// A stack that is pushed to or popped from before it is committed.
struct Stack {
  uint64_t base;
  uint64_t sp;
  uint64_t mask;  // of sp: 16, 32 or 64 bits
  uint32_t limit;
  uint32_t attr;
  uint16_t error;  // code of #SS
  bool wide;       // 64-bit: no limit
  Privilege privilege;
};
Stack current_stack(const Core& c);
// A stack segment about to be loaded, at the privilege `cpl`; `wide` as for 64-bit code.
Stack new_stack(const Descriptor& d, uint16_t selector, uint64_t sp, unsigned cpl);
Stack new_stack64(uint64_t sp, unsigned cpl);
// values[0] is pushed first. size: 2, 4 or 8; count up to 10.
bool push_values(Core& c, Stack& stack, const uint64_t* values, unsigned count, unsigned size);
bool pop_values(Core& c, Stack& stack, uint64_t* values, unsigned count, unsigned size);
// Stores stack.sp as the stack's width has it.
void set_stack_pointer(Core& c, uint64_t mask, uint64_t sp);
// SS:ESP of an inner ring from a 16- or 32-bit TSS, checked as a stack for `cpl`. False: #TS or #SS, #PF.
bool inner_stack_from_tss(Core& c, unsigned cpl, uint16_t& selector, uint64_t& sp, Descriptor& d);
// RSPn (ist 0) or ISTn. False: #TS(TR).
bool stack_from_tss64(Core& c, unsigned cpl, unsigned ist, uint64_t& sp);

// Checks an SS selector that a return to ring `cpl` loads. False: #GP or #SS with the selector, #PF.
bool check_return_stack(Core& c, uint16_t selector, unsigned cpl, Descriptor& d);

// far_transfer.cc
// The code segment of an IRET or far RET, whose RPL is the new CPL. False: #GP or #NP with the selector.
bool check_return_code(Core& c, uint16_t selector, Descriptor& d);

// call_gate.cc
bool far_through_gate(Core& c, uint16_t selector, Descriptor& gate, bool call, uint64_t next_rip);

// interrupt.cc
bool deliver_event(Core& c, const struct Event& e, bool resume_flag);

inline void told(Core& c) {
  c.hooks->mode_changed(c);
}

}  // namespace rhea::cpu
