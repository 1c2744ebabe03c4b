// Linear to guest physical: the page walk (SDM vol. 3A chapter 4) and the guest memory accessors that the
// system-level semantics use. No translation is cached here except in the tagged TLB behind translate().
#pragma once

#include <cstdint>

#include "cpu/core.h"

namespace rhea::cpu {

enum class Access : uint8_t { Read, Write, Fetch };

// On whose behalf: Implicit is a supervisor access made by the CPU itself (descriptor tables, TSS, IDT),
// which ignores EFLAGS.AC under SMAP.
enum class Privilege : uint8_t { User, Supervisor, Implicit };

inline Privilege current_privilege(const Core& c) {
  return c.s.cpl == 3 ? Privilege::User : Privilege::Supervisor;
}

struct Translation {
  uint64_t gpa;         // of the byte asked for (A20 applied)
  uint64_t page_bytes;  // size of the mapping: 4 KiB, 2 or 4 MiB, 1 GiB (4 KiB when paging is off)
  bool write_ok;        // a write entry may be made: writable for this privilege and D is set
  bool global;
  bool user_page;  // U/S of the whole path
  bool exec_ok;    // for this privilege
};

// Walks (or takes from the tagged TLB) and checks one access; sets A and D as the access demands. False: #PF
// or, for non-canonical addresses, #GP(0) (#SS(0) when stack).
bool translate(Core& c, uint64_t linear, Access access, Privilege privilege, Translation& out,
               bool stack = false);

// The four PDPTE registers from the table at cr3, as MOV to CR3 and the CR0/CR4 writes that turn on PAE
// paging (or change CD, NW, PG; PAE, PGE, PSE, SMEP while it is on) do. False: #GP(0), a present entry has
// reserved bits set; nothing has changed then. Not for long mode.
bool load_pdptes(Core& c, uint64_t cr3);

// Side object of Core with the tagged TLB and the cached memory view. Made on first use too; not from hot
// code.
void paging_create(Core& c);
void paging_destroy(Core& c);
// The memory map has changed (pending::kTlbFlush): look at it afresh on the next access, drop all
// translations.
void paging_memory_changed(Core& c);

// Invalidation of the tagged TLB only; callers use the EngineHooks, whose implementation comes here.
void paging_flush_all(Core& c);
void paging_flush_non_global(Core& c, uint64_t pcid);  // of this PCID
void paging_flush_page(Core& c, uint64_t linear);  // current PCID and global, everything under a large page
bool invpcid(Core& c, uint64_t type, uint64_t pcid, uint64_t linear);  // SDM vol. 2, INVPCID; false: #GP

// size: 1..64 bytes; may cross pages; both pages are checked before anything is written. RAM is reached
// directly, anything else through the address space (which runs ordinary C++; the caller need not care).
bool read_linear(Core& c, uint64_t linear, void* to, unsigned size, Privilege privilege, bool stack = false);
bool write_linear(Core& c, uint64_t linear, const void* from, unsigned size, Privilege privilege,
                  bool stack = false);
// Clears and sets bits of a byte with locked cycles, as a supervisor access of the CPU's own (descriptors).
bool update_byte(Core& c, uint64_t linear, uint8_t clear, uint8_t set);
// Only checks (and sets A/D).
bool probe_write(Core& c, uint64_t linear, unsigned size, Privilege privilege, bool stack = false);

template <class T>
bool read_linear(Core& c, uint64_t linear, T& to, Privilege privilege, bool stack = false) {
  return read_linear(c, linear, &to, sizeof(T), privilege, stack);
}
template <class T>
bool write_linear(Core& c, uint64_t linear, const T& from, Privilege privilege, bool stack = false) {
  return write_linear(c, linear, &from, sizeof(T), privilege, stack);
}

// Physical accessors for the walk and for SMM; unassigned memory reads all ones.
uint64_t read_physical(Core& c, uint64_t gpa, unsigned size);
void write_physical(Core& c, uint64_t gpa, unsigned size, uint64_t value);

// For debuggers: where the tables in memory map `linear` now, whatever the rights. Changes nothing, uses no
// TLB, and is ordinary code; any engine, while the vCPU is stopped. False: not mapped.
bool debug_translate(Core& c, uint64_t linear, uint64_t& gpa);

bool canonical(const Core& c, uint64_t linear);  // 48 or, under CR4.LA57, 57 bits

}  // namespace rhea::cpu
