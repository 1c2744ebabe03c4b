#include "tools/system/topology.h"

#include <algorithm>

#include "base/failf.h"

namespace rhea::system {

namespace {

uint64_t or_one(const std::optional<uint64_t>& value) {
  return value.value_or(1);
}

struct Counts {
  uint64_t sockets, cores, threads;
};

// Whole numbers; what does not divide is found by the check of the product.
Counts complete(const SmpOptions& smp) {
  std::optional<uint64_t> total = smp.maxcpus ? smp.maxcpus : smp.cpus;
  if (!total) return {or_one(smp.sockets), or_one(smp.cores), or_one(smp.threads)};
  if (!smp.cores) {
    uint64_t sockets = or_one(smp.sockets), threads = or_one(smp.threads);
    return {sockets, *total / (sockets * threads), threads};
  }
  if (!smp.sockets) {
    uint64_t threads = or_one(smp.threads);
    return {*total / (*smp.cores * threads), *smp.cores, threads};
  }
  return {*smp.sockets, *smp.cores, smp.threads.value_or(*total / (*smp.sockets * *smp.cores))};
}

}  // namespace

Result<SmpChoice> resolve_topology(const SmpOptions& smp, unsigned most) {
  for (const auto& value : {smp.cpus, smp.sockets, smp.cores, smp.threads, smp.maxcpus}) {
    if (value && *value == 0) {
      return fail(ErrorKind::Invalid,
                  "Invalid CPU topology: CPU topology parameters must be greater than zero");
    }
  }
  Counts counts = complete(smp);
  uint64_t product = counts.sockets * counts.cores * counts.threads;
  uint64_t possible = smp.maxcpus.value_or(smp.cpus.value_or(product));
  uint64_t cpus = smp.cpus.value_or(possible);
  if (product != possible) {
    return failf(ErrorKind::Invalid,
                 "Invalid CPU topology: product of the hierarchy must match maxcpus: "
                 "sockets ({}) * cores ({}) * threads ({}) != maxcpus ({})",
                 counts.sockets, counts.cores, counts.threads, possible);
  }
  if (cpus > possible) {
    return failf(ErrorKind::Invalid,
                 "Invalid CPU topology: maxcpus ({}) must be equal to or greater than cpus ({})", possible,
                 cpus);
  }
  if (possible > most) {
    return failf(ErrorKind::OutOfRange, "Invalid SMP CPUs {}. The max CPUs supported by machine 'pc' is {}",
                 possible, most);
  }
  auto narrow = [](uint64_t value) { return static_cast<unsigned>(value); };
  return SmpChoice{{narrow(counts.sockets), narrow(counts.cores), narrow(counts.threads)}, narrow(cpus)};
}

}  // namespace rhea::system
