// For tests: the guest's side of one virtqueue, split or packed, in a RAM block that is mapped from address
// 0.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/endian.h"
#include "devices/virtio/virtqueue.h"
#include "memory/ram_block.h"

namespace rhea::devices::virtio::testing {

struct Buffer {
  uint64_t address;
  uint32_t length;
  bool write;
};

struct Used {
  uint32_t id;
  uint32_t written;
};

class RingDriver {
 public:
  // Takes three pages from base on, and more above for indirect tables.
  RingDriver(memory::RamBlock& ram, uint64_t base, uint16_t size, bool packed)
      : ram_(&ram), base_(base), size_(size), packed_(packed) {
    CHECK(size_t{size} * kDescBytes <= 4096);
  }

  Virtqueue::Addresses addresses() const {
    return {.desc = base_, .driver = base_ + 0x1000, .device = base_ + 0x2000};
  }

  // Makes a request available and returns its id.
  uint16_t add(const std::vector<Buffer>& buffers, bool indirect = false) {
    return packed_ ? add_packed(buffers, indirect) : add_split(buffers, indirect);
  }
  std::optional<Used> take() { return packed_ ? take_packed() : take_split(); }

  // Raw access, for rings that are against the rules.
  template <std::unsigned_integral T>
  void put(uint64_t at, T value) {
    store_le<T>(ram_->host() + at, value);
  }
  template <std::unsigned_integral T>
  T get(uint64_t at) const {
    return load_le<T>(ram_->host() + at);
  }
  void put_descriptor(uint64_t at, uint64_t address, uint32_t length, uint16_t third, uint16_t fourth) {
    put<uint64_t>(at, address);
    put<uint32_t>(at + 8, length);
    put<uint16_t>(at + 12, third);
    put<uint16_t>(at + 14, fourth);
  }
  // Split: makes descriptor `head` available as it stands.
  void offer(uint16_t head) {
    put<uint16_t>(base_ + 0x1000 + 4 + avail_ % size_ * 2, head);
    put<uint16_t>(base_ + 0x1000 + 2, ++avail_);
  }
  uint16_t avail_flags() const { return static_cast<uint16_t>(wrap_ ? kDescAvail : kDescUsed); }

 private:
  uint64_t table_at(uint16_t slot) const { return base_ + 0x3000 + uint64_t{slot} * 1024; }

  uint16_t add_split(const std::vector<Buffer>& buffers, bool indirect) {
    const uint16_t head = next_free_;
    uint64_t table = base_;
    uint16_t first = next_free_;
    if (indirect) {
      table = table_at(head);
      first = 0;
      put_descriptor(base_ + uint64_t{head} * kDescBytes, table,
                     static_cast<uint32_t>(buffers.size() * kDescBytes), kDescIndirect, 0);
      next_free_ = static_cast<uint16_t>((next_free_ + 1) % size_);
    }
    for (size_t i = 0; i < buffers.size(); ++i) {
      const uint16_t at = static_cast<uint16_t>(indirect ? i : (first + i) % size_);
      const uint16_t next = static_cast<uint16_t>(indirect ? i + 1 : (first + i + 1) % size_);
      const bool more = i + 1 < buffers.size();
      const unsigned flags = (buffers[i].write ? kDescWrite : 0u) | (more ? kDescNext : 0u);
      put_descriptor(table + uint64_t{at} * kDescBytes, buffers[i].address, buffers[i].length,
                     static_cast<uint16_t>(flags), more ? next : uint16_t{0});
      if (!indirect) next_free_ = next;
    }
    offer(head);
    return head;
  }

  uint16_t add_packed(const std::vector<Buffer>& buffers, bool indirect) {
    const uint16_t id = next_id_++ % size_;
    const uint16_t head = next_free_;
    const uint16_t head_flags = avail_flags();
    const size_t slots = indirect ? 1 : buffers.size();
    slots_[id] = static_cast<uint16_t>(slots);
    for (size_t i = 0; i < buffers.size() && indirect; ++i)
      put_descriptor(table_at(id) + i * kDescBytes, buffers[i].address, buffers[i].length, 0,
                     buffers[i].write ? kDescWrite : uint16_t{0});
    uint16_t first_flags = 0;
    for (size_t i = 0; i < slots; ++i) {
      unsigned flags = i == 0 ? head_flags : avail_flags();
      if (indirect)
        flags |= kDescIndirect;
      else
        flags |= (buffers[i].write ? kDescWrite : 0u) | (i + 1 < slots ? kDescNext : 0u);
      const uint64_t at = base_ + uint64_t{next_free_} * kDescBytes;
      const uint64_t address = indirect ? table_at(id) : buffers[i].address;
      const uint32_t length =
          indirect ? static_cast<uint32_t>(buffers.size() * kDescBytes) : buffers[i].length;
      if (i == 0) first_flags = static_cast<uint16_t>(flags);
      put_descriptor(at, address, length, id, i == 0 ? get<uint16_t>(at + 14) : static_cast<uint16_t>(flags));
      if (++next_free_ == size_) {
        next_free_ = 0;
        wrap_ = !wrap_;
      }
    }
    put<uint16_t>(base_ + uint64_t{head} * kDescBytes + 14, first_flags);
    return id;
  }

  std::optional<Used> take_split() {
    if (get<uint16_t>(base_ + 0x2000 + 2) == used_) return std::nullopt;
    const uint64_t at = base_ + 0x2000 + 4 + uint64_t{used_++} % size_ * 8;
    return Used{get<uint32_t>(at), get<uint32_t>(at + 4)};
  }

  std::optional<Used> take_packed() {
    const uint64_t at = base_ + uint64_t{used_} * kDescBytes;
    const uint16_t flags = get<uint16_t>(at + 14);
    const bool avail = (flags & kDescAvail) != 0, used = (flags & kDescUsed) != 0;
    if (avail != used || used != used_wrap_) return std::nullopt;
    const Used out{get<uint16_t>(at + 12), get<uint32_t>(at + 8)};
    used_ = static_cast<uint16_t>(used_ + slots_[static_cast<uint16_t>(out.id)]);
    if (used_ >= size_) {
      used_ = static_cast<uint16_t>(used_ - size_);
      used_wrap_ = !used_wrap_;
    }
    return out;
  }

  memory::RamBlock* ram_;
  uint64_t base_;
  uint16_t size_;
  bool packed_;
  uint16_t next_free_ = 0, next_id_ = 0, avail_ = 0, used_ = 0;
  bool wrap_ = true, used_wrap_ = true;
  std::map<uint16_t, uint16_t> slots_;
};

}  // namespace rhea::devices::virtio::testing
