#include "devices/virtio/guest_ram.h"

#include <algorithm>
#include <cstring>

namespace rhea::devices::virtio {

namespace {

// A 16-bit index or flag that the other side may be changing must be one access.
void copy(uint8_t* to, const uint8_t* from, uint64_t bytes) {
  if (bytes == 2) {
    // SAFETY (both): the caller checked that two bytes are there; x86 hosts access unaligned words.
    using Any16 [[gnu::aligned(1), gnu::may_alias]] = uint16_t;
    *reinterpret_cast<volatile Any16*>(to) = *reinterpret_cast<const volatile Any16*>(from);
    return;
  }
  std::memcpy(to, from, bytes);
}

}  // namespace

void GuestRam::attach(memory::AddressSpace* space) {
  space_ = space;
  view_ = nullptr;
  last_ = nullptr;
}

const memory::FlatRange* GuestRam::find(uint64_t address) {
  if (space_ == nullptr) return nullptr;
  if (view_ == nullptr || view_->generation != space_->generation()) {
    view_ = space_->view();
    last_ = nullptr;
  }
  if (last_ == nullptr || address < last_->start || address - last_->start >= last_->size)
    last_ = view_->find(address);
  return last_ != nullptr && last_->ram != nullptr ? last_ : nullptr;
}

bool GuestRam::read(uint64_t address, std::span<uint8_t> to) {
  while (!to.empty()) {
    const memory::FlatRange* range = find(address);
    if (range == nullptr) return false;
    const uint64_t skip = address - range->start;
    const uint64_t n = std::min<uint64_t>(to.size(), range->size - skip);
    copy(to.data(), range->ram->host() + range->offset + skip, n);
    to = to.subspan(n);
    address += n;
    if (address == 0 && !to.empty()) return false;
  }
  return true;
}

bool GuestRam::write(uint64_t address, std::span<const uint8_t> from) {
  while (!from.empty()) {
    const memory::FlatRange* range = find(address);
    if (range == nullptr || range->access != memory::RamAccess::ReadWrite) return false;
    const uint64_t skip = address - range->start;
    const uint64_t n = std::min<uint64_t>(from.size(), range->size - skip);
    copy(range->ram->host() + range->offset + skip, from.data(), n);
    range->ram->note_written(range->offset + skip, n);
    from = from.subspan(n);
    address += n;
    if (address == 0 && !from.empty()) return false;
  }
  return true;
}

bool GuestRam::find_writable(uint64_t address, uint64_t bytes, std::vector<iovec>& places) {
  while (bytes != 0) {
    const memory::FlatRange* range = find(address);
    if (range == nullptr || range->access != memory::RamAccess::ReadWrite) return false;
    const uint64_t skip = address - range->start;
    const uint64_t n = std::min<uint64_t>(bytes, range->size - skip);
    places.push_back({range->ram->host() + range->offset + skip, n});
    bytes -= n;
    address += n;
    if (address == 0 && bytes != 0) return false;
  }
  return true;
}

void GuestRam::written(uint64_t address, uint64_t bytes) {
  while (bytes != 0) {
    const memory::FlatRange* range = find(address);
    if (range == nullptr) return;
    const uint64_t skip = address - range->start;
    const uint64_t n = std::min<uint64_t>(bytes, range->size - skip);
    range->ram->note_written(range->offset + skip, n);
    bytes -= n;
    address += n;
  }
}

}  // namespace rhea::devices::virtio
