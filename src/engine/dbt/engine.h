// The binary-translating engine behind cpu::Engine, and what its vCPUs share.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "cpu/engine.h"
#include "engine/dbt/options.h"

namespace rhea::dbt {

struct Context;
class DbtShared;  // code cache, thunks, exclusive sections: one a VM

// errors: NoSpace for the cache.
Result<std::shared_ptr<DbtShared>> make_dbt_shared(const DbtOptions& options);

// What the board must provide for one vCPU; it fills the rest of core() before the first run().
Result<std::unique_ptr<cpu::Engine>> make_dbt_engine(std::shared_ptr<DbtShared> shared, unsigned index);

// Summed over vCPUs, for `info jit`.
struct JitInfo {
  uint64_t blocks, guest_insns, guest_bytes, host_bytes, cache_used, cache_size, index_bytes;
  uint64_t dropped, revived, slow_stores, flushes, cache_resets, access_misses, lookups, helper_calls,
      interrupts, exceptions;
  uint64_t translate_ns;
};
JitInfo jit_info(DbtShared& shared);
std::string jit_info_text(DbtShared& shared);

}  // namespace rhea::dbt
