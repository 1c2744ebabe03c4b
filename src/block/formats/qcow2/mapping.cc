// From guest offsets to clusters: L1 and L2 tables.
#include <algorithm>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/qcow2/image.h"

namespace rhea::block::qcow2 {

Result<uint64_t> Qcow2Image::l2_table_offset(uint64_t l1_index) const {
  if (l1_index >= l1_.size()) return 0;
  const uint64_t offset = l1_[l1_index] & kOffsetMask;
  if (!is_aligned(offset, cluster_size_))
    return failf(ErrorKind::Invalid, "L2 table offset {:#x} unaligned (L1 index: {:#x})", offset, l1_index);
  return offset;
}

L2Entry Qcow2Image::load_entry(const uint8_t* table, uint64_t index) const {
  const uint8_t* at = table + index * header_.l2_entry_size();
  return {.word = load_be<uint64_t>(at), .bitmap = header_.extended_l2() ? load_be<uint64_t>(at + 8) : 0};
}

void Qcow2Image::store_entry(uint8_t* table, uint64_t index, const L2Entry& entry) const {
  uint8_t* at = table + index * header_.l2_entry_size();
  store_be(at, entry.word);
  if (header_.extended_l2()) store_be(at + 8, entry.bitmap);
}

Unit Qcow2Image::unit_kind(const L2Entry& entry, unsigned unit) const {
  if ((entry.word & kCompressed) != 0) return Unit::Compressed;
  if (header_.extended_l2()) {
    if ((entry.bitmap >> (32 + unit) & 1) != 0) return Unit::Zero;
    return (entry.bitmap >> unit & 1) != 0 ? Unit::Data : Unit::Unallocated;
  }
  if (header_.version >= 3 && (entry.word & kZero) != 0) return Unit::Zero;
  // In a data file offset 0 is a place like any other; there the flag tells.
  if ((entry.word & kOffsetMask) != 0) return Unit::Data;
  return data_file_ && (entry.word & kCopied) != 0 ? Unit::Data : Unit::Unallocated;
}

// What an image may claim about a cluster.
Result<> Qcow2Image::check_entry(const L2Entry& entry, uint64_t offset) const {
  if ((entry.word & kCompressed) != 0) return {};
  const uint64_t host = entry.word & kOffsetMask;
  if (!is_aligned(host, cluster_size_))
    return failf(ErrorKind::Invalid, "Cluster allocation offset {:#x} unaligned (guest offset: {:#x})", host,
                 offset);
  if (header_.extended_l2() && (entry.bitmap & entry.bitmap >> 32 & UINT32_MAX) != 0)
    return failf(ErrorKind::Invalid, "Invalid subcluster bitmap (guest offset: {:#x})", offset);
  return {};
}

Result<L2Entry> Qcow2Image::entry_at(uint64_t offset) {
  const uint64_t table_offset = TRY(l2_table_offset(l1_index(offset)));
  if (table_offset == 0) return L2Entry{};
  const uint8_t* table = TRY(tables_.get(table_offset));
  const L2Entry entry = load_entry(table, l2_index(offset));
  TRY(check_entry(entry, offset));
  return entry;
}

Result<> Qcow2Image::set_entry(uint64_t offset, const L2Entry& entry) {
  const uint64_t table_offset = TRY(writable_table(offset));
  uint8_t* table = TRY(tables_.get(table_offset));
  store_entry(table, l2_index(offset), entry);
  tables_.mark_dirty(table_offset);
  return {};
}

Result<Qcow2Image::Mapping> Qcow2Image::map(uint64_t offset, uint64_t length) {
  length = std::min(length, table_end(offset) - offset);
  const uint64_t table_offset = TRY(l2_table_offset(l1_index(offset)));
  if (table_offset == 0) return Mapping{.kind = Unit::Unallocated, .length = length};
  const uint8_t* table = TRY(tables_.get(table_offset));

  Mapping out;
  uint64_t at = offset;
  const uint64_t end = offset + length;
  while (at < end) {
    const L2Entry entry = load_entry(table, l2_index(at));
    TRY(check_entry(entry, at));
    const uint64_t in_cluster = at & (cluster_size_ - 1);
    // In an external data file the first cluster has offset 0 too.
    const uint64_t place_bits = data_file_ ? kOffsetMask | kCopied : kOffsetMask;
    const bool has_host = (entry.word & kCompressed) == 0 && (entry.word & place_bits) != 0;
    for (uint64_t place = in_cluster; place < cluster_size_ && at < end;) {
      const Unit kind = unit_kind(entry, static_cast<unsigned>(place / unit_size_));
      const uint64_t host = kind == Unit::Compressed ? entry.word : (entry.word & kOffsetMask) + place;
      const bool mapped = has_host;
      if (at == offset) {
        out = {.kind = kind, .length = 0, .host = host, .has_host = mapped};
      } else if (kind != out.kind || kind == Unit::Compressed || mapped != out.has_host ||
                 (mapped && host != out.host + out.length)) {
        return out;
      }
      const uint64_t step =
          kind == Unit::Compressed ? cluster_size_ - place : unit_size_ - place % unit_size_;
      place += step;
      at += step;
      out.length = std::min(at, end) - offset;
    }
  }
  return out;
}

Result<> Qcow2Image::write_l1(uint64_t first, uint64_t count) {
  std::vector<uint8_t> raw(count * 8);
  for (uint64_t i = 0; i < count; ++i) store_be(&raw[i * 8], l1_[first + i]);
  return file().write(l1_offset_ + first * 8, raw);
}

Result<> Qcow2Image::write_l1_entry(uint64_t index) {
  return write_l1(index, 1);
}

// A table that only this image's active L1 refers to and that may be changed in place.
Result<uint64_t> Qcow2Image::writable_table(uint64_t offset) {
  const uint64_t index = l1_index(offset);
  if (index >= l1_.size()) return failf(ErrorKind::Invalid, "offset {:#x} is beyond the L1 table", offset);
  const uint64_t old = TRY(l2_table_offset(index));
  if (old != 0 && (l1_[index] & kCopied) != 0) return old;
  const uint64_t fresh = TRY(refcounts_.allocate(1));
  TableCache::Table content(cluster_size_);
  if (old != 0) {
    const uint8_t* table = TRY(tables_.get(old));
    content.assign(table, table + cluster_size_);
  }
  uint8_t* table = TRY(tables_.create(fresh));
  std::copy(content.begin(), content.end(), table);
  // The new table is on the disk, and counted, before the L1 entry says so.
  TRY(refcounts_.write_back());
  TRY(file().write(fresh, content));
  refcounts_.protect(fresh, 1);
  l1_[index] = fresh | kCopied;
  TRY(write_l1_entry(index));
  if (old != 0) refcounts_.free(old, 1);
  return fresh;
}

Qcow2Image::Packed Qcow2Image::packed_place(uint64_t word) const {
  const unsigned shift = 62 - (header_.cluster_bits - 8);
  const uint64_t offset = word & ((uint64_t{1} << shift) - 1);
  const uint64_t sectors = (word & ~(kCopied | kCompressed)) >> shift;
  return {.offset = offset, .sectors_bytes = (sectors + 1) * 512 - (offset & 511)};
}

void Qcow2Image::free_entry(const L2Entry& entry, bool unmap) {
  if (data_file_) return;
  if ((entry.word & kCompressed) != 0) {
    const Packed place = packed_place(entry.word);
    const uint64_t first = align_down(place.offset, cluster_size_);
    const uint64_t last = align_down(place.offset + place.sectors_bytes - 1, cluster_size_);
    refcounts_.free(first, (last - first) / cluster_size_ + 1);
    packed_next_ = 0;
    return;
  }
  const uint64_t host = entry.word & kOffsetMask;
  if (host != 0) refcounts_.free(host, 1, unmap);
}

}  // namespace rhea::block::qcow2
