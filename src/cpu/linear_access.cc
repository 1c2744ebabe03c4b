// Guest memory as the system-level semantics read and write it: physical accesses through the cached memory
// view, linear ones through translate(). General registers only; whatever is not RAM runs behind
// Core::cold().
#include "cpu/paging.h"
#include "cpu/paging_cold.h"
#include "cpu/paging_tlb.h"
#include "cpu/system_slots.h"

namespace rhea::cpu {

using memory::FlatRange;

namespace {

ViewCache* current_view(Core& c) {
  if (c.tlb == nullptr) [[unlikely]]
    c.cold(paging_cold::create, &c);
  ViewCache& v = c.tlb->views[c.s.in_smm != 0 ? 1 : 0];
  if (v.space != c.memory) [[unlikely]] {
    paging_cold::RefreshArg arg{&v, c.memory};
    c.cold(paging_cold::refresh_view, &arg);
  }
  return &v;
}

bool holds(const FlatRange& r, uint64_t gpa) {
  return gpa - r.start < r.size;
}

template <class T>
T load_as(const uint8_t* from) {
  // SAFETY: guest memory has no type; x86 takes any alignment; the attribute keeps the compiler from assuming
  // one.
  typedef T __attribute__((may_alias, aligned(1))) Unaligned;
  return *reinterpret_cast<const volatile Unaligned*>(from);
}

template <class T>
void store_as(uint8_t* to, T value) {
  // SAFETY: as load_as.
  typedef T __attribute__((may_alias, aligned(1))) Unaligned;
  *reinterpret_cast<volatile Unaligned*>(to) = value;
}

// Widest pieces first, so that what the guest expects to be one access of up to 8 bytes is one.
void copy_bytes(uint8_t* to, const uint8_t* from, unsigned size) {
  for (; size >= 8; size -= 8, to += 8, from += 8) store_as<uint64_t>(to, load_as<uint64_t>(from));
  if ((size & 4) != 0) {
    store_as<uint32_t>(to, load_as<uint32_t>(from));
    to += 4;
    from += 4;
  }
  if ((size & 2) != 0) {
    store_as<uint16_t>(to, load_as<uint16_t>(from));
    to += 2;
    from += 2;
  }
  if ((size & 1) != 0) store_as<uint8_t>(to, load_as<uint8_t>(from));
}

unsigned piece_size(unsigned size) {
  return size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
}

// The local APIC's page is the vCPU's own: no address space that all vCPUs share can hold it.
bool apic_page(const Core& c, uint64_t gpa) {
  return ((gpa ^ c.s.apic_base) & ~uint64_t{0xfff}) == 0 && (c.s.apic_base & 0x800) != 0 && c.apic != nullptr;
}

uint64_t io_load(Core& c, uint64_t gpa, unsigned size) {
  uint64_t value;
  if (apic_page(c, gpa) && c.apic->load(gpa & 0xfff, size, value)) return value;
  paging_cold::IoArg arg{c.memory, gpa, 0, size};
  c.cold(paging_cold::load, &arg);
  return arg.value;
}

// Through the address space, which also knows what to say of a write to ROM.
void space_store(Core& c, uint64_t gpa, unsigned size, uint64_t value) {
  paging_cold::IoArg arg{c.memory, gpa, value, size};
  c.cold(paging_cold::store, &arg);
}

void io_store(Core& c, uint64_t gpa, unsigned size, uint64_t value) {
  if (apic_page(c, gpa) && c.apic->store(gpa & 0xfff, size, value)) return;
  space_store(c, gpa, size, value);
}

// size: 1..64, within a page.
void read_piece(Core& c, uint64_t gpa, uint8_t* to, unsigned size) {
  const FlatRange* range;
  if (const uint8_t* host = host_pointer(c, gpa, size, range)) [[likely]] {
    copy_bytes(to, host, size);
    return;
  }
  while (size != 0) {
    unsigned n = piece_size(size);
    uint64_t value = io_load(c, gpa, n);
    copy_bytes(to, reinterpret_cast<const uint8_t*>(&value), n);
    to += n;
    gpa += n;
    size -= n;
  }
}

void write_piece(Core& c, uint64_t gpa, const uint8_t* from, unsigned size) {
  const FlatRange* range;
  uint8_t* host = host_pointer(c, gpa, size, range);
  bool rom = host != nullptr && range->access == memory::RamAccess::ReadOnly;
  if (host != nullptr && !rom) [[likely]] {
    copy_bytes(host, from, size);
    note_code_write(c, *range, gpa, size);
    return;
  }
  while (size != 0) {
    unsigned n = piece_size(size);
    uint64_t value = 0;
    copy_bytes(reinterpret_cast<uint8_t*>(&value), from, n);
    rom ? space_store(c, gpa, n, value) : io_store(c, gpa, n, value);
    from += n;
    gpa += n;
    size -= n;
  }
}

// The one or two pages under an access.
struct Pieces {
  uint64_t gpa[2];
  unsigned bytes[2];
};

bool translate_pieces(Core& c, uint64_t linear, unsigned size, Access access, Privilege privilege, bool stack,
                      Pieces& out) {
  Translation t;
  auto room = static_cast<unsigned>(kPageSize - (linear & kPageMask));
  out.bytes[0] = size < room ? size : room;
  out.bytes[1] = size - out.bytes[0];
  if (!translate(c, linear, access, privilege, t, stack)) return false;
  out.gpa[0] = t.gpa;
  if (out.bytes[1] == 0) [[likely]]
    return true;
  uint64_t second = linear + room;
  if (!c.s.long_mode()) second &= 0xffffffff;
  if (!translate(c, second, access, privilege, t, stack)) return false;
  out.gpa[1] = t.gpa;
  return true;
}

}  // namespace

const FlatRange* find_range(Core& c, uint64_t gpa) {
  ViewCache& v = *current_view(c);
  if (v.last == nullptr) return nullptr;
  if (holds(*v.last, gpa)) [[likely]]
    return v.last;
  uint64_t low = 0;
  uint64_t high = v.count;
  while (low < high) {
    uint64_t middle = (low + high) / 2;
    const FlatRange& r = v.ranges[middle];
    if (holds(r, gpa)) {
      v.last = &r;
      return &r;
    }
    if (gpa < r.start) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return nullptr;
}

uint8_t* host_pointer(Core& c, uint64_t gpa, uint64_t size, const FlatRange*& range) {
  range = find_range(c, gpa);
  if (range == nullptr || range->ram == nullptr) return nullptr;
  uint64_t inside = gpa - range->start;
  if (range->size - inside < size) return nullptr;
  return range->ram->host() + range->offset + inside;
}

void note_code_write(Core& c, const FlatRange& range, uint64_t gpa, unsigned size) {
  uint64_t offset = range.offset + (gpa - range.start);
  uint64_t first = offset / kPageSize;
  uint64_t last = (offset + size - 1) / kPageSize;
  if (!range.ram->page_has_code(first) && (first == last || !range.ram->page_has_code(last))) [[likely]]
    return;
  paging_cold::NoteArg arg{range.ram, offset, size};
  c.cold(paging_cold::note_written, &arg);
}

uint64_t read_physical(Core& c, uint64_t gpa, unsigned size) {
  gpa = mask_a20(c, gpa);
  const FlatRange* range;
  if (const uint8_t* host = host_pointer(c, gpa, size, range)) {
    uint64_t value = 0;
    copy_bytes(reinterpret_cast<uint8_t*>(&value), host, size);
    return value;
  }
  return io_load(c, gpa, size);
}

void write_physical(Core& c, uint64_t gpa, unsigned size, uint64_t value) {
  write_piece(c, mask_a20(c, gpa), reinterpret_cast<const uint8_t*>(&value), size);
}

bool read_linear(Core& c, uint64_t linear, void* to, unsigned size, Privilege privilege, bool stack) {
  if (!c.s.long_mode()) linear &= 0xffffffff;
  if (const SystemSlot* slot = find_slot(c, linear, size, false, privilege)) [[likely]] {
    copy_bytes(static_cast<uint8_t*>(to), slot->host + (linear & kPageMask), size);
    return true;
  }
  Pieces p;
  if (!translate_pieces(c, linear, size, Access::Read, privilege, stack, p)) return false;
  auto* bytes = static_cast<uint8_t*>(to);
  read_piece(c, p.gpa[0], bytes, p.bytes[0]);
  if (p.bytes[1] != 0) read_piece(c, p.gpa[1], bytes + p.bytes[0], p.bytes[1]);
  fill_slot(c, linear, false, privilege);
  return true;
}

bool write_linear(Core& c, uint64_t linear, const void* from, unsigned size, Privilege privilege,
                  bool stack) {
  if (!c.s.long_mode()) linear &= 0xffffffff;
  if (const SystemSlot* slot = find_slot(c, linear, size, true, privilege)) [[likely]] {
    uint64_t in_page = linear & kPageMask;
    copy_bytes(slot->host + in_page, static_cast<const uint8_t*>(from), size);
    note_code_write(c, *slot->range, slot->gpa + in_page, size);
    return true;
  }
  Pieces p;
  if (!translate_pieces(c, linear, size, Access::Write, privilege, stack, p)) return false;
  const auto* bytes = static_cast<const uint8_t*>(from);
  write_piece(c, p.gpa[0], bytes, p.bytes[0]);
  if (p.bytes[1] != 0) write_piece(c, p.gpa[1], bytes + p.bytes[0], p.bytes[1]);
  fill_slot(c, linear, true, privilege);
  return true;
}

bool update_byte(Core& c, uint64_t linear, uint8_t clear, uint8_t set) {
  Translation t;
  if (!translate(c, linear, Access::Write, Privilege::Implicit, t)) return false;
  const FlatRange* range;
  uint8_t* host = host_pointer(c, t.gpa, 1, range);
  if (host == nullptr) {
    io_store(c, t.gpa, 1, (io_load(c, t.gpa, 1) & ~uint64_t{clear}) | set);
    return true;
  }
  if (range->access == memory::RamAccess::ReadOnly) return true;
  if (set != 0) __atomic_fetch_or(host, set, __ATOMIC_SEQ_CST);
  if (clear != 0) __atomic_fetch_and(host, static_cast<uint8_t>(~clear), __ATOMIC_SEQ_CST);
  note_code_write(c, *range, t.gpa, 1);
  return true;
}

bool probe_write(Core& c, uint64_t linear, unsigned size, Privilege privilege, bool stack) {
  Pieces p;
  return translate_pieces(c, linear, size, Access::Write, privilege, stack, p);
}

}  // namespace rhea::cpu
