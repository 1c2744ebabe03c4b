#include "machine/pc/guest_pace.h"

#include <x86intrin.h>

#include <algorithm>
#include <utility>

#include "machine/pc/tsc_frequency.h"

namespace rhea::machine {
namespace {

// A guest that has had so much of a host processor and not taken an interrupt does not want it now.
constexpr int64_t kEnoughNs = 5'000'000;
// A tick may be so late before the TSC waits: a host with some load is no reason to touch it.
constexpr int64_t kPatienceNs = 10'000'000;
// Slower ticks are nothing that somebody waits for: firmware leaves the 8254 at 18.2 Hz.
constexpr int64_t kSlowestNs = 20'000'000;

}  // namespace

void GuestPace::expect(Source source, int64_t deadline_ns, int64_t period_ns) {
  deadlines_[static_cast<size_t>(source)] = period_ns > kSlowestNs ? kNever : deadline_ns;
  int64_t earliest = kNever;
  for (Source each : {Source::Pit, Source::Hpet}) {
    const int64_t due = deadlines_[static_cast<size_t>(each)];
    if (due < earliest && wiring_.connected(each)) earliest = due;
  }
  set_limit(earliest);
}

// The virtual clock and the TSC get the same limit, so both are read as at one moment. What has been shown
// already is not taken back.
void GuestPace::set_limit(int64_t deadline_ns) {
  if (!wiring_.holds_time || (deadline_ns == kNever && limit_ns_ == kNever)) return;
  int64_t limit_ns = kNever;
  uint64_t limit_tsc = ~uint64_t{0};
  if (deadline_ns != kNever) {
    const Moment now = this_moment();
    limit_ns = std::max(deadline_ns + kPatienceNs, std::min(now.ns, limit_ns_));
    const auto ahead =
        static_cast<__int128>(limit_ns - now.ns) * static_cast<__int128>(host_tsc_hz()) / 1'000'000'000;
    limit_tsc = std::max(now.tsc + static_cast<uint64_t>(ahead), std::min(now.tsc, limit_tsc_));
  }
  limit_ns_ = limit_ns;
  limit_tsc_ = limit_tsc;
  wiring_.clock.show_until(limit_ns);
  for (size_t i = 0; i < wiring_.cpus.count(); ++i)
    wiring_.cpus.core(i).tsc_limit.store(limit_tsc, std::memory_order_relaxed);
}

GuestPace::Moment GuestPace::this_moment() const {
  constexpr uint64_t kCloseTicks = 20'000;
  constexpr int kTries = 20;
  Moment closest{};
  uint64_t distance = ~uint64_t{0};
  for (int i = 0; i < kTries && distance >= kCloseTicks; ++i) {
    const uint64_t before = __rdtsc();
    const int64_t ns = wiring_.clock.now_ns();
    const uint64_t taken = __rdtsc() - before;
    if (taken < distance) closest = {ns, before}, distance = taken;
  }
  return closest;
}

void GuestPace::raised() {
  raised_at_ns_ = wiring_.host.guest_time_ns();
}

bool GuestPace::taken() const {
  if (!wiring_.pending()) return true;
  const int64_t now = wiring_.host.guest_time_ns();
  return now == MachineHost::kIdle || raised_at_ns_ == MachineHost::kIdle || now - raised_at_ns_ >= kEnoughNs;
}

}  // namespace rhea::machine
