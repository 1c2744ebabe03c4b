// Limits of a drive's speed: leaky buckets as QEMU's documentation (docs/throttle.txt) describes them. A
// group may be shared by several drives, which then take turns. Machine lock held.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace rhea::block {

// One limit. `average` units a second in the long run; for `burst_length` seconds up to `max` a second.
struct ThrottleLimit {
  double average = 0;  // 0: none
  double max = 0;      // 0: average / 10 may come at once
  unsigned burst_length = 1;
};

struct ThrottleLimits {
  ThrottleLimit bytes_total, bytes_read, bytes_write;
  ThrottleLimit ops_total, ops_read, ops_write;
  uint64_t ops_size = 0;  // a request counts as one operation for each so many bytes; 0: as one

  bool any() const;
  // Contradictions, in QEMU's words.
  Result<> check() const;
};

class Throttle {
 public:
  const ThrottleLimits& limits() const { return limits_; }
  void set_limits(const ThrottleLimits& limits, int64_t now_ns);
  // When a request may start: 0 now, else so many nanoseconds later.
  int64_t wait_ns(bool is_write, int64_t now_ns);
  // A request starts.
  void account(bool is_write, uint64_t bytes);

 private:
  static constexpr unsigned kBuckets = 6;
  struct Level {
    double level = 0;
    double burst_level = 0;
  };
  const ThrottleLimit& limit(unsigned bucket) const;
  void leak(int64_t now_ns);

  ThrottleLimits limits_;
  std::array<Level, kBuckets> buckets_{};
  int64_t leaked_at_ns_ = 0;
};

}  // namespace rhea::block
