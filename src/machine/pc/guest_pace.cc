#include "machine/pc/guest_pace.h"

#include <x86intrin.h>

#include <utility>

#include "machine/pc/tsc_frequency.h"

namespace rhea::machine {
namespace {

// So much of a host processor lets the guest take an interrupt.
constexpr int64_t kEnoughNs = 200'000;
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

void GuestPace::set_limit(int64_t deadline_ns) {
  uint64_t limit = ~uint64_t{0};
  if (deadline_ns != kNever) {
    const int64_t left = deadline_ns + kPatienceNs - wiring_.clock.now_ns();
    const auto ticks = static_cast<__int128>(left) * static_cast<__int128>(host_tsc_hz()) / 1'000'000'000;
    limit = __rdtsc() + static_cast<uint64_t>(ticks);
  }
  for (size_t i = 0; i < wiring_.cpus.count(); ++i)
    wiring_.cpus.core(i).tsc_limit.store(limit, std::memory_order_relaxed);
}

void GuestPace::raised() {
  raised_at_ns_ = wiring_.host.guest_time_ns();
}

bool GuestPace::taken() const {
  const int64_t now = wiring_.host.guest_time_ns();
  return now == MachineHost::kIdle || raised_at_ns_ == MachineHost::kIdle || now - raised_at_ns_ >= kEnoughNs;
}

}  // namespace rhea::machine
