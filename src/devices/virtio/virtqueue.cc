// What both ring formats share, and the split ring. The packed ring is virtqueue_packed.cc.
#include "devices/virtio/virtqueue.h"

#include <algorithm>
#include <atomic>
#include <bit>

#include "base/check.h"

namespace rhea::devices::virtio {

namespace {

// 2.7.6 and 2.7.8: both halves of a split ring begin with flags and index.
constexpr unsigned kRingIndex = 2, kRingEntries = 4;
constexpr unsigned kAvailEntry = 2, kUsedEntry = 8;

// Orders what this side wrote before what it reads next (an index, then the other side's event field).
void full_barrier() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

// Calls step(address, offset in the data, bytes) for the pieces of [offset, offset + length) of the segments;
// returns how many bytes there were, or nothing when a step failed.
template <class Step>
std::optional<uint64_t> walk(std::span<const Segment> segments, uint64_t offset, uint64_t length, Step step) {
  uint64_t done = 0;
  for (const Segment& segment : segments) {
    if (done == length) break;
    if (offset >= segment.length) {
      offset -= segment.length;
      continue;
    }
    const uint64_t n = std::min<uint64_t>(segment.length - offset, length - done);
    if (!step(segment.address + offset, done, n)) return std::nullopt;
    done += n;
    offset = 0;
  }
  return done;
}

}  // namespace

std::optional<uint64_t> copy_from(GuestRam& ram, std::span<const Segment> from, uint64_t offset,
                                  std::span<uint8_t> to) {
  return walk(from, offset, to.size(), [&](uint64_t address, uint64_t at, uint64_t n) {
    return ram.read(address, to.subspan(at, n));
  });
}

std::optional<uint64_t> copy_to(GuestRam& ram, std::span<const Segment> to, uint64_t offset,
                                std::span<const uint8_t> from) {
  return walk(to, offset, from.size(), [&](uint64_t address, uint64_t at, uint64_t n) {
    return ram.write(address, from.subspan(at, n));
  });
}

Virtqueue::Virtqueue(Wiring wiring, uint16_t max_size)
    : wiring_(std::move(wiring)), max_size_(max_size), size_(max_size) {
  CHECK(std::has_single_bit(max_size) && max_size <= kMaxQueueSize);
}

std::nullopt_t Virtqueue::fail(std::string_view why) {
  broken_ = true;
  wiring_.broken(why);
  return std::nullopt;
}

bool Virtqueue::set_size(uint16_t size, bool packed_allowed) {
  if (size == 0 || size > max_size_ || (!packed_allowed && !std::has_single_bit(size))) return false;
  size_ = size;
  return true;
}

void Virtqueue::enable(const Mode& mode) {
  mode_ = mode;
  enabled_ = true;
  next_avail_ = next_used_ = seen_avail_ = 0;
  avail_wrap_ = used_wrap_ = true;
  in_flight_ = 0;
  filled_.clear();
  kicks_ = true;
}

void Virtqueue::reset() {
  enable({});
  enabled_ = broken_ = false;
  size_ = max_size_;
  at_ = {};
  vector = kNoVector;
}

void Virtqueue::state(bus::StateVisitor& v) {
  v.field("size", size_);
  v.field("desc", at_.desc);
  v.field("driver", at_.driver);
  v.field("device", at_.device);
  v.field("enabled", enabled_);
  v.field("broken", broken_);
  v.field("kicks", kicks_);
  v.field("next_avail", next_avail_);
  v.field("next_used", next_used_);
  v.field("seen_avail", seen_avail_);
  v.field("avail_wrap", avail_wrap_);
  v.field("used_wrap", used_wrap_);
  v.field("in_flight", in_flight_);
  v.field("vector", vector);
  if (!v.loading()) return;
  filled_.clear();
  if (size_ == 0 || size_ > max_size_ || (!mode_.packed && !std::has_single_bit(size_))) size_ = max_size_;
  in_flight_ = std::min(in_flight_, size_);
  if (!mode_.packed) return;
  next_avail_ = static_cast<uint16_t>(next_avail_ % size_);
  next_used_ = static_cast<uint16_t>(next_used_ % size_);
}

std::optional<Virtqueue::Descriptor> Virtqueue::descriptor(uint64_t table, uint64_t index) {
  uint8_t raw[kDescBytes];
  if (!wiring_.ram.read(table + index * kDescBytes, raw)) return fail("a descriptor is not in RAM");
  return Descriptor{load_le<uint64_t>(raw), load_le<uint32_t>(raw + 8), load_le<uint16_t>(raw + 12),
                    load_le<uint16_t>(raw + 14)};
}

bool Virtqueue::add_segment(Chain& chain, const Descriptor& d, bool write) {
  if (d.length == 0) return fail("a buffer is empty"), false;
  if (!write && !chain.in.empty()) return fail("a readable buffer follows a writable one"), false;
  if (chain.out.size() + chain.in.size() >= kMaxSegments) return fail("a chain is too long"), false;
  (write ? chain.in : chain.out).push_back({d.address, d.length});
  (write ? chain.in_bytes : chain.out_bytes) += d.length;
  return true;
}

std::optional<Chain> Virtqueue::pop() {
  if (!usable()) return std::nullopt;
  std::optional<Chain> chain = mode_.packed ? packed_pop() : split_pop();
  if (chain) ++in_flight_;
  return chain;
}

void Virtqueue::unpop(const Chain& chain) {
  if (in_flight_ != 0) --in_flight_;
  if (!mode_.packed) {
    --next_avail_;
    return;
  }
  const unsigned slots = std::min<unsigned>(chain.slots, size_);
  if (next_avail_ < slots) {
    next_avail_ = static_cast<uint16_t>(next_avail_ + size_);
    avail_wrap_ = !avail_wrap_;
  }
  next_avail_ = static_cast<uint16_t>(next_avail_ - slots);
}

void Virtqueue::fill(const Chain& chain, uint32_t written) {
  if (in_flight_ != 0) --in_flight_;
  filled_.push_back({chain.id, chain.slots, written});
}

void Virtqueue::flush() {
  if (filled_.empty()) return;
  if (usable()) {
    if (mode_.packed)
      packed_publish();
    else
      split_publish();
  }
  filled_.clear();
}

bool Virtqueue::empty() {
  if (!usable()) return true;
  if (mode_.packed) return !packed_available();
  return seen_avail_ == next_avail_ && (!split_renew_avail() || seen_avail_ == next_avail_);
}

void Virtqueue::disable_kicks() {
  kicks_ = false;
  if (!usable()) return;
  if (mode_.packed) {
    static_cast<void>(wiring_.ram.store<uint16_t>(at_.device + 2, kEventDisable));
  } else if (!mode_.event_index) {
    static_cast<void>(wiring_.ram.store<uint16_t>(at_.device, kUsedNoNotify));
  }
}

bool Virtqueue::enable_kicks() {
  kicks_ = true;
  if (!usable()) return false;
  if (mode_.packed) {
    const unsigned event = next_avail_ | (avail_wrap_ ? 0x8000u : 0u);
    if (mode_.event_index)
      static_cast<void>(wiring_.ram.store<uint16_t>(at_.device, static_cast<uint16_t>(event)));
    static_cast<void>(
        wiring_.ram.store<uint16_t>(at_.device + 2, mode_.event_index ? kEventDesc : kEventEnable));
  } else if (mode_.event_index) {
    // 2.7.10: the available index at which the driver notifies, behind the used ring.
    static_cast<void>(
        wiring_.ram.store<uint16_t>(at_.device + kRingEntries + uint64_t{size_} * kUsedEntry, next_avail_));
  } else {
    static_cast<void>(wiring_.ram.store<uint16_t>(at_.device, 0));
  }
  full_barrier();
  return !empty();
}

bool Virtqueue::split_renew_avail() {
  const auto index = wiring_.ram.load<uint16_t>(at_.driver + kRingIndex);
  if (!index) return fail("the available ring is not in RAM"), false;
  if (static_cast<uint16_t>(*index - next_avail_) > size_)
    return fail("the available index runs ahead of the ring"), false;
  seen_avail_ = *index;
  std::atomic_thread_fence(std::memory_order_acquire);
  return true;
}

std::optional<Chain> Virtqueue::split_pop() {
  if (empty()) return std::nullopt;
  if (in_flight_ >= size_) return fail("more requests than the ring holds");
  const uint64_t slot = next_avail_ & (size_ - 1u);
  const auto head = wiring_.ram.load<uint16_t>(at_.driver + kRingEntries + slot * kAvailEntry);
  if (!head) return fail("the available ring is not in RAM");
  if (*head >= size_) return fail("an available entry names no descriptor");
  Chain chain{.id = *head};
  if (!split_walk(chain, *head)) return std::nullopt;
  ++next_avail_;
  return chain;
}

bool Virtqueue::split_walk(Chain& chain, uint16_t head) {
  uint64_t table = at_.desc;
  uint64_t entries = size_;
  uint64_t index = head;
  bool indirect = false;
  for (uint64_t seen = 0;; ++seen) {
    if (seen == entries) return fail("a chain loops"), false;
    const std::optional<Descriptor> d = descriptor(table, index);
    if (!d) return false;
    const uint16_t flags = d->third;
    if ((flags & kDescIndirect) != 0) {
      // 2.7.5.3.1: one table for the rest of the chain, and no table in it.
      if (!mode_.indirect || indirect || (flags & kDescNext) != 0)
        return fail("an indirect table where none may be"), false;
      if (d->length == 0 || d->length % kDescBytes != 0)
        return fail("an indirect table of a bad size"), false;
      indirect = true;
      table = d->address;
      entries = d->length / kDescBytes;
      index = 0;
      seen = ~uint64_t{0};
      continue;
    }
    if (!add_segment(chain, *d, (flags & kDescWrite) != 0)) return false;
    if ((flags & kDescNext) == 0) return true;
    index = d->fourth;
    if (index >= entries) return fail("a descriptor's successor is outside of the table"), false;
  }
}

void Virtqueue::split_publish() {
  const uint16_t before = next_used_;
  for (const Filled& used : filled_) {
    uint8_t entry[kUsedEntry];
    store_le<uint32_t>(entry, used.id);
    store_le<uint32_t>(entry + 4, used.written);
    const uint64_t slot = next_used_ & (size_ - 1u);
    if (!wiring_.ram.write(at_.device + kRingEntries + slot * kUsedEntry, entry)) {
      fail("the used ring is not in RAM");
      return;
    }
    ++next_used_;
  }
  std::atomic_thread_fence(std::memory_order_release);
  if (!wiring_.ram.store<uint16_t>(at_.device + kRingIndex, next_used_)) {
    fail("the used ring is not in RAM");
    return;
  }
  full_barrier();
  if (split_wants_interrupt(before)) wiring_.interrupt();
}

bool Virtqueue::split_wants_interrupt(uint16_t before) {
  if (mode_.notify_on_empty && in_flight_ == 0 && empty() && !broken_) return true;
  if (!mode_.event_index) {
    const auto flags = wiring_.ram.load<uint16_t>(at_.driver);
    return flags && (*flags & kAvailNoInterrupt) == 0;
  }
  const auto event = wiring_.ram.load<uint16_t>(at_.driver + kRingEntries + uint64_t{size_} * kAvailEntry);
  if (!event) return false;
  // 2.7.7.1: whether the used index has stepped over the driver's event.
  return static_cast<uint16_t>(next_used_ - *event - 1) < static_cast<uint16_t>(next_used_ - before);
}

}  // namespace rhea::devices::virtio
