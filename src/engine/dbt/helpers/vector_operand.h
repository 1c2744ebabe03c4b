// Vector instructions whose memory operand is not one plain extent (masks, gathers): how their operands lie,
// from a second look by the decoder, and vector registers in CpuState::xsave. Ordinary C++, on the vCPU's
// thread.
#pragma once

#include <cstdint>

#include "engine/dbt/helpers/fpu_image.h"

namespace rhea::dbt::helpers {

struct VectorOperands {
  bool valid;
  bool store;       // the memory operand is the destination
  bool compresses;  // active elements are contiguous in memory
  bool scalar;
  bool suppresses;        // what the mask leaves out cannot fault
  bool whole;             // memory is one operand whatever the mask
  bool aligned;           // #GP unless aligned to its size
  uint8_t memory_bytes;   // whole extent
  uint8_t elements;       // of memory, as the mask counts them
  uint8_t mask_bits;      // of the mask that matter
  uint8_t data_register;  // register operand that is not a mask and comes first (destination, or source of a
                          // store)
  uint8_t second_register;  // VEX.vvvv: mask of VMASKMOV and VEX gathers
  uint8_t mask_register;    // k1-k7, or 0
  uint8_t vector_bytes;
};

// Cached by instruction bytes per thread.
const VectorOperands& vector_operands(const Insn& insn);

// Registers 0-31; bytes 16, 32 or 64. Writing clears the register above `bytes`.
void read_vector(const FpuImage& image, unsigned reg, void* to, unsigned bytes);
void write_vector(FpuImage& image, unsigned reg, const void* from, unsigned bytes);
uint64_t read_mask(const FpuImage& image, unsigned reg);
void write_mask(FpuImage& image, unsigned reg, uint64_t value);

// Runs the instruction on this CPU with the guest's vector state and its memory operand at `memory` (64
// bytes). False: #XM (or #UD without CR4.OSXMMEXCPT), nothing changed but MXCSR's flags.
bool run_natively(Core& c, const Insn& insn, void* memory);

// For the handler of SIGFPE: whether the host pc is that instruction; it has trapped, and this thread goes on
// at `resume`.
bool native_trap(uintptr_t pc, uintptr_t& resume);

}  // namespace rhea::dbt::helpers
