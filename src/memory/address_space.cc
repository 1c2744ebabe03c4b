// Guest address spaces: the list of regions, its flattened view and the accesses through it.
//
// Threading: the list is changed with the machine lock held. The view is immutable and swapped whole; each
// thread keeps the views it used last and compares a generation, so that an access costs no reference count.
// An access that races with a change takes effect before or after it, as on a bus.
#include "memory/address_space.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>

#include "base/access_scope.h"
#include "base/check.h"
#include "memory/flatten.h"

namespace rhea::memory {

namespace {

std::atomic<uint64_t> next_space{1};

uint64_t ones(unsigned size) {
  return size >= 8 ? ~uint64_t{0} : (uint64_t{1} << (size * 8)) - 1;
}

// The same integers at any address.
using Any16 [[gnu::aligned(1), gnu::may_alias]] = uint16_t;
using Any32 [[gnu::aligned(1), gnu::may_alias]] = uint32_t;
using Any64 [[gnu::aligned(1), gnu::may_alias]] = uint64_t;

// SAFETY (both): [host, host + size) lies in one RAM block; x86 hosts load and store unaligned, aligned ones
// whole.
uint64_t load_host(const uint8_t* host, unsigned size) {
  switch (size) {
    case 1: return *reinterpret_cast<const volatile uint8_t*>(host);
    case 2: return *reinterpret_cast<const volatile Any16*>(host);
    case 4: return *reinterpret_cast<const volatile Any32*>(host);
    default: return *reinterpret_cast<const volatile Any64*>(host);
  }
}

void store_host(uint8_t* host, unsigned size, uint64_t value) {
  switch (size) {
    case 1: *reinterpret_cast<volatile uint8_t*>(host) = static_cast<uint8_t>(value); return;
    case 2: *reinterpret_cast<volatile Any16*>(host) = static_cast<uint16_t>(value); return;
    case 4: *reinterpret_cast<volatile Any32*>(host) = static_cast<uint32_t>(value); return;
    default: *reinterpret_cast<volatile Any64*>(host) = value; return;
  }
}

// The largest access of at most `limit` and `left` bytes.
unsigned piece(uint64_t left, unsigned limit) {
  return static_cast<unsigned>(std::bit_floor(std::min<uint64_t>(left, limit)));
}

// One handler's accesses, in the widths it takes. `size` may be anything up to 8 and lies inside the range.
class HandlerAccess {
 public:
  HandlerAccess(IoHandler& handler, std::recursive_mutex& lock)
      : handler_(handler), traits_(handler.io_traits()), lock_(lock, std::defer_lock) {
    if (traits_.locking == Locking::Machine) lock_.lock();
  }

  uint64_t read(uint64_t offset, unsigned size) {
    uint64_t value = 0;
    for (unsigned done = 0; done < size;) {
      uint64_t at = offset + done;
      unsigned n = piece(size - done, traits_.max);
      if (n < traits_.min) {
        unsigned skip = static_cast<unsigned>(at & (traits_.min - 1));
        n = std::min(size - done, traits_.min - skip);
        uint64_t wide = handler_.io_read(at - skip, traits_.min);
        value |= ((wide >> (skip * 8)) & ones(n)) << (done * 8);
      } else {
        value |= (handler_.io_read(at, n) & ones(n)) << (done * 8);
      }
      done += n;
    }
    return value;
  }

  void write(uint64_t offset, unsigned size, uint64_t value) {
    for (unsigned done = 0; done < size;) {
      uint64_t at = offset + done;
      unsigned n = piece(size - done, traits_.max);
      uint64_t part = value >> (done * 8);
      if (n < traits_.min) {
        unsigned skip = static_cast<unsigned>(at & (traits_.min - 1));
        n = std::min(size - done, traits_.min - skip);
        handler_.io_write(at - skip, traits_.min, (part & ones(n)) << (skip * 8));
      } else {
        handler_.io_write(at, n, part & ones(n));
      }
      done += n;
    }
  }

 private:
  AccessScope scope_;  // first: it ends after the lock
  IoHandler& handler_;
  IoTraits traits_;
  std::unique_lock<std::recursive_mutex> lock_;
};

struct CachedView {
  uint64_t space = 0;
  std::shared_ptr<const FlatView> view;
};
thread_local std::array<CachedView, 4> view_cache;

}  // namespace

struct AddressSpace::Impl {
  Impl(std::string space_name, std::recursive_mutex& machine_lock, LogItem item)
      : name(std::move(space_name)), nothing_there(item), lock(machine_lock), id(next_space.fetch_add(1)) {}

  void report(std::string_view what, uint64_t address, unsigned size) const {
    constexpr auto kFormat = "{}: {}-byte {} at {:#x}, where nothing is";
    if (nothing_there == LogItem::GuestErrors) {
      guest_error(kFormat, name, size, what, address);
    } else {
      log_to(nothing_there, kFormat, name, size, what, address);
    }
  }

  std::string name;
  LogItem nothing_there;
  std::recursive_mutex& lock;
  uint64_t id;
  std::vector<Region> regions;
  std::vector<uint32_t> ids;  // parallel to regions
  uint32_t next_id = 1;
  unsigned depth = 0;
  bool dirty = false;
  std::atomic<std::shared_ptr<const FlatView>> view{std::make_shared<const FlatView>()};
  std::atomic<uint64_t> generation{0};
  std::vector<std::function<void()>> listeners;

  Region& region(MapId map) {
    auto at = std::find(ids.begin(), ids.end(), static_cast<uint32_t>(map));
    CHECK(at != ids.end());
    return regions[static_cast<size_t>(at - ids.begin())];
  }

  Result<MapId> add(Region region) {
    if (region.range.size == 0) return fail(ErrorKind::OutOfRange, name + ": empty region");
    if (region.range.start + region.range.size < region.range.start) {
      return fail(ErrorKind::OutOfRange, name + ": region beyond the end of the address space");
    }
    std::scoped_lock hold(lock);
    region.sequence = next_id;
    regions.push_back(region);
    ids.push_back(next_id);
    changed();
    return MapId{next_id++};
  }

  void changed() {
    dirty = true;
    if (depth == 0) swap();
  }

  void swap() {
    dirty = false;
    auto fresh = std::make_shared<FlatView>();
    fresh->ranges = flatten(regions);
    fresh->generation = generation.load() + 1;
    view.store(fresh);
    generation.store(fresh->generation);
    for (auto& listener : listeners) listener();
  }

  // Valid until this thread's next call for another address space, or a change.
  std::shared_ptr<const FlatView>& current() {
    CachedView& slot = view_cache[id % view_cache.size()];
    if (slot.space != id || slot.view->generation != generation.load(std::memory_order_acquire)) {
      slot.space = id;
      slot.view = view.load();
    }
    return slot.view;
  }
};

AddressSpace::AddressSpace(std::string name, std::recursive_mutex& machine_lock, LogItem nothing_there)
    : impl_(std::make_unique<Impl>(std::move(name), machine_lock, nothing_there)) {}
AddressSpace::~AddressSpace() = default;

Result<MapId> AddressSpace::map_ram(Gpa at, RamBlock& ram, uint64_t ram_offset, uint64_t size,
                                    RamAccess access, int priority) {
  if (ram_offset > ram.size() || size > ram.size() - ram_offset) {
    return fail(ErrorKind::OutOfRange, impl_->name + ": region beyond the end of '" + ram.name() + "'");
  }
  return impl_->add({.range = {raw(at), size, &ram, ram_offset, nullptr, access}, .priority = priority});
}

Result<MapId> AddressSpace::map_io(Gpa at, uint64_t size, IoHandler& handler, uint64_t offset, int priority) {
  return impl_->add(
      {.range = {raw(at), size, nullptr, offset, &handler, RamAccess::ReadWrite}, .priority = priority});
}

Result<MapId> AddressSpace::map_rom_device(Gpa at, RamBlock& ram, uint64_t ram_offset, uint64_t size,
                                           IoHandler& writes, int priority) {
  if (ram_offset > ram.size() || size > ram.size() - ram_offset) {
    return fail(ErrorKind::OutOfRange, impl_->name + ": region beyond the end of '" + ram.name() + "'");
  }
  return impl_->add(
      {.range = {raw(at), size, &ram, ram_offset, &writes, RamAccess::ReadOnly}, .priority = priority});
}

void AddressSpace::unmap(MapId id) {
  std::scoped_lock hold(impl_->lock);
  auto index = &impl_->region(id) - impl_->regions.data();
  impl_->regions.erase(impl_->regions.begin() + index);
  impl_->ids.erase(impl_->ids.begin() + index);
  impl_->changed();
}

void AddressSpace::move(MapId id, Gpa at) {
  std::scoped_lock hold(impl_->lock);
  FlatRange& range = impl_->region(id).range;
  if (range.start == raw(at)) return;
  range.start = raw(at);
  impl_->changed();
}

void AddressSpace::set_enabled(MapId id, bool enabled) {
  std::scoped_lock hold(impl_->lock);
  Region& region = impl_->region(id);
  if (region.enabled == enabled) return;
  region.enabled = enabled;
  impl_->changed();
}

void AddressSpace::set_access(MapId id, RamAccess access) {
  std::scoped_lock hold(impl_->lock);
  Region& region = impl_->region(id);
  if (region.range.access == access) return;
  region.range.access = access;
  impl_->changed();
}

void AddressSpace::begin() {
  std::scoped_lock hold(impl_->lock);
  ++impl_->depth;
}

void AddressSpace::commit() {
  std::scoped_lock hold(impl_->lock);
  CHECK(impl_->depth > 0);
  if (--impl_->depth == 0 && impl_->dirty) impl_->swap();
}

std::shared_ptr<const FlatView> AddressSpace::view() const {
  return impl_->view.load();
}
uint64_t AddressSpace::generation() const {
  return impl_->generation.load(std::memory_order_acquire);
}
void AddressSpace::on_change(std::function<void()> listener) {
  std::scoped_lock hold(impl_->lock);
  impl_->listeners.push_back(std::move(listener));
}

uint64_t AddressSpace::load(uint64_t address, unsigned size) {
  // A copy only where a handler runs, which may itself make accesses and change the map.
  const std::shared_ptr<const FlatView>& view = impl_->current();
  const FlatRange* range = view->find(address);
  if (range == nullptr || range->size - (address - range->start) < size) return load_pieces(address, size);
  uint64_t offset = range->offset + (address - range->start);
  if (range->ram != nullptr) return load_host(range->ram->host() + offset, size);
  return HandlerAccess(*range->io, impl_->lock).read(offset, size);
}

// The handler that takes an access of this size as it is, or null.
static IoHandler* whole_handler(const FlatView& view, uint64_t address, unsigned size, uint64_t& offset) {
  const FlatRange* range = view.find(address);
  if (range == nullptr || range->ram != nullptr || range->size - (address - range->start) < size)
    return nullptr;
  offset = range->offset + (address - range->start);
  const IoTraits traits = range->io->io_traits();
  return size >= traits.min && size <= traits.max ? range->io : nullptr;
}

void AddressSpace::load_run(uint64_t address, unsigned size, std::span<uint8_t> data) {
  uint64_t offset = 0;
  if (IoHandler* handler = whole_handler(*impl_->current(), address, size, offset)) {
    std::unique_lock hold(impl_->lock, std::defer_lock);
    if (handler->io_traits().locking == Locking::Machine) hold.lock();
    handler->io_read_run(offset, size, data);
    return;
  }
  for (; data.size() >= size; data = data.subspan(size)) {
    const uint64_t value = load(address, size);
    std::memcpy(data.data(), &value, size);
  }
}

void AddressSpace::store_run(uint64_t address, unsigned size, std::span<const uint8_t> data) {
  uint64_t offset = 0;
  if (IoHandler* handler = whole_handler(*impl_->current(), address, size, offset)) {
    std::unique_lock hold(impl_->lock, std::defer_lock);
    if (handler->io_traits().locking == Locking::Machine) hold.lock();
    handler->io_write_run(offset, size, data);
    return;
  }
  for (; data.size() >= size; data = data.subspan(size)) {
    uint64_t value = 0;
    std::memcpy(&value, data.data(), size);
    store(address, size, value);
  }
}

// Byte by byte, where something may begin or end.
uint64_t AddressSpace::load_pieces(uint64_t address, unsigned size) {
  uint64_t value = 0;
  bool any = false;
  for (unsigned i = 0; i < size; ++i) {
    bool mapped = impl_->current()->find(address + i) != nullptr;
    any |= mapped;
    value |= (mapped ? load(address + i, 1) : 0xff) << (i * 8);
  }
  if (!any) impl_->report("read", address, size);
  return value;
}

void AddressSpace::store(uint64_t address, unsigned size, uint64_t value) {
  const std::shared_ptr<const FlatView>& view = impl_->current();
  const FlatRange* range = view->find(address);
  if (range == nullptr || range->size - (address - range->start) < size) {
    store_pieces(address, size, value);
    return;
  }
  uint64_t offset = range->offset + (address - range->start);
  if (range->ram == nullptr) {
    HandlerAccess(*range->io, impl_->lock).write(offset, size, value);
  } else if (range->access == RamAccess::ReadWrite) {
    store_host(range->ram->host() + offset, size, value);
    range->ram->note_written(offset, size);
  } else if (range->io != nullptr) {
    HandlerAccess(*range->io, impl_->lock).write(offset, size, value);
  } else {
    guest_error("{}: {}-byte write to read-only memory at {:#x}", impl_->name, size, address);
  }
}

void AddressSpace::store_pieces(uint64_t address, unsigned size, uint64_t value) {
  bool any = false;
  for (unsigned i = 0; i < size; ++i) {
    if (impl_->current()->find(address + i) == nullptr) continue;
    any = true;
    store(address + i, 1, value >> (i * 8));
  }
  if (!any) impl_->report("write", address, size);
}

bool AddressSpace::read(uint64_t address, std::span<uint8_t> to) {
  std::shared_ptr<const FlatView> view = this->view();
  bool whole = true;
  while (!to.empty()) {
    const FlatRange* range = view->find(address);
    uint64_t n = 1;
    if (range == nullptr) {
      to[0] = 0xff;
      whole = false;
    } else {
      uint64_t offset = range->offset + (address - range->start);
      n = std::min<uint64_t>(to.size(), range->size - (address - range->start));
      if (range->ram != nullptr) {
        std::memcpy(to.data(), range->ram->host() + offset, n);
      } else {
        n = piece(n, 8);
        uint64_t value = HandlerAccess(*range->io, impl_->lock).read(offset, static_cast<unsigned>(n));
        std::memcpy(to.data(), &value, n);
      }
    }
    to = to.subspan(n);
    address += n;
  }
  return whole;
}

bool AddressSpace::write(uint64_t address, std::span<const uint8_t> from) {
  std::shared_ptr<const FlatView> view = this->view();
  bool whole = true;
  while (!from.empty()) {
    const FlatRange* range = view->find(address);
    uint64_t n = 1;
    if (range == nullptr) {
      whole = false;
    } else {
      uint64_t offset = range->offset + (address - range->start);
      n = std::min<uint64_t>(from.size(), range->size - (address - range->start));
      bool rom = range->access == RamAccess::ReadOnly;
      if (range->io != nullptr && (range->ram == nullptr || rom)) {
        n = piece(n, 8);
        uint64_t value = 0;
        std::memcpy(&value, from.data(), n);
        HandlerAccess(*range->io, impl_->lock).write(offset, static_cast<unsigned>(n), value);
      } else if (!rom) {
        std::memcpy(range->ram->host() + offset, from.data(), n);
        range->ram->note_written(offset, n);
      }
    }
    from = from.subspan(n);
    address += n;
  }
  return whole;
}

}  // namespace rhea::memory
