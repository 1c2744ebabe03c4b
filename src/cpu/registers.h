// Control, debug and flag registers as instructions write them, with their checks and their consequences.
// SDM vol. 2 (MOV CRn, MOV DRn, LMSW, CLTS, POPF, STI, CLI, XSETBV), vol. 3A 2.5.
#pragma once

#include <cstdint>

#include "cpu/core.h"

namespace rhea::cpu {

bool write_cr0(
    Core& c,
    uint64_t value);  // #GP for impossible combinations; enters/leaves long mode; loads PDPTEs' faults
bool write_cr3(Core& c, uint64_t value);  // bit 63 with PCIDE: keep
bool write_cr4(Core& c, uint64_t value);
bool write_cr8(Core& c, uint64_t value);
bool read_cr8(Core& c, uint64_t& value);
bool write_efer(Core& c, uint64_t value);
bool write_xcr0(Core& c, uint64_t value);
bool read_dr(Core& c, unsigned n, uint64_t& value);  // DR4/5 aliases or #UD, general detect
bool write_dr(Core& c, unsigned n, uint64_t value);

// POPF and the flags part of IRET at the current CPL/IOPL/mode: which bits may change. opsize 2, 4, 8.
void write_flags(Core& c, uint64_t value, unsigned opsize);
bool popf(Core& c, uint64_t value, unsigned opsize);    // with the VM86/VME checks
bool pushf(Core& c, unsigned opsize, uint64_t& value);  // value to push; #GP in VM86 below IOPL 3
bool cli(Core& c);
bool sti(Core& c);  // sets the interrupt shadow when IF was 0

// RDMSR/WRMSR, RDTSC(P) value, RDPMC. False: #GP(0).
bool read_msr(Core& c, uint32_t index, uint64_t& value);
bool write_msr(Core& c, uint32_t index, uint64_t value);
uint64_t guest_tsc(const Core& c);
uint64_t scaled_tsc(const Core& c, uint64_t host_tsc);  // at the guest's rate, without its offset

}  // namespace rhea::cpu
