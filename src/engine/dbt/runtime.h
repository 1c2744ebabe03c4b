// What translated code calls through the thunks. General registers only; see docs/ARCHITECTURE.md.
#pragma once

#include <cstdint>

#include "cpu/core.h"
#include "cpu/paging.h"
#include "engine/dbt/context.h"
#include "engine/dbt/thunks.h"

namespace rhea::dbt {

struct Insn;
struct LinkSite;

// rax:rdx of the thunks. code 0: go on behind the call with value; 1: at the site's alternative with value;
// 2: jump to the executable address `value`, or leave run() when it is 0.
struct Answer {
  uint64_t value;
  uint64_t code;
};

extern "C" {
Answer runtime_access(Context* c, uint64_t linear, const AccessSite* site);
Answer runtime_segment(Context* c, uint64_t offset, const SegmentSite* site);
Answer runtime_store_done(Context* c, const AccessSite* site, uint64_t eflags);
Answer runtime_help(Context* c, const Insn* insn);
const uint8_t* runtime_help_end(Context* c, const Insn* insn);
const uint8_t* runtime_link(Context* c, LinkSite* site);
const uint8_t* runtime_link_far(Context* c, LinkSite* site);
const uint8_t* runtime_poll(Context* c, LinkSite* site);
const uint8_t* runtime_lookup(Context* c);
const uint8_t* runtime_quick(Context* c);  // null: runtime_lookup
const uint8_t* runtime_predicted(Context* c, LinkSite* site);
const uint8_t* runtime_dropped(Context* c, const uint8_t* direct_entry);
const uint8_t* runtime_fault(Context* c);
}

// Finds or makes the block at s.rip and says where to enter it; serves what is pending first. Null: leave
// run(), exit_reason is set.
const uint8_t* dispatch(Context& c);
// Records fault delivery and dispatches.
const uint8_t* deliver_and_dispatch(Context& c);
// False: leave run().
bool serve_pending(Context& c);

// tlb.cc: the engine's side of EngineHooks.
void flush_everything(Context& c);
void empty_far_chunk(Context& c, unsigned chunk);
void hook_flush_tlb(cpu::Core& core, bool including_global);
void hook_flush_page(cpu::Core& core, uint64_t linear);
void hook_mode_changed(cpu::Core& core);
void refresh_mode(Context& c, bool single);
void drop_write_entries(Context& c, const uint8_t* host_page);  // of one page of RAM, by host address
// Into the current bank: a whole page of RAM, for writes one that is dirty and holds no code.
void fill_tlb(Context& c, bool write, uint64_t linear, const Slot& entry, const cpu::Translation& t);
void jump_insert(Context& c, uint64_t rip, const uint8_t* host);
void jump_page(Context& c, uint64_t rip);  // an entry depends on this page

// Runs ordinary C++; safe whether or not the guest's vector state is in registers.
void run_cold(const cpu::Core& core, void (*fn)(void*), void* arg);

// Where code comes to without a jump: 16-bit code runs on beyond FFFF, and there into the segment's limit.
inline uint64_t mask_rip(const Context& c, uint64_t rip) {
  return is64(c.mode) ? rip : rip & 0xffffffff;
}
// Of a jump inside a page, which in 16-bit code wraps.
inline uint64_t mask_target(const Context& c, uint64_t rip) {
  return (c.mode & mode::kCodeMask) == mode::kCode16 ? rip & 0xffff : mask_rip(c, rip);
}

// Implemented in ordinary C++ (engine.cc, translate.cc), called through run_cold.
// User code is about to be interrupted here.
void note_heat(Context& c);

struct TranslateRequest {
  Context* context;
  memory::RamBlock* ram;  // null: from memory that is not RAM
  uint64_t offset;        // in ram
  uint64_t linear;
  uint32_t mode;
  Block* result;
  bool faulted;  // Core::fault is to be delivered
};
void cold_translate(void* request);
struct LinkRequest {
  Context* context;
  LinkSite* site;
  Block* to;
};
void cold_link(void* request);
struct DropRequest {
  Context* context;
  memory::RamBlock* ram;
  uint64_t offset, length;
};
void cold_drop(void* request);
struct SiteRequest {
  Context* context;
  const AccessSite* site;
};
void cold_concede(void* request);
void cold_drop_block(void* translate_request);  // its `result`
void cold_safepoint(void* context);
struct HeatRequest {
  Context* context;
  memory::RamBlock* ram;
  uint64_t offset;
  uint32_t mode;
};
void cold_heat(void* request);        // this block is hot
void cold_lock_begin(void* context);  // a locked access across pages
void cold_lock_end(void* context);
void cold_memory_changed(void* context);
struct DroppedRequest {
  Context* context;
  const uint8_t* direct_entry;
  uint32_t page_offset;
};
void cold_dropped_offset(void* request);
struct HelperRequest {
  Context* context;
  const Insn* insn;
  uint32_t outcome;
};
void cold_helper(void* request);

}  // namespace rhea::dbt
