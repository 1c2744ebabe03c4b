// Finding hot user code without counters in it: where the guest's own interrupts stop it is a sample. A block
// sampled twice, and those it is linked to, are translated anew as hot. General registers only.
#include "engine/dbt/runtime.h"

namespace rhea::dbt {

void note_heat(Context& c) {
  constexpr uint32_t kSpecial = mode::kSingle | mode::kDebug | mode::kWatch | mode::kAlignCheck;
  constexpr uint32_t kEnough = 2;
  if (c.hot_on == 0 || (c.mode & mode::kCplMask) != 3 || (c.mode & kSpecial) != 0) return;
  uint64_t linear = c.core.s.rip;
  if (!is64(c.mode)) linear = (c.core.s.seg[cpu::CS].base + linear) & 0xffffffff;
  const FetchEntry& f = c.fetch[c.bank][(linear >> 12) & (kFetchEntries - 1)];
  if (f.page != (linear & ~kPageMask) || f.stamp != c.fetch_stamp[f.global]) return;
  uint64_t offset = f.offset + (linear & kPageMask), place = place_key(*f.ram, offset);
  HeatSample& sample = c.heat[front_index(place, c.mode) & (kHeatSamples - 1)];
  if (sample.place != place || sample.mode != c.mode) sample = {place, c.mode, 0};
  if (++sample.count != kEnough) return;
  HeatRequest request{&c, f.ram, offset, c.mode};
  run_cold(c.core, cold_heat, &request);
}

}  // namespace rhea::dbt
