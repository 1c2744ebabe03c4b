// `info jit` as text.
#include <fmt/core.h>

#include "engine/dbt/engine.h"

namespace rhea::dbt {

std::string jit_info_text(DbtShared& shared) {
  JitInfo i = jit_info(shared);
  auto share = [](uint64_t part, uint64_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  return fmt::format(
      "cache            {} of {} bytes, {} more of index, reset {} times\n"
      "blocks           {} made, {} dropped, {} of them used again\n"
      "guest code       {} instructions, {} bytes, translated at {:.0f} ns an instruction\n"
      "host code        {} bytes, {:.1f} a guest byte\n"
      "dispatcher       {} lookups, {} helper calls, {} access misses, {} flushes\n"
      "events           {} interrupts, {} exceptions, {} stores to pages with code\n",
      i.cache_used, i.cache_size, i.index_bytes, i.cache_resets, i.blocks, i.dropped, i.revived,
      i.guest_insns, i.guest_bytes, share(i.translate_ns, i.guest_insns), i.host_bytes,
      share(i.host_bytes, i.guest_bytes), i.lookups, i.helper_calls, i.access_misses, i.flushes, i.interrupts,
      i.exceptions, i.slow_stores);
}

}  // namespace rhea::dbt
