// Host signals that are the guest's exceptions: #DE, #MF, #XM, and #GP of aligned vector accesses arrive as
// SIGFPE and SIGSEGV inside translated code.
#pragma once

namespace rhea::dbt {

class CodeCache;
struct Thunks;

void install_fault_handlers(CodeCache& cache, const Thunks& thunks);
void prepare_thread_for_faults();  // alternate signal stack

}  // namespace rhea::dbt
