// The translator's share of `-d in_asm,out_asm,int,exec`. Ordinary C++.
#pragma once

#include <cstdint>
#include <span>

#include "engine/dbt/block.h"
#include "engine/dbt/context.h"
#include "engine/dbt/insn.h"

namespace rhea::dbt {

class CodeCache;

// In effect at start-up; the run time looks at Context::log_exec and log_int only.
bool exec_logged();
bool events_logged();

void log_guest_code(const Block& block, std::span<const Insn> insns);
void log_host_code(const CodeCache& cache, const Block& block);
// Called through run_cold with a Context*: the block about to be entered at s.rip, with the registers.
void cold_log_exec(void* context);
struct EventRecord {
  const Context* context;
  const char* what;
  unsigned vector;
  uint32_t code;
  uint64_t address;
};
void cold_log_event(void* record);

}  // namespace rhea::dbt
