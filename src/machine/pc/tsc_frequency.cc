// See tsc_frequency.h. SDM vol. 3B 18.7.3; leaf 0x40000010 is the hypervisors' convention (TSC kHz in EAX).
#include "machine/pc/tsc_frequency.h"

#include <cpuid.h>
#include <time.h>
#include <x86intrin.h>

namespace rhea::machine {
namespace {

constexpr int64_t kMeasureNs = 1'000'000;

int64_t monotonic_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC_RAW, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

uint64_t from_cpuid() {
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(0x15, 0, &a, &b, &c, &d) != 0 && a != 0 && b != 0 && c != 0)
    return uint64_t{c} * b / a;
  __cpuid(1, a, b, c, d);
  if ((c & 1u << 31) == 0) return 0;
  __cpuid(0x40000000, a, b, c, d);
  if (a < 0x40000010 || a > 0x400000ff) return 0;
  __cpuid(0x40000010, a, b, c, d);
  return uint64_t{a} * 1000;
}

struct Moment {
  int64_t ns = 0;
  uint64_t tsc = 0;
};

Moment now() {
  int64_t ns = monotonic_ns();
  return {ns, __rdtsc()};
}

Moment begin;

uint64_t measured() {
  if (begin.ns == 0) begin = now();
  Moment end = now();
  while (end.ns - begin.ns < kMeasureNs) end = now();
  auto ticks = static_cast<unsigned __int128>(end.tsc - begin.tsc) * 1'000'000'000u;
  return static_cast<uint64_t>(ticks / static_cast<uint64_t>(end.ns - begin.ns));
}

}  // namespace

void begin_tsc_measurement() {
  begin = now();
}

uint64_t host_tsc_hz() {
  static const uint64_t hz = [] {
    uint64_t told = from_cpuid();
    return told != 0 ? told : measured();
  }();
  return hz;
}

}  // namespace rhea::machine
