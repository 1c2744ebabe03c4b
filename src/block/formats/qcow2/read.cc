// Reading guest data and telling where it lies.
#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/qcow2/compression.h"
#include "block/formats/qcow2/image.h"
#include "block/protocols/protocol.h"

namespace rhea::block::qcow2 {

Result<> Qcow2Image::read(uint64_t offset, std::span<uint8_t> into) {
  TRY(check_range(offset, into.size(), size_));
  while (!into.empty()) {
    Mapping mapping;
    {
      const std::lock_guard lock(mutex_);
      mapping = TRY(map(offset, into.size()));
    }
    const auto part = into.first(static_cast<size_t>(mapping.length));
    switch (mapping.kind) {
      case Unit::Unallocated: TRY(read_backing(offset, part)); break;
      case Unit::Zero: std::memset(part.data(), 0, part.size()); break;
      case Unit::Data: TRY(read_data(mapping.host, offset, part)); break;
      case Unit::Compressed: TRY(read_compressed(mapping.host, offset, part)); break;
    }
    into = into.subspan(part.size());
    offset += part.size();
  }
  return {};
}

// What is mapped by tables that are in memory, and for which nobody else holds the lock.
bool Qcow2Image::read_at_once(uint64_t offset, std::span<const iovec> into) {
  uint64_t left = bytes_of(into);
  if (encrypted() || !check_range(offset, left, size_)) return false;
  Pieces pieces(into);
  while (left != 0) {
    Result<Mapping> mapping;
    {
      const std::unique_lock lock(mutex_, std::try_to_lock);
      if (!lock.owns_lock()) return false;
      const auto table = l2_table_offset(l1_index(offset));
      if (!table || (*table != 0 && !tables_.has(*table))) return false;
      mapping = map(offset, left);
    }
    if (!mapping) return false;
    const std::vector<iovec> part = pieces.take(mapping->length);
    switch (mapping->kind) {
      case Unit::Unallocated:
        if (!read_backing_at_once(offset, part)) return false;
        break;
      case Unit::Zero: fill_zero(part); break;
      case Unit::Data:
        if (!(data_file_ ? *data_file_ : file()).read_at_once(mapping->host, part)) return false;
        break;
      case Unit::Compressed: return false;
    }
    offset += mapping->length;
    left -= mapping->length;
  }
  return true;
}

// `into` is a part of one cluster. Whole clusters are unpacked in place; of parts, the last cluster is kept.
Result<> Qcow2Image::read_compressed(uint64_t word, uint64_t offset, std::span<uint8_t> into) {
  const Packed place = packed_place(word);
  if (place.sectors_bytes > 2 * cluster_size_ + 512) return fail(ErrorKind::Io, "Input/output error");
  std::vector<uint8_t> packed(place.sectors_bytes);
  TRY(file().read(place.offset, packed));
  if (into.size() == cluster_size_) return decompress_cluster(header_.compression, packed, into);
  struct Kept {
    const Qcow2Image* image = nullptr;
    uint64_t word = 0;
    std::vector<uint8_t> packed;
    std::vector<uint8_t> plain;
  };
  thread_local Kept kept;
  if (kept.image != this || kept.word != word || kept.packed != packed) {
    kept.image = nullptr;
    kept.plain.resize(cluster_size_);
    TRY(decompress_cluster(header_.compression, packed, kept.plain));
    kept.packed = std::move(packed);
    kept.word = word;
    kept.image = this;
  }
  std::memcpy(into.data(), kept.plain.data() + (offset & (cluster_size_ - 1)), into.size());
  return {};
}

// Whether much of what is counted as in use has no space in the file: clusters made beforehand, of which the
// file tells which were written. Looked at once.
bool Qcow2Image::is_sparse() {
  if (sparse_) return *sparse_;
  const auto* protocol = dynamic_cast<const ProtocolNode*>(&file());
  const auto allocated = protocol != nullptr ? protocol->allocated_bytes() : std::nullopt;
  sparse_ = false;
  if (!allocated) return false;
  const uint64_t there = *allocated >> header_.cluster_bits;
  // Damaged counts are no reason not to read.
  sparse_ = refcounts_.has_used(std::max(there + there / 9, there + 2)).value_or(false);
  return *sparse_;
}

Result<Extent> Qcow2Image::extent(uint64_t offset, uint64_t length) {
  TRY(check_range(offset, length, size_));
  const std::lock_guard lock(mutex_);
  Extent out;
  // Tables of a large image are small steps; what continues is joined.
  while (length != 0) {
    const Mapping mapping = TRY(map(offset, length));
    Extent part{.length = mapping.length};
    switch (mapping.kind) {
      case Unit::Unallocated: break;
      case Unit::Zero: part.allocated = part.zero = true; break;
      case Unit::Data: part.allocated = part.data = true; break;
      case Unit::Compressed: part.allocated = part.data = part.compressed = true; break;
    }
    if (mapping.has_host && mapping.kind != Unit::Compressed && !encrypted()) {
      BlockNode& holder = data_file_ ? *data_file_ : file();
      part.file = &holder;
      part.file_offset = mapping.host;
      if (mapping.kind == Unit::Data && is_sparse()) {
        const Extent below = TRY(holder.extent(mapping.host, mapping.length));
        part.length = below.length;
        part.zero = below.zero;
      }
    }
    if (out.length == 0) {
      out = part;
    } else if (out.continues_into(part)) {
      out.length += part.length;
    } else {
      break;
    }
    offset += part.length;
    length -= part.length;
  }
  return out;
}

}  // namespace rhea::block::qcow2
