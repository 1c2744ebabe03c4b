// One virtqueue, device side: takes requests (chains of buffers) out of a split or packed ring and returns
// them.
//
// VIRTIO 1.2: 2.7 split, 2.8 packed, 2.7.10/2.8.10 event suppression, indirect descriptors. The ring is
// written by a guest that may be hostile at any moment: each descriptor is copied once and the copy is what
// is checked and used; chains are bounded; a ring that breaks the rules stops the queue and reports once.
// Buffers of a chain are addresses only: they are checked where they are read or written. Caller holds the
// machine lock.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "bus/device.h"
#include "devices/virtio/guest_ram.h"
#include "devices/virtio/virtio_regs.h"

namespace rhea::devices::virtio {

struct Segment {
  uint64_t address;
  uint32_t length;
};

// One request: what the device reads, then what it writes. At most kMaxSegments together, none empty.
struct Chain {
  uint16_t id = 0;
  uint16_t slots = 1;          // of a packed ring
  std::vector<Segment> out{};  // device-readable
  std::vector<Segment> in{};   // device-writable
  uint64_t out_bytes = 0, in_bytes = 0;
};

// Copies from or to segments from byte `offset` on; the number of bytes copied is less than asked where the
// segments end, nothing where one of them is no RAM.
std::optional<uint64_t> copy_from(GuestRam& ram, std::span<const Segment> from, uint64_t offset,
                                  std::span<uint8_t> to);
std::optional<uint64_t> copy_to(GuestRam& ram, std::span<const Segment> to, uint64_t offset,
                                std::span<const uint8_t> from);

class Virtqueue {
 public:
  struct Wiring {
    GuestRam& ram;
    std::function<void(std::string_view)> broken;  // the ring is against the rules; the queue stands still
    std::function<void()> interrupt;               // used buffers wait for the driver
  };
  // max_size is a power of two up to kMaxQueueSize.
  Virtqueue(Wiring wiring, uint16_t max_size);

  // The next request, or nothing: the ring is empty, not set up or broken.
  std::optional<Chain> pop();
  // Undoes pop() for the chain that was popped last and neither returned nor undone.
  void unpop(const Chain& chain);
  // Returns a request of which `written` bytes were written; the driver sees it after flush(). In any order.
  void fill(const Chain& chain, uint32_t written);
  // Shows the driver what was filled, and interrupts it if it wants that.
  void flush();
  void push(const Chain& chain, uint32_t written) {
    fill(chain, written);
    flush();
  }
  bool empty();
  // While kicks are off the driver is asked not to notify. Turning them on again returns whether requests
  // came meanwhile, of which no notification will tell.
  void disable_kicks();
  bool enable_kicks();
  // Requests that were popped and not returned.
  unsigned in_flight() const { return in_flight_; }

  // For the transport and the device base.
  struct Addresses {
    uint64_t desc = 0, driver = 0, device = 0;
  };
  struct Mode {
    bool packed = false, event_index = false, indirect = false, notify_on_empty = false;
  };
  uint16_t max_size() const { return max_size_; }
  uint16_t size() const { return size_; }
  bool set_size(uint16_t size, bool packed_allowed);  // false: not a size this queue can have
  Addresses addresses() const { return at_; }
  void set_addresses(const Addresses& at) { at_ = at; }
  bool enabled() const { return enabled_; }
  void enable(const Mode& mode);
  void disable() { enabled_ = false; }
  // What was negotiated after the queue was set up (legacy drivers may do so).
  void set_mode(const Mode& mode) { mode_ = mode; }
  void stop() { broken_ = true; }
  void reset();
  void state(bus::StateVisitor& v);

  uint16_t vector = kNoVector;

 private:
  struct Descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t third, fourth;  // split: flags, next; packed: id, flags
  };
  struct Filled {
    uint16_t id, slots;
    uint32_t written;
  };

  bool usable() const { return enabled_ && !broken_ && wiring_.ram.attached(); }
  std::nullopt_t fail(std::string_view why);
  std::optional<Descriptor> descriptor(uint64_t table, uint64_t index);
  bool add_segment(Chain& chain, const Descriptor& d, bool write);

  std::optional<Chain> split_pop();
  bool split_walk(Chain& chain, uint16_t head);
  void split_publish();
  bool split_wants_interrupt(uint16_t before);
  bool split_renew_avail();

  std::optional<Chain> packed_pop();
  bool packed_available();
  bool packed_indirect(Chain& chain, const Descriptor& d);
  void packed_publish();
  bool packed_wants_interrupt(unsigned moved);
  void packed_step(uint16_t& index, bool& wrap, unsigned slots) const;

  Wiring wiring_;
  uint16_t max_size_;
  uint16_t size_;
  Addresses at_;
  Mode mode_;
  bool enabled_ = false, broken_ = false, kicks_ = true;
  uint16_t next_avail_ = 0, next_used_ = 0;
  uint16_t seen_avail_ = 0;  // split: the driver's index when it was last read
  bool avail_wrap_ = true, used_wrap_ = true;
  uint16_t in_flight_ = 0;
  std::vector<Filled> filled_;
};

}  // namespace rhea::devices::virtio
