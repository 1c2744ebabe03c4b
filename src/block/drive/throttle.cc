// See throttle.h.
#include "block/drive/throttle.h"

#include <algorithm>

namespace rhea::block {
namespace {

constexpr double kLargest = 1e15;
constexpr double kNsPerSecond = 1e9;
// Without a burst allowance a tenth of a second's worth may come at once.
constexpr double kBasicShare = 10;

enum Bucket : unsigned { kBytesTotal, kBytesRead, kBytesWrite, kOpsTotal, kOpsRead, kOpsWrite };

// Nanoseconds until `extra` units have leaked at `rate` units a second.
int64_t time_to_leak(double extra, double rate) {
  return static_cast<int64_t>(extra * kNsPerSecond / rate) + 1;
}

Result<> check_limit(const ThrottleLimit& limit) {
  if (limit.average < 0 || limit.average > kLargest || limit.max < 0 || limit.max > kLargest)
    return fail(ErrorKind::Invalid, "bps/iops/max values must be within [0, 1000000000000000]");
  if (limit.burst_length == 0) return fail(ErrorKind::Invalid, "burst length cannot be 0");
  if (limit.burst_length > 1 && limit.max == 0)
    return fail(ErrorKind::Invalid, "burst length set without burst rate");
  if (limit.max * limit.burst_length > kLargest)
    return fail(ErrorKind::Invalid, "burst length too high for this burst rate");
  if (limit.max != 0 && limit.average == 0)
    return fail(ErrorKind::Invalid, "bps_max/iops_max require corresponding bps/iops values");
  if (limit.max != 0 && limit.max < limit.average)
    return fail(ErrorKind::Invalid, "bps_max/iops_max cannot be lower than bps/iops");
  return {};
}

}  // namespace

bool ThrottleLimits::any() const {
  for (const ThrottleLimit* limit :
       {&bytes_total, &bytes_read, &bytes_write, &ops_total, &ops_read, &ops_write}) {
    if (limit->average > 0) return true;
  }
  return false;
}

Result<> ThrottleLimits::check() const {
  const auto both = [](const ThrottleLimit& total, const ThrottleLimit& read, const ThrottleLimit& write) {
    return (total.average != 0 && (read.average != 0 || write.average != 0)) ||
           (total.max != 0 && (read.max != 0 || write.max != 0));
  };
  if (both(bytes_total, bytes_read, bytes_write) || both(ops_total, ops_read, ops_write)) {
    return fail(ErrorKind::Invalid,
                "bps/iops/max total values and read/write values cannot be used at the same time");
  }
  if (ops_size != 0 && ops_total.average == 0 && ops_read.average == 0 && ops_write.average == 0)
    return fail(ErrorKind::Invalid, "iops size requires an iops value to be set");
  for (const ThrottleLimit* limit :
       {&bytes_total, &bytes_read, &bytes_write, &ops_total, &ops_read, &ops_write})
    TRY(check_limit(*limit));
  return {};
}

const ThrottleLimit& Throttle::limit(unsigned bucket) const {
  switch (bucket) {
    case kBytesTotal: return limits_.bytes_total;
    case kBytesRead: return limits_.bytes_read;
    case kBytesWrite: return limits_.bytes_write;
    case kOpsTotal: return limits_.ops_total;
    case kOpsRead: return limits_.ops_read;
    default: return limits_.ops_write;
  }
}

void Throttle::set_limits(const ThrottleLimits& limits, int64_t now_ns) {
  limits_ = limits;
  buckets_ = {};
  leaked_at_ns_ = now_ns;
}

void Throttle::leak(int64_t now_ns) {
  const double seconds = static_cast<double>(std::max<int64_t>(0, now_ns - leaked_at_ns_)) / kNsPerSecond;
  leaked_at_ns_ = now_ns;
  for (unsigned i = 0; i < kBuckets; i++) {
    Level& bucket = buckets_[i];
    bucket.level = std::max(0.0, bucket.level - limit(i).average * seconds);
    bucket.burst_level = std::max(0.0, bucket.burst_level - limit(i).max * seconds);
  }
}

int64_t Throttle::wait_ns(bool is_write, int64_t now_ns) {
  leak(now_ns);
  int64_t longest = 0;
  for (const unsigned i : {unsigned{kBytesTotal}, unsigned{is_write ? kBytesWrite : kBytesRead},
                           unsigned{kOpsTotal}, unsigned{is_write ? kOpsWrite : kOpsRead}}) {
    const ThrottleLimit& bound = limit(i);
    if (bound.average <= 0) continue;
    const double room = bound.max > 0 ? bound.max * bound.burst_length : bound.average / kBasicShare;
    if (buckets_[i].level > room)
      longest = std::max(longest, time_to_leak(buckets_[i].level - room, bound.average));
    const double burst_room = bound.max / kBasicShare;
    if (bound.burst_length > 1 && buckets_[i].burst_level > burst_room)
      longest = std::max(longest, time_to_leak(buckets_[i].burst_level - burst_room, bound.max));
  }
  return longest;
}

void Throttle::account(bool is_write, uint64_t bytes) {
  const double size = static_cast<double>(bytes);
  double operations = 1;
  if (limits_.ops_size != 0)
    operations = std::max(1.0, static_cast<double>(bytes) / static_cast<double>(limits_.ops_size));
  const auto add = [&](unsigned bucket, double units) {
    buckets_[bucket].level += units;
    buckets_[bucket].burst_level += units;
  };
  add(kBytesTotal, size);
  add(is_write ? kBytesWrite : kBytesRead, size);
  add(kOpsTotal, operations);
  add(is_write ? kOpsWrite : kOpsRead, operations);
}

}  // namespace rhea::block
