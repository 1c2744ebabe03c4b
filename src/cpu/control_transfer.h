// Everything that moves control other than a near jump: far transfers, call gates, task switch, interrupts
// and exceptions, IRET, SYSCALL/SYSRET, SYSENTER/SYSEXIT. SDM vol. 3A chapters 5-7, vol. 2 per instruction.
// All change Core::s only on success, unless the manual says otherwise, and call EngineHooks::mode_changed
// when they change what translated code depends on. Operand size is in bytes: 2, 4 or 8. `s.rip` is the
// address of the instruction on entry; `next_rip` that of the one after it.
#pragma once

#include <cstdint>

#include "cpu/core.h"

namespace rhea::cpu {

enum class EventKind : uint8_t {
  External,     // interrupt from the APIC or 8259, NMI
  Exception,    // fault or trap with its architectural frame rip
  SoftwareInt,  // INT n
  Int3OrInto,   // INT3, INTO (DPL checked like INT n, no VM86 IOPL check)
  Int1,         // ICEBP: no DPL check
};

struct Event {
  EventKind kind;
  uint8_t vector;
  bool has_code;
  uint32_t code;
  uint64_t return_rip;  // pushed as the return address
};

// Core::fault.vector after a triple fault or an impossible RSM: there is nothing to deliver, the processor
// shuts down.
inline constexpr uint8_t kShutdown = 0xff;

// Enters the handler through the IDT (or the real-mode vector table), contributory and page faults during
// delivery becoming #DF, and a fault during that a triple fault. True: s.rip is the handler. False: triple
// fault (kShutdown). Ends an interrupt shadow; a delivered NMI blocks further ones.
bool deliver(Core& c, Event e);
// The recorded Core::fault, with s.rip as the faulting instruction; sets CR2, DR6, RF as the vector demands.
// For a #DB trap s.rip is the next instruction. False: triple fault, also when the fault is kShutdown
// already.
bool deliver_fault(Core& c);

bool jmp_far(Core& c, uint16_t selector, uint64_t offset, unsigned opsize, uint64_t next_rip);
bool call_far(Core& c, uint16_t selector, uint64_t offset, unsigned opsize, uint64_t next_rip);
bool ret_far(Core& c, unsigned opsize, uint32_t pop_bytes);
// next_rip is where the task that is left goes on when NT makes this a task switch. Unblocks NMIs even when
// it faults.
bool iret(Core& c, unsigned opsize, uint64_t next_rip);
bool syscall(Core& c, uint64_t next_rip);
bool sysret(Core& c, unsigned opsize);
bool sysenter(Core& c, uint64_t next_rip);
bool sysexit(Core& c, unsigned opsize);
// INT n, INT3, INTO, INT1 as instructions (checks VM86 and virtual-8086 extensions). Faults on the way to the
// handler have been delivered when it returns true; false is a fault of the instruction itself (VM86) or
// kShutdown.
bool software_interrupt(Core& c, EventKind kind, uint8_t vector, uint64_t next_rip);

enum class TaskSwitchReason : uint8_t { Jmp, Call, Iret, Gate };
bool task_switch(Core& c, uint16_t tss_selector, TaskSwitchReason reason, uint64_t next_rip, bool has_code,
                 uint32_t code);

// CPL/IOPL and the TSS I/O permission bitmap. False: #GP(0).
bool check_io_permission(Core& c, uint16_t port, unsigned size);

// System-management mode (SDM vol. 3C chapter 32; 64-bit AMD64/EM64T save-state map, revision as SeaBIOS and
// OVMF use). Core::memory and Core::smm_memory (where set) are exchanged while in SMM.
void enter_smm(Core& c);
bool rsm(
    Core& c);  // false: #UD outside SMM, or shutdown recorded as kShutdown when the saved state is impossible

// What INIT leaves (SDM vol. 3A table 10-1); power-up is the same on a zeroed core with x87/SSE at their
// reset values.
void reset_core(Core& c, bool power_up);

}  // namespace rhea::cpu
