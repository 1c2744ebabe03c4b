// Writing guest data: in place where the cluster is ours alone, else into new clusters.
#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/qcow2/compression.h"
#include "block/formats/qcow2/image.h"

namespace rhea::block::qcow2 {
namespace {

constexpr uint64_t kLargestPiece = uint64_t{16} << 20;

}  // namespace

bool Qcow2Image::is_busy(uint64_t begin, uint64_t end) const {
  return std::ranges::any_of(busy_,
                             [&](const BusyRange& range) { return begin < range.end && range.begin < end; });
}

void Qcow2Image::finish_busy(uint64_t begin) {
  std::erase_if(busy_, [&](const BusyRange& range) { return range.begin == begin; });
  not_busy_.notify_all();
}

// The first change of all: marks that only a writer who knows them may leave.
Result<> Qcow2Image::before_change() {
  if (changed_) return {};
  if (!flags_.writable || reading_snapshot_) return fail(ErrorKind::Permission, "Image is read-only");
  changed_ = true;
  const uint64_t autoclear = header_.autoclear & kKnownAutoclear;
  const bool lazy = (header_.compatible & kLazyRefcounts) != 0;
  if (autoclear == header_.autoclear && (!lazy || (header_.incompatible & kDirty) != 0)) return {};
  header_.autoclear = autoclear;
  return write_header();
}

Result<> Qcow2Image::record_changes(uint64_t offset, uint64_t length) {
  const std::lock_guard lock(mutex_);
  if (bitmaps_.empty()) return {};
  TRY(before_change());
  return record(offset, length);
}

Result<> Qcow2Image::write(uint64_t offset, std::span<const uint8_t> from) {
  TRY(check_range(offset, from.size(), size_));
  TRY(record_changes(offset, from.size()));
  while (!from.empty()) {
    const uint64_t done = TRY(write_some(offset, from));
    offset += done;
    from = from.subspan(static_cast<size_t>(done));
  }
  return {};
}

Result<uint64_t> Qcow2Image::write_some(uint64_t offset, std::span<const uint8_t> from) {
  uint64_t length = std::min({uint64_t{from.size()}, kLargestPiece, table_end(offset) - offset});
  std::unique_lock lock(mutex_);
  TRY(before_change());
  const auto cluster_begin = [&] { return align_down(offset, cluster_size_); };
  const auto cluster_end = [&] { return align_down(offset + length + cluster_size_ - 1, cluster_size_); };
  not_busy_.wait(lock, [&] { return !is_busy(cluster_begin(), cluster_end()); });
  uint64_t host = 0;
  const uint64_t in_place = TRY(in_place_length(offset, length, host));
  if (in_place != 0) {
    lock.unlock();
    TRY(write_data(host, offset, from.first(static_cast<size_t>(in_place))));
    return in_place;
  }
  length = TRY(to_allocate_length(offset, length));
  busy_.push_back({cluster_begin(), cluster_end()});
  const uint64_t begin = cluster_begin();
  const auto done = write_new(lock, offset, from.first(static_cast<size_t>(length)));
  finish_busy(begin);
  if (!done) return std::unexpected(done.error());
  return length;
}

// How much from `offset` on lies in data units of clusters that nobody else refers to, in a row.
Result<uint64_t> Qcow2Image::in_place_length(uint64_t offset, uint64_t length, uint64_t& host) {
  uint64_t at = offset;
  const uint64_t end = offset + length;
  while (at < end) {
    const L2Entry entry = TRY(entry_at(at));
    // A table shared with a snapshot makes its clusters shared, whatever their flags say.
    const bool ours = (l1_index(at) < l1_.size() && (l1_[l1_index(at)] & kCopied) != 0) &&
                      (entry.word & kCopied) != 0 && (entry.word & kCompressed) == 0;
    if (!ours) break;
    const uint64_t place = at & (cluster_size_ - 1);
    const uint64_t where = (entry.word & kOffsetMask) + place;
    if (at == offset) {
      if (!data_file_ && refcounts_.is_protected(where))
        return failf(ErrorKind::Invalid, "Preventing invalid write on metadata (guest offset: {:#x})", at);
      host = where;
    } else if (where != host + (at - offset)) {
      break;
    } else if (!data_file_ && refcounts_.is_protected(where)) {
      break;
    }
    uint64_t next = at;
    while (next < end && next - at < cluster_size_ - place &&
           unit_kind(entry, static_cast<unsigned>((place + (next - at)) / unit_size_)) == Unit::Data) {
      next += unit_size_ - next % unit_size_;
    }
    if (next == at) break;
    at = std::min(next, end);
    if (next % cluster_size_ != 0) break;
  }
  return at - offset;
}

// How much from `offset` on needs new clusters or changed entries.
Result<uint64_t> Qcow2Image::to_allocate_length(uint64_t offset, uint64_t length) {
  uint64_t at = offset;
  const uint64_t end = offset + length;
  while (at < end) {
    uint64_t host = 0;
    if (at != offset && TRY(in_place_length(at, 1, host)) != 0) break;
    const L2Entry entry = TRY(entry_at(at));
    // A cluster of ours that has a place already keeps it: one at a time.
    const bool keeps_place = (entry.word & kCopied) != 0 && (entry.word & kCompressed) == 0 &&
                             ((entry.word & kOffsetMask) != 0 || data_file_);
    if (keeps_place && at != offset) break;
    at = align_down(at, cluster_size_) + cluster_size_;
    if (keeps_place) break;
  }
  return std::min(at, end) - offset;
}

Result<uint64_t> Qcow2Image::allocate_data(uint64_t offset, uint64_t clusters, uint64_t& got) {
  if (data_file_) {
    got = clusters;
    return align_down(offset, cluster_size_);
  }
  const Refcounts::Run run = TRY(refcounts_.allocate_up_to(clusters, next_wanted_));
  got = run.count;
  next_wanted_ = run.offset + (run.count << header_.cluster_bits);
  return run.offset;
}

// The range is busy; `lock` is open while data moves.
Result<> Qcow2Image::write_new(std::unique_lock<std::mutex>& lock, uint64_t offset,
                               std::span<const uint8_t> from) {
  while (!from.empty()) {
    const uint64_t begin = align_down(offset, cluster_size_);
    const uint64_t end = align_down(offset + from.size() + cluster_size_ - 1, cluster_size_);
    TRY(writable_table(offset));
    const L2Entry first = TRY(entry_at(offset));
    uint64_t clusters = (end - begin) >> header_.cluster_bits;
    uint64_t host = 0;
    const bool keeps_place = (first.word & kCopied) != 0 && (first.word & kCompressed) == 0 &&
                             ((first.word & kOffsetMask) != 0 || data_file_);
    if (keeps_place) {
      host = first.word & kOffsetMask;
      clusters = 1;
      if (!data_file_ && refcounts_.is_protected(host))
        return failf(ErrorKind::Invalid, "Preventing invalid write on metadata (guest offset: {:#x})",
                     offset);
    } else {
      host = TRY(allocate_data(offset, clusters, clusters));
    }
    const uint64_t length =
        std::min<uint64_t>(from.size(), begin + (clusters << header_.cluster_bits) - offset);
    const L2Entry last = TRY(entry_at(offset + length - 1));
    lock.unlock();
    const auto written = fill_and_write(offset, from.first(static_cast<size_t>(length)), host, first, last);
    lock.lock();
    if (!written) {
      if (!keeps_place && !data_file_) refcounts_.free(host, clusters);
      return written;
    }
    TRY(link(offset, length, host, clusters));
    from = from.subspan(static_cast<size_t>(length));
    offset += length;
  }
  return {};
}

// Writes the data together with what its first and last unit held before around it.
Result<> Qcow2Image::fill_and_write(uint64_t offset, std::span<const uint8_t> from, uint64_t host,
                                    const L2Entry& old_first, const L2Entry& old_last) {
  const uint64_t cluster_begin = align_down(offset, cluster_size_);
  const uint64_t place = host + (offset - cluster_begin);
  uint64_t begin = align_down(offset, unit_size_);
  uint64_t end = align_down(offset + from.size() + unit_size_ - 1, unit_size_);
  // Subclusters with data of an entry that is replaced move along, all of them.
  const auto moves = [&](const L2Entry& entry) {
    const bool keeps_place = (entry.word & kCompressed) == 0 && (entry.word & kCopied) != 0;
    return units_ > 1 && !keeps_place &&
           ((entry.word & kCompressed) != 0 || (entry.bitmap & UINT32_MAX) != 0);
  };
  if (moves(old_first)) begin = cluster_begin;
  if (moves(old_last)) end = align_down(offset + from.size() + cluster_size_ - 1, cluster_size_);
  if (begin == offset && end == offset + from.size()) return write_data(place, offset, from);
  std::vector<uint8_t> whole(end - begin);
  const uint64_t head = offset - begin;
  const uint64_t tail = end - (offset + from.size());
  const auto old_content = [&](uint64_t at, std::span<uint8_t> into) -> Result<> {
    // The disk may end inside of its last cluster.
    const uint64_t inside = at < size_ ? std::min<uint64_t>(into.size(), size_ - at) : 0;
    return read(at, into.first(static_cast<size_t>(inside)));
  };
  if (head != 0) TRY(old_content(begin, std::span(whole).first(head)));
  std::memcpy(whole.data() + head, from.data(), from.size());
  if (tail != 0) TRY(old_content(offset + from.size(), std::span(whole).subspan(head + from.size())));
  return write_data(place - head, begin, whole);
}

// The entry of a cluster of which the bytes `from` to `to` were written, at `place` in the file. Extended
// only.
L2Entry Qcow2Image::extended_entry(const L2Entry& old, uint64_t place, uint64_t from, uint64_t to) const {
  const bool same_place = (old.word & kCompressed) == 0 && (old.word & kOffsetMask) == place && old.word != 0;
  const bool had_data = (old.word & kCompressed) != 0 || (old.bitmap & UINT32_MAX) != 0;
  // Everything before the write's begin or behind its end was copied, see fill_and_write().
  if (!same_place && had_data) return {.word = place | kCopied, .bitmap = UINT32_MAX};
  uint64_t units = 0;
  for (uint64_t unit = from / unit_size_; unit * unit_size_ < to; ++unit) units |= uint64_t{1} << unit;
  return {.word = place | kCopied, .bitmap = (old.bitmap & ~(units << 32)) | units};
}

// The entries, all of one table, now say what was written.
Result<> Qcow2Image::link(uint64_t offset, uint64_t length, uint64_t host, uint64_t clusters) {
  const uint64_t begin = align_down(offset, cluster_size_);
  const uint64_t table_offset = TRY(writable_table(begin));
  uint8_t* table = TRY(tables_.get(table_offset));
  tables_.mark_dirty(table_offset);
  for (uint64_t i = 0; i < clusters; ++i) {
    const uint64_t guest = begin + (i << header_.cluster_bits);
    const uint64_t place = host + (i << header_.cluster_bits);
    const L2Entry old = load_entry(table, l2_index(guest));
    TRY(check_entry(old, guest));
    const bool same_place =
        (old.word & kCompressed) == 0 && (old.word & kOffsetMask) == place && old.word != 0;
    if (!same_place) free_entry(old);
    if (header_.extended_l2()) {
      const uint64_t from = std::max(offset, guest) - guest;
      const uint64_t to = std::min(offset + length, guest + cluster_size_) - guest;
      store_entry(table, l2_index(guest), extended_entry(old, place, from, to));
    } else {
      store_entry(table, l2_index(guest), {.word = place | kCopied, .bitmap = 0});
    }
  }
  return {};
}

Result<> Qcow2Image::reserve(uint64_t offset, uint64_t length) {
  TRY(check_range(offset, length, size_));
  const std::lock_guard lock(mutex_);
  TRY(before_change());
  const uint64_t end = offset + length;
  for (uint64_t at = offset; at < end;) {
    uint64_t host = 0;
    const uint64_t there = TRY(in_place_length(at, end - at, host));
    if (there != 0) {
      at += there;
      continue;
    }
    const uint64_t table_offset = TRY(writable_table(at));  // before the data, so that the data is in a row
    const uint64_t begin = align_down(at, cluster_size_);
    const uint64_t limit = std::min(end, table_end(at));
    const L2Entry first = TRY(entry_at(at));
    uint64_t clusters = 1;
    if ((first.word & kCopied) != 0 && (first.word & kCompressed) == 0) {
      host = first.word & kOffsetMask;  // a place whose subclusters are not all in use
    } else {
      const uint64_t most = (limit - begin + cluster_size_ - 1) >> header_.cluster_bits;
      const uint8_t* table = TRY(tables_.get(table_offset));
      while (clusters < most && load_entry(table, l2_index(begin) + clusters) == L2Entry{}) ++clusters;
      host = TRY(allocate_data(begin, clusters, clusters));
      // Before any table says so: nothing may ever refer to what lies behind the end of the file.
      const uint64_t behind = host + (clusters << header_.cluster_bits);
      if (behind > data_node().size()) TRY(data_node().resize(behind, Preallocation::Off));
    }
    const uint64_t stop = std::min(limit, begin + (clusters << header_.cluster_bits));
    TRY(link(at, stop - at, host, clusters));
    at = stop;
  }
  return {};
}

Result<std::vector<uint8_t>> Qcow2Image::compress(std::span<const uint8_t> plain) {
  if (plain.size() == cluster_size_) return compress_cluster(header_.compression, plain);
  std::vector<uint8_t> whole(plain.begin(), plain.end());
  whole.resize(cluster_size_);
  return compress_cluster(header_.compression, whole);
}

// Packed clusters follow each other without a gap, several to a cluster of the file.
Result<> Qcow2Image::write_compressed(uint64_t offset, std::span<const uint8_t> packed,
                                      std::span<const uint8_t> plain) {
  TRY(check_range(offset, plain.size(), size_));
  if (data_file_ || encrypted()) return fail(ErrorKind::Unsupported, "Operation not supported");
  if (!is_aligned(offset, cluster_size_))
    return fail(ErrorKind::Invalid, "compressed writes need whole clusters");
  if (packed.empty() || packed.size() >= cluster_size_) return write(offset, plain);
  std::unique_lock lock(mutex_);
  TRY(before_change());
  TRY(record(offset, plain.size()));
  not_busy_.wait(lock, [&] { return !is_busy(offset, offset + cluster_size_); });
  const L2Entry old = TRY(entry_at(offset));
  uint64_t place = packed_next_;
  const uint64_t room = place == 0 ? 0 : align_down(place + cluster_size_ - 1, cluster_size_) - place;
  if (room == 0) {
    place = TRY(refcounts_.allocate(1));
  } else {
    const uint64_t shared = align_down(place, cluster_size_) >> header_.cluster_bits;
    if (TRY(refcounts_.get(shared)) >= refcounts_.max_refcount()) {
      place = TRY(refcounts_.allocate(1));
    } else if (packed.size() > room) {
      const Refcounts::Run next = TRY(refcounts_.allocate_up_to(1, place + room));
      if (next.offset == place + room) {
        TRY(refcounts_.add(shared, 1, 1));
      } else {
        place = next.offset;
      }
    } else {
      TRY(refcounts_.add(shared, 1, 1));
    }
  }
  packed_next_ = place + packed.size();
  if (is_aligned(packed_next_, cluster_size_)) packed_next_ = 0;
  const uint64_t sectors = (place + packed.size() - 1) / 512 - place / 512;
  const unsigned shift = 62 - (header_.cluster_bits - 8);
  TRY(file().write(place, packed));
  const uint64_t next_place = packed_next_;
  free_entry(old);
  packed_next_ = next_place;
  return set_entry(offset, {.word = kCompressed | sectors << shift | place, .bitmap = 0});
}

}  // namespace rhea::block::qcow2
