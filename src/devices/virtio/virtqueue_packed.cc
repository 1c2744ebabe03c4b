// The packed ring: one ring of descriptors that both sides write, with wrap counters instead of indices.
// VIRTIO 1.2, 2.8.
#include <atomic>

#include "devices/virtio/virtqueue.h"

namespace rhea::devices::virtio {

namespace {

constexpr unsigned kFlagsAt = 14;

}  // namespace

void Virtqueue::packed_step(uint16_t& index, bool& wrap, unsigned slots) const {
  unsigned next = index + slots;
  if (next >= size_) {
    next -= size_;
    wrap = !wrap;
  }
  index = static_cast<uint16_t>(next);
}

// 2.8.1: a descriptor is available while its AVAIL bit equals the driver's wrap counter and USED does not.
bool Virtqueue::packed_available() {
  const auto flags = wiring_.ram.load<uint16_t>(at_.desc + uint64_t{next_avail_} * kDescBytes + kFlagsAt);
  if (!flags) return fail("the descriptor ring is not in RAM"), false;
  const bool avail = (*flags & kDescAvail) != 0;
  const bool used = (*flags & kDescUsed) != 0;
  std::atomic_thread_fence(std::memory_order_acquire);
  return avail == avail_wrap_ && used != avail_wrap_;
}

std::optional<Chain> Virtqueue::packed_pop() {
  if (!packed_available()) return std::nullopt;
  Chain chain{.slots = 0};
  uint16_t index = next_avail_;
  bool wrap = avail_wrap_;
  for (;;) {
    if (chain.slots == size_) return fail("a chain loops");
    const std::optional<Descriptor> d = descriptor(at_.desc, index);
    if (!d) return std::nullopt;
    const uint16_t flags = d->fourth;
    chain.id = d->third;
    ++chain.slots;
    packed_step(index, wrap, 1);
    if ((flags & kDescIndirect) != 0) {
      // 2.8.7: not together with NEXT, and instead of a chain in the ring.
      if (!mode_.indirect || chain.slots != 1 || (flags & kDescNext) != 0)
        return fail("an indirect table where none may be");
      if (!packed_indirect(chain, *d)) return std::nullopt;
      break;
    }
    if (!add_segment(chain, *d, (flags & kDescWrite) != 0)) return std::nullopt;
    if ((flags & kDescNext) == 0) break;
  }
  if (chain.id >= size_) return fail("a buffer's id is beyond the ring");
  if (in_flight_ >= size_) return fail("more requests than the ring holds");
  next_avail_ = index;
  avail_wrap_ = wrap;
  return chain;
}

bool Virtqueue::packed_indirect(Chain& chain, const Descriptor& d) {
  if (d.length == 0 || d.length % kDescBytes != 0) return fail("an indirect table of a bad size"), false;
  const uint64_t entries = d.length / kDescBytes;
  for (uint64_t i = 0; i < entries; ++i) {
    const std::optional<Descriptor> entry = descriptor(d.address, i);
    if (!entry) return false;
    if ((entry->fourth & kDescIndirect) != 0) return fail("an indirect table where none may be"), false;
    if (!add_segment(chain, *entry, (entry->fourth & kDescWrite) != 0)) return false;
  }
  return true;
}

// Descriptors are written in order except that the first one's flags come last: with them the driver sees
// all.
void Virtqueue::packed_publish() {
  unsigned moved = 0;
  uint64_t first_flags_at = 0;
  uint16_t first_flags = 0;
  for (const Filled& used : filled_) {
    const uint64_t at = at_.desc + uint64_t{next_used_} * kDescBytes;
    uint8_t body[6];
    store_le<uint32_t>(body, used.written);
    store_le<uint16_t>(body + 4, used.id);
    // 2.8.2: a used descriptor has both bits equal to the device's wrap counter.
    const unsigned flags = (used_wrap_ ? kDescAvail | kDescUsed : 0u) | (used.written != 0 ? kDescWrite : 0u);
    bool whole = wiring_.ram.write(at + 8, body);
    std::atomic_thread_fence(std::memory_order_release);
    if (moved == 0) {
      first_flags_at = at + kFlagsAt;
      first_flags = static_cast<uint16_t>(flags);
    } else {
      whole = whole && wiring_.ram.store<uint16_t>(at + kFlagsAt, static_cast<uint16_t>(flags));
    }
    if (!whole) {
      fail("the descriptor ring is not in RAM");
      return;
    }
    packed_step(next_used_, used_wrap_, used.slots);
    moved += used.slots;
  }
  std::atomic_thread_fence(std::memory_order_release);
  if (!wiring_.ram.store<uint16_t>(first_flags_at, first_flags)) {
    fail("the descriptor ring is not in RAM");
    return;
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (packed_wants_interrupt(moved)) wiring_.interrupt();
}

bool Virtqueue::packed_wants_interrupt(unsigned moved) {
  const auto flags = wiring_.ram.load<uint16_t>(at_.driver + 2);
  if (!flags) return false;
  std::atomic_thread_fence(std::memory_order_acquire);
  if (*flags != kEventDesc || !mode_.event_index) return *flags != kEventDisable;
  const auto event = wiring_.ram.load<uint16_t>(at_.driver);
  if (!event) return false;
  // 2.8.10: whether the descriptor that the driver waits for is among the `moved` ones before next_used_.
  const bool same_lap = ((*event & 0x8000) != 0) == used_wrap_;
  const unsigned at = *event & 0x7fff;
  const unsigned here = next_used_ + (same_lap ? 0u : size_);
  return here > at && here - at <= moved;
}

}  // namespace rhea::devices::virtio
