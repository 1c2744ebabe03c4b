// One vCPU's core as the system-level semantics (segmentation, gates, paging, MSRs …) see it: the
// architectural state, the fault lane, the memory they reach and the hooks by which an engine drops what it
// has derived.
//
// Everything under src/cpu that is reachable from translated code is compiled for general registers only (the
// guest's vector and x87 state is live in the host's registers) and calls no libc: see docs/ARCHITECTURE.md.
// Convention: a function returns false when it has recorded a fault in Core::fault; the caller returns false
// too, and whoever runs the instruction delivers it. Nothing architectural has changed then, except where the
// manual says otherwise.
#pragma once

#include <atomic>
#include <cstdint>

#include "cpu/state.h"

namespace rhea::memory {
class AddressSpace;
struct FlatView;
}  // namespace rhea::memory

namespace rhea::cpu {

namespace vec {
inline constexpr uint8_t DE = 0, DB = 1, NMI = 2, BP = 3, OF = 4, BR = 5, UD = 6, NM = 7, DF = 8, TS = 10,
                         NP = 11, SS = 12, GP = 13, PF = 14, MF = 16, AC = 17, MC = 18, XM = 19;
}

// The guest's own architecture event: a value.
struct Fault {
  uint8_t vector;
  bool has_code;
  uint32_t code;
  uint64_t address;  // CR2 for #PF
  uint64_t dr6;      // bits to set in DR6 for #DB
};

// Work that other threads leave for a vCPU; it looks at the word where translated code polls. Bits of
// Core::pending.
namespace pending {
inline constexpr uint32_t kInterrupt = 1,  // the local APIC or the 8259 may have something to deliver
    kNmi = 2, kSmi = 4, kInit = 8, kSipi = 16,
                          kExit = 32,  // leave run(): stop, pause, shutdown, debugger
    kTlbFlush = 64,                    // the memory map changed: drop everything derived from it
    kEngine = 128,                     // engine's own (safepoint, code drop, …)
    kShadow = 256,                     // an interrupt shadow ends after this instruction
    kTimer = 512;                      // the local APIC timer must be looked at
}

struct Core;

// Second-level effects of architectural changes, implemented by the engine. None may block.
struct EngineHooks {
  void (*flush_tlb)(Core&, bool including_global);  // CR3, CR4.PGE, CR0.PG/WP …
  void (*flush_page)(Core&, uint64_t linear);       // INVLPG
  void (*mode_changed)(Core&);                      // CPL, CS, SS, CR0, CR4, EFER, XCR0, RFLAGS.TF/AC/VM …
};

// How a vCPU hears of interrupts: its local APIC, with the 8259 behind LINT0. Called on the vCPU's thread.
class InterruptController {
 public:
  virtual ~InterruptController() = default;
  virtual bool deliverable() = 0;   // a vector with priority above the TPR/PPR, or an ExtINT, is waiting
  virtual int acknowledge() = 0;    // its vector, now in service; -1: spurious, nothing
  virtual uint8_t tpr() const = 0;  // for CR8: TPR bits 7..4
  virtual void set_tpr(uint8_t tpr) = 0;
  // x2APIC and IA32_APIC_BASE MSRs. False: #GP.
  virtual bool read_msr(uint32_t index, uint64_t& value) = 0;
  virtual bool write_msr(uint32_t index, uint64_t value) = 0;
  virtual void init() = 0;  // INIT signal
  virtual void set_tsc_deadline(uint64_t guest_tsc) = 0;
  virtual uint64_t tsc_deadline() const = 0;
  // A physical access to the page at IA32_APIC_BASE, which read_physical() and write_physical() bring here
  // before they look at the address space. False: not enabled there.
  virtual bool load(uint64_t /*offset*/, unsigned /*size*/, uint64_t& /*value*/) { return false; }
  virtual bool store(uint64_t /*offset*/, unsigned /*size*/, uint64_t /*value*/) { return false; }
};

struct CpuidTable;  // cpu/cpuid.h
struct PagingTlb;   // cpu/paging_tlb.h

struct Core {
  CpuState s{};
  Fault fault{};
  std::atomic<uint32_t> pending{0};

  unsigned index = 0;                 // vCPU number
  const CpuidTable* cpuid = nullptr;  // what the guest may see and use
  unsigned phys_bits = 40;            // MAXPHYADDR; this and the next four are set with cpuid
  bool gigabyte_pages = true;         // CPUID pdpe1gb
  bool pse36 = true;
  uint32_t apic_id = 0;                    // initial APIC id, from the topology
  uint8_t thread_bits = 0;                 // how many of its low bits number the thread in a core
  memory::AddressSpace* memory = nullptr;  // as this vCPU sees it (SMM: switched by the engine)
  memory::AddressSpace* smm_memory = nullptr;
  memory::AddressSpace* ports = nullptr;
  uint16_t register_port = 0;  // what is behind this port talks through the general registers; 0: none does
  InterruptController* apic = nullptr;
  const EngineHooks* hooks = nullptr;
  PagingTlb* tlb = nullptr;  // tagged TLB and memory-view cache behind paging.h; paging_create()
  // Runs ordinary C++ (which may clobber vector registers) from general-regs-only code; set by an engine that
  // keeps guest vector state in the host's registers. Null: call directly.
  void (*call_cold)(void (*fn)(void*), void* arg) = nullptr;
  void* engine = nullptr;
  uint8_t sipi_vector = 0;
  uint64_t tsc_ratio = 0;                          // guest TSC ticks a host TSC tick, 32.32 bits; 0: one
  std::atomic<uint64_t> tsc_limit = ~uint64_t{0};  // what the guest is shown of the host's TSC at most
  // FERR#: an x87 exception while CR0.NE is clear. Ordinary C++; the board's.
  void (*x87_error)(void* board) = nullptr;
  void* board = nullptr;

  // Deterministic runs: the translator counts instructions as they begin, and they are the guest's time, one
  // nanosecond and one TSC tick each. run() leaves when `retired` has come to `retired_stop`.
  bool counts_time = false;
  bool idles = false;  // MWAIT ran: time may pass
  uint64_t retired = 0;
  uint64_t retired_stop = ~uint64_t{0};
  uint64_t last_block = 0;  // `retired` when the last block of several instructions was entered
  uint64_t time_base = 0;   // time minus `retired`
  uint64_t random_state = 0;
  uint64_t counted_time() const { return retired + time_base; }

  [[nodiscard]] bool raise(uint8_t vector) {
    fault = {.vector = vector, .has_code = false, .code = 0, .address = 0, .dr6 = 0};
    return false;
  }
  [[nodiscard]] bool raise(uint8_t vector, uint32_t code) {
    fault = {.vector = vector, .has_code = true, .code = code, .address = 0, .dr6 = 0};
    return false;
  }
  bool user() const { return s.cpl == 3; }
  void cold(void (*fn)(void*), void* arg) const {
    if (call_cold != nullptr) {
      call_cold(fn, arg);
    } else {
      fn(arg);
    }
  }
};

}  // namespace rhea::cpu
