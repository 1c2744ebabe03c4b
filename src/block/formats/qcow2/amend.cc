// Changing an image's options in place: version, width of refcounts, lazy refcounts, names, size. What is
// written anew (refcounts, clusters of zeros) is complete on the disk before the header or a table refers to
// it.
#include <algorithm>
#include <bit>
#include <set>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/qcow2/create.h"
#include "block/formats/qcow2/image.h"

namespace rhea::block::qcow2 {
namespace {

std::unexpected<Error> invalid(std::string text) {
  return fail(ErrorKind::Invalid, std::move(text));
}

struct Wanted {
  uint32_t version = 3;
  unsigned refcount_order = 4;
};

Result<Wanted> wanted(const CreateValues& values, const Header& header) {
  Wanted out{.version = header.version, .refcount_order = header.refcount_order};
  if (const std::string word = values.text("compat"); values.has("compat")) {
    const auto version = parse_version(word);
    if (!version) return failf(ErrorKind::Invalid, "Unknown compatibility level {}", word);
    out.version = *version;
  }
  if (values.flag("lazy_refcounts", false) && out.version < 3)
    return invalid(
        "Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or greater)");
  if (!values.has("refcount_bits")) return out;
  out.refcount_order = TRY(parse_refcount_order(values));
  if (out.version < 3 && out.refcount_order != 4)
    return invalid(
        "Refcount widths other than 16 bits require compatibility level 1.1 or above (use compat=1.1 or "
        "greater)");
  return out;
}

}  // namespace

Result<> Qcow2Image::amend_names(const CreateValues& values) {
  const std::string file = values.text("backing_file");
  const std::string format = values.text("backing_fmt");
  const bool names_backing = values.has("backing_file") || values.has("backing_fmt");
  if (names_backing && (file.empty() || file != header_.backing_file || format != header_.backing_format))
    return invalid("Cannot amend the backing file\nYou can use 'qemu-img rebase' instead.");
  const bool external = (header_.incompatible & kExternalData) != 0;
  const bool raw_data = (header_.autoclear & kRawExternalData) != 0;
  if (values.has("data_file") && !external)
    return invalid("data-file can only be set for images that use an external data file");
  if (values.has("data_file_raw") && values.flag("data_file_raw", false) && !raw_data)
    return invalid("data-file-raw cannot be set on existing images");
  if (values.has("data_file")) header_.data_file = values.text("data_file");
  if (values.has("data_file_raw") && !values.flag("data_file_raw", false))
    header_.autoclear &= ~kRawExternalData;
  return {};
}

Result<> Qcow2Image::amend(const CreateValues& values, bool force, const Progress& progress) {
  {
    const std::lock_guard lock(mutex_);
    const Wanted want = TRY(wanted(values, header_));
    TRY(before_change());
    TRY(flush_metadata());
    if (want.version < header_.version) {
      if (want.refcount_order != 4) return invalid("compat=0.10 requires refcount_bits=16");
      TRY(check_downgrade());
    }
    TRY(amend_names(values));
    TRY(amend_encryption(values, force));
    header_.version = std::max(want.version, header_.version);
    if (values.has("lazy_refcounts")) {
      const uint64_t lazy = values.flag("lazy_refcounts", false) ? kLazyRefcounts : 0;
      header_.compatible = (header_.compatible & ~kLazyRefcounts) | lazy;
    }
    TRY(write_header());
    if (want.refcount_order != header_.refcount_order)
      TRY(change_refcount_width(want.refcount_order, progress));
    if (want.version < header_.version) TRY(downgrade());
  }
  if (!values.has("size")) return {};
  const uint64_t size = (values.number("size", 0) + 511) & ~uint64_t{511};
  return size == size_ ? Result<>{} : resize(size, Preallocation::Off);
}

// A run of clusters, counted by the old refcounts, that holds refcounts of the new width for everything up to
// and with itself. `used`: clusters in use, itself included.
Result<uint64_t> Qcow2Image::place_for_refcounts(unsigned order, uint64_t& clusters, uint64_t& used) {
  const uint64_t per_block = (cluster_size_ * 8) >> order;
  const auto needed = [&](uint64_t counted) {
    const uint64_t blocks = (counted + per_block - 1) / per_block;
    return blocks + (blocks * 8 + cluster_size_ - 1) / cluster_size_;
  };
  used = TRY(refcounts_.end_of_used());
  for (clusters = needed(used) + 1;; clusters = needed(used + clusters) + 1) {
    const uint64_t offset = TRY(refcounts_.allocate(clusters));
    used = TRY(refcounts_.end_of_used());
    if (needed(used) <= clusters) return offset;
    // Making room took room (more refcount blocks of the old width): once more, larger.
    refcounts_.free(offset, clusters);
    TRY(refcounts_.write_back());
    TRY(refcounts_.apply_frees());
  }
}

Result<> Qcow2Image::change_refcount_width(unsigned order, const Progress& progress) {
  uint64_t clusters = 0;
  uint64_t used = 0;
  const uint64_t most = order == 6 ? UINT64_MAX : (uint64_t{1} << (1u << order)) - 1;
  const uint64_t offset = TRY(place_for_refcounts(order, clusters, used));
  TRY(refcounts_.write_back());
  TRY(file().flush());
  const uint64_t per_block = (cluster_size_ * 8) >> order;
  const uint64_t blocks = (used + per_block - 1) / per_block;
  const uint64_t table_clusters = (blocks * 8 + cluster_size_ - 1) / cluster_size_;
  if (table_clusters * cluster_size_ > std::max(kMaxRefcountTableBytes, cluster_size_))
    return fail(ErrorKind::OutOfRange, "File too large");
  const uint64_t first = offset >> header_.cluster_bits;
  // The old structure ends with this; so does what the new one did not need of its place.
  std::set<uint64_t> given_up;
  for (const uint64_t block : refcounts_.table()) {
    if (block != 0) given_up.insert(block >> header_.cluster_bits);
  }
  for (uint64_t i = 0; i < header_.refcount_table_clusters; ++i)
    given_up.insert((header_.refcount_table_offset >> header_.cluster_bits) + i);
  for (uint64_t i = blocks + table_clusters; i < clusters; ++i) given_up.insert(first + i);

  std::vector<uint64_t> table(table_clusters * cluster_size_ / 8);
  std::vector<uint8_t> block(cluster_size_);
  for (uint64_t i = 0; i < blocks; ++i) {
    std::ranges::fill(block, uint8_t{0});
    for (uint64_t n = 0; n < per_block && i * per_block + n < used; ++n) {
      const uint64_t cluster = i * per_block + n;
      uint64_t count = TRY(refcounts_.get(cluster));
      if (given_up.contains(cluster)) --count;
      if (count > most) {
        const std::string where = fmt::format("Cluster at offset {:#x} has a refcount of {}",
                                              cluster << header_.cluster_bits, count);
        refcounts_.free(offset, clusters);
        TRY(refcounts_.apply_frees());
        TRY(refcounts_.write_back());
        return failf(ErrorKind::Invalid, "Cannot decrease refcount entry width to {} bits: {}", 1u << order,
                     where);
      }
      store_refcount(block.data(), n, order, count);
    }
    table[i] = (first + table_clusters + i) << header_.cluster_bits;
    TRY(file().write(table[i], block));
    progress(i + 1, blocks);
  }
  for (const uint64_t cluster : given_up) refcounts_.unprotect(cluster << header_.cluster_bits, 1);
  header_.refcount_order = order;
  TRY(refcounts_.replace_table(table, offset, table_clusters));
  return file().flush();
}

Result<> Qcow2Image::check_downgrade() const {
  if ((header_.incompatible & kExternalData) != 0)
    return fail(ErrorKind::Unsupported, "Cannot downgrade an image with a data file");
  if (encrypted())  // the clusters of zeros would have to be written encrypted
    return fail(ErrorKind::Unsupported, "Cannot downgrade an encrypted image");
  const uint64_t features = header_.incompatible & ~kDirty;
  if (features != 0)
    return failf(ErrorKind::Unsupported, "Cannot downgrade an image with incompatible features {:#x} set",
                 features);
  for (const Snapshot& snapshot : snapshots_) {
    if (snapshot.info.vm_state_size != 0 || snapshot.disk_size != size_)
      return fail(ErrorKind::Unsupported, "Internal snapshots prevent downgrade of image");
  }
  if (!bitmaps_.empty())
    return fail(ErrorKind::Unsupported, "Persistent bitmaps prevent downgrade of image, remove them first");
  return {};
}

// Version 2 has no zero clusters, no features and no header extension that tells of them.
Result<> Qcow2Image::downgrade() {
  TRY(expand_zeros(l1_));
  for (const Snapshot& snapshot : snapshots_) {
    const auto l1 = TRY(read_l1(snapshot.l1_table_offset, snapshot.l1_size));
    TRY(expand_zeros(l1));
  }
  TRY(flush_metadata());
  TRY(refresh_copied());
  TRY(flush_metadata());
  TRY(file().flush());
  header_.version = 2;
  header_.incompatible = header_.compatible = header_.autoclear = 0;
  return write_header();
}

// Tables that several L1 tables share come once for each; the second time there is nothing left to do.
Result<> Qcow2Image::expand_zeros(const std::vector<uint64_t>& l1) {
  for (const uint64_t l1_entry : l1) {
    const uint64_t offset = l1_entry & kOffsetMask;
    if (offset == 0) continue;
    if (!is_aligned(offset, cluster_size_)) return invalid("L2 table offset unaligned");
    const uint64_t references = TRY(refcounts_.get(offset >> header_.cluster_bits));
    bool changed = false;
    for (uint64_t i = 0; i < l2_entries_; ++i) {
      L2Entry entry = load_entry(TRY(tables_.get(offset)), i);
      if (!TRY(expand_zero(references, entry))) continue;
      store_entry(TRY(tables_.get(offset)), i, entry);
      tables_.mark_dirty(offset);
      changed = true;
    }
    if (changed) TRY(flush_metadata());
  }
  return {};
}

Result<bool> Qcow2Image::expand_zero(uint64_t table_references, L2Entry& entry) {
  if ((entry.word & kCompressed) != 0 || (entry.word & kZero) == 0) return false;
  // Each L1 table that leads here holds one reference.
  if (const uint64_t old = entry.word & kOffsetMask; old != 0) {
    if (!is_aligned(old, cluster_size_)) return invalid("Cluster allocation offset unaligned");
    for (uint64_t i = 0; i < table_references; ++i) refcounts_.free(old, 1);
  }
  if (backing() == nullptr && header_.backing_file.empty()) {
    entry.word = 0;
    return true;
  }
  const uint64_t place = TRY(refcounts_.allocate(1));
  if (table_references > 1) TRY(refcounts_.set(place >> header_.cluster_bits, table_references));
  TRY(file().write(place, std::vector<uint8_t>(cluster_size_)));
  entry.word = place | (table_references == 1 ? kCopied : 0);
  return true;
}

}  // namespace rhea::block::qcow2
