#include "block/formats/qcow2/image.h"

#include <algorithm>
#include <bit>

#include "base/checked.h"
#include "base/failf.h"

namespace rhea::block::qcow2 {
namespace {

constexpr uint64_t kL2CacheBytes = uint64_t{16} << 20;

}  // namespace

Qcow2Image::Qcow2Image(const FormatDriver& driver, std::unique_ptr<BlockNode> file, Header header,
                       const OpenFlags& flags)
    : ImageNode(driver, std::move(file)),
      header_(std::move(header)),
      flags_(flags),
      cluster_size_(header_.cluster_size()),
      unit_size_(header_.subcluster_size()),
      units_(header_.extended_l2() ? kSubclusters : 1),
      l2_entries_(header_.l2_entries()),
      l2_bits_(static_cast<unsigned>(std::countr_zero(l2_entries_))),
      size_(header_.size),
      refcounts_(this->file(), header_, [this] { return write_header(); }),
      tables_(this->file(), cluster_size_, kL2CacheBytes) {
  tables_.set_make_room([this]() -> Result<> {
    // Tables with new references leave: the counts must be there before.
    if (refcounts_.any_dirty()) {
      TRY(refcounts_.write_back());
      TRY(this->file().flush());
    }
    return tables_.write_all();
  });
}

Result<std::vector<uint64_t>> Qcow2Image::read_l1(uint64_t offset, uint32_t entries) {
  std::vector<uint8_t> raw(size_t{entries} * 8);
  TRY_IN(file().read(offset, raw), "Could not read L1 table");
  std::vector<uint64_t> out(entries);
  for (size_t i = 0; i < out.size(); ++i) out[i] = load_be<uint64_t>(&raw[i * 8]);
  return out;
}

Result<> Qcow2Image::load() {
  l1_offset_ = header_.l1_table_offset;
  l1_ = TRY(read_l1(l1_offset_, header_.l1_size));
  TRY(load_snapshots());
  TRY(load_bitmaps());
  if (!flags_.writable) return {};
  TRY(refcounts_.load());
  refcounts_.protect(0, 1);
  refcounts_.protect(l1_offset_, l1_.size() * 8);
  for (const uint64_t entry : l1_) {
    if ((entry & kOffsetMask) != 0) refcounts_.protect(entry & kOffsetMask, 1);
  }
  refcounts_.protect(luks_offset_, luks_length_);
  refcounts_.protect(header_.snapshots_offset, snapshot_table_bytes_);
  for (const Snapshot& snapshot : snapshots_)
    refcounts_.protect(snapshot.l1_table_offset, uint64_t{snapshot.l1_size} * 8);
  if ((header_.incompatible & kDirty) != 0 && !flags_.for_check) {
    // Refcounts were not written: count again, as the flag asks for.
    TRY(check(Repair::All));
  }
  return {};
}

Result<> Qcow2Image::write_header() {
  const std::vector<uint8_t> bytes = TRY(serialize_header(header_));
  std::vector<uint8_t> cluster(cluster_size_);
  std::ranges::copy(bytes, cluster.begin());
  return file().write(0, cluster);
}

Result<> Qcow2Image::flush_metadata() {
  if (!changed_) return {};
  const bool barriers = flags_.cache != CacheMode::Unsafe;
  if (refcounts_.any_dirty()) {
    TRY(refcounts_.write_back());
    if (barriers) TRY(file().flush());
  }
  if (tables_.any_dirty()) TRY(tables_.write_all());
  if (!refcounts_.frees_pending()) return {};
  if (barriers) TRY(file().flush());
  TRY(refcounts_.apply_frees());
  return refcounts_.write_back();
}

Result<> Qcow2Image::flush() {
  {
    std::unique_lock lock(mutex_);
    TRY(flush_metadata());
  }
  if (data_file_) TRY(data_file_->flush());
  return file().flush();
}

Result<> Qcow2Image::close() {
  TRY(flush());
  if (!bitmaps_.empty() || bitmaps_changed_) {
    {
      const std::lock_guard lock(mutex_);
      TRY(close_bitmaps());
    }
    TRY(flush());
  }
  // Readers take compressed clusters in whole sectors.
  const uint64_t bytes = file().size();
  if (changed_ && !is_aligned(bytes, 512))
    TRY(file().resize(*checked_align_up(bytes, 512), Preallocation::Off));
  if (!changed_ || (header_.incompatible & kDirty) == 0) return {};
  header_.incompatible &= ~kDirty;
  TRY(write_header());
  return file().flush();
}

bool Qcow2Image::fresh_reads_as_zeros() const {
  // Clusters that were made beforehand hold zeros, which decrypt to something else.
  return !encrypted() || l1_.empty() || (l1_.front() & kOffsetMask) == 0;
}

ImageInfo Qcow2Image::info() const {
  const std::lock_guard lock(mutex_);
  ImageInfo out;
  out.cluster_size = cluster_size_;
  out.encrypted = encrypted();
  out.dirty = (header_.incompatible & kDirty) != 0;
  for (const Snapshot& snapshot : snapshots_) out.snapshots.push_back(snapshot.info);
  Value::Dict& facts = out.specific;
  const bool v3 = header_.version >= 3;
  facts.emplace_back("compat", v3 ? "1.1" : "0.10");
  facts.emplace_back("compression-type", header_.compression == kCompressionZstd ? "zstd" : "zlib");
  if (v3) facts.emplace_back("lazy-refcounts", (header_.compatible & kLazyRefcounts) != 0);
  if (!bitmaps_.empty()) facts.emplace_back("bitmaps", bitmaps_value());
  facts.emplace_back("refcount-bits", header_.refcount_bits());
  if (!header_.data_file.empty()) facts.emplace_back("data-file", header_.data_file);
  if (encrypted()) facts.emplace_back("encrypt", encryption_value());
  if ((header_.incompatible & kExternalData) != 0)
    facts.emplace_back("data-file-raw", (header_.autoclear & kRawExternalData) != 0);
  if (v3) facts.emplace_back("corrupt", (header_.incompatible & kCorrupt) != 0);
  if (v3) facts.emplace_back("extended-l2", header_.extended_l2());
  return out;
}

Result<> Qcow2Image::change_backing(const BackingReference& reference) {
  const std::lock_guard lock(mutex_);
  TRY(before_change());
  if (reference.file.size() > kMaxBackingName) return fail(ErrorKind::Invalid, "Backing file name too long");
  Header changed = header_;
  changed.backing_file = reference.file;
  changed.backing_format = reference.format;
  TRY(serialize_header(changed));
  TRY(flush_metadata());
  header_ = std::move(changed);
  return write_header();
}

}  // namespace rhea::block::qcow2
