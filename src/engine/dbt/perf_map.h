// /tmp/perf-PID.map: the names of run-time code for profilers. Linux
// tools/perf/Documentation/jit-interface.txt.
//
// A block is named by the guest address that it was made for: "guest:LINEAR cplN". One thread at a time
// (cache users call it one by one through its own lock).
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>

#include "base/result.h"
#include "engine/dbt/code_cache.h"

namespace rhea::dbt {

class PerfMap {
 public:
  static Result<std::unique_ptr<PerfMap>> create();
  ~PerfMap();
  PerfMap(const PerfMap&) = delete;
  PerfMap& operator=(const PerfMap&) = delete;

  void add(const CodeCache& cache, const Block& block, uint64_t linear);

 private:
  explicit PerfMap(std::FILE* file) : file_(file) {}
  std::mutex mutex_;
  std::FILE* file_;
};

}  // namespace rhea::dbt
