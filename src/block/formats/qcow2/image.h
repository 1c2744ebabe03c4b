// A qcow2 image as a node. Files: image.cc opening, header, flush; mapping.cc L1/L2 tables; read.cc;
// write.cc; zero.cc zeroing and discarding; resize.cc; snapshot.cc and snapshot_table.cc; bitmaps.cc;
// check.cc.
//
// Locking: mutex_ guards all metadata, in memory and on the disk. Data moves without it. A write into
// clusters that must be allocated registers its guest range in busy_, so that two writers of one cluster do
// not both allocate it; its L2 entries change after the data is written.
//
// Order on the disk, see flush_metadata(): refcounts that rise, then L2 tables, then L1 entries (written
// through), then refcounts that fall. What snapshots change is one step, see snapshot.cc.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "block/crypto/encrypted_io.h"
#include "block/crypto/luks_header.h"
#include "block/driver.h"
#include "block/facets.h"
#include "block/formats/qcow2/dirty_bits.h"
#include "block/formats/qcow2/header.h"
#include "block/formats/qcow2/refcount.h"
#include "block/formats/qcow2/table_cache.h"
#include "block/image.h"

namespace rhea::block::qcow2 {

// One L2 entry in both of its forms. A unit is a subcluster, without extended L2 entries the whole cluster.
struct L2Entry {
  uint64_t word = 0;
  uint64_t bitmap = 0;  // extended only

  bool operator==(const L2Entry&) const = default;
};

enum class Unit { Unallocated, Zero, Data, Compressed };

struct Snapshot {
  SnapshotInfo info;
  uint64_t l1_table_offset = 0;
  uint32_t l1_size = 0;
  uint64_t disk_size = 0;
  std::vector<uint8_t> unknown_extra;  // behind what we know, kept as it is
};

// The bytes of the table of all of them.
std::vector<uint8_t> snapshot_table(const std::vector<Snapshot>& snapshots);

struct Bitmap {
  BitmapInfo info;
  uint64_t table_offset = 0;
  uint32_t table_size = 0;
  uint32_t other_flags = 0;
  uint8_t type = kBitmapTypeDirty;
  std::vector<uint8_t> extra;
  std::optional<DirtyBits> bits;  // nothing: as on the disk
  bool changed = false;           // the bits are newer than the disk
  bool open = false;              // this process marked it "in use" on the disk until close()
  bool usable() const { return !info.in_use && type == kBitmapTypeDirty && extra.empty(); }
};

class Qcow2Image final : public ImageNode,
                         public CompressedWriter,
                         public ReservingWriter,
                         public Checker,
                         public SnapshotStore,
                         public BackingChanger,
                         public Emptier,
                         public Amender,
                         public BitmapStore {
 public:
  Qcow2Image(const FormatDriver& driver, std::unique_ptr<BlockNode> file, Header header,
             const OpenFlags& flags);

  // Reads the tables; call once.
  Result<> load();
  // With the key of the secret of that name; not needed to look.
  Result<> open_encryption(const std::optional<std::string>& format,
                           const std::optional<std::string>& secret);
  // Of a new image, by the options encrypt.*; after load().
  Result<> create_encryption(const CreateValues& values);
  void set_data_file(std::unique_ptr<BlockNode> data_file) { data_file_ = std::move(data_file); }

  uint64_t size() const override { return size_; }
  Result<> read(uint64_t offset, std::span<uint8_t> into) override;
  bool read_at_once(uint64_t offset, std::span<const iovec> into) override;
  Result<> write(uint64_t offset, std::span<const uint8_t> from) override;
  Result<> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode) override;
  Result<> discard(uint64_t offset, uint64_t length) override;
  Result<> flush() override;
  Result<Extent> extent(uint64_t offset, uint64_t length) override;
  Result<> resize(uint64_t size, Preallocation preallocation) override;
  Result<> close() override;

  bool fresh_reads_as_zeros() const override;
  ImageInfo info() const override;
  BackingReference backing_reference() const override {
    return {header_.backing_file, header_.backing_format};
  }

  size_t compression_unit() const override { return static_cast<size_t>(cluster_size_); }
  Result<std::vector<uint8_t>> compress(std::span<const uint8_t> plain) override;
  Result<> write_compressed(uint64_t offset, std::span<const uint8_t> packed,
                            std::span<const uint8_t> plain) override;
  Result<> reserve(uint64_t offset, uint64_t length) override;
  uint64_t reserve_unit() const override { return unit_size_; }
  Result<CheckReport> check(Repair repair) override;
  std::vector<SnapshotInfo> list_snapshots() const override;
  Result<> create_snapshot(SnapshotInfo info) override;
  Result<> apply_snapshot(const std::string& id_or_name) override;
  Result<> delete_snapshot(const std::string& id_or_name) override;
  Result<> read_from_snapshot(const std::string& id_or_name) override;
  Result<> change_backing(const BackingReference& reference) override;
  uint64_t zero_mark_unit() const override { return header_.version < 3 ? 0 : cluster_size_; }
  Result<> mark_zero(uint64_t offset, uint64_t length) override;
  Result<> make_empty() override;
  Result<> amend(const CreateValues& values, bool force, const Progress& progress) override;
  bool keeps_bitmaps() const override { return header_.version >= 3; }
  std::vector<BitmapInfo> list_bitmaps() const override;
  Result<> add_bitmap(const std::string& name, uint64_t granularity, bool recording) override;
  Result<> remove_bitmap(const std::string& name) override;
  Result<> clear_bitmap(const std::string& name) override;
  Result<> set_recording(const std::string& name, bool recording) override;
  Result<std::vector<DirtyRange>> dirty_ranges(const std::string& name, uint64_t from, size_t most) override;
  Result<> mark_dirty(const std::string& name, const DirtyRange& range) override;
  // What a copy of all bitmaps takes in an image with clusters of `cluster_size`.
  uint64_t bitmaps_bytes(uint64_t cluster_size) const;

  // Allocates all clusters of the range with their tables, unwritten.
  Result<> preallocate(uint64_t offset, uint64_t length, Preallocation mode);
  const Header& header() const { return header_; }

 private:
  friend class CheckRun;

  // A stretch of units of one kind; for Data (and Zero with an offset) in a row in the file.
  struct Mapping {
    Unit kind = Unit::Unallocated;
    uint64_t length = 0;  // bytes from the offset asked for
    uint64_t host = 0;    // where the first byte lies; for Compressed: the entry's word
    bool has_host = false;
  };

  // mapping.cc; all with the lock held.
  uint64_t l1_index(uint64_t offset) const { return offset >> (header_.cluster_bits + l2_bits_); }
  uint64_t l2_index(uint64_t offset) const { return offset >> header_.cluster_bits & (l2_entries_ - 1); }
  uint64_t table_end(uint64_t offset) const {
    return (l1_index(offset) + 1) << (header_.cluster_bits + l2_bits_);
  }
  Result<uint64_t> l2_table_offset(uint64_t l1_index) const;
  L2Entry load_entry(const uint8_t* table, uint64_t index) const;
  void store_entry(uint8_t* table, uint64_t index, const L2Entry& entry) const;
  Unit unit_kind(const L2Entry& entry, unsigned unit) const;
  Result<> check_entry(const L2Entry& entry, uint64_t offset) const;
  Result<L2Entry> entry_at(uint64_t offset);
  Result<> set_entry(uint64_t offset, const L2Entry& entry);  // the table must be writable
  Result<Mapping> map(uint64_t offset, uint64_t length);
  Result<uint64_t> writable_table(
      uint64_t offset);  // the L2 table of this guest offset, made or copied if need be
  Result<> write_l1_entry(uint64_t index);
  Result<> write_l1(uint64_t first, uint64_t count);
  // Gives up its cluster. unmap: what was in it is not wanted any more.
  void free_entry(const L2Entry& entry, bool unmap = false);
  struct Packed {
    uint64_t offset = 0;
    uint64_t sectors_bytes = 0;  // up to the end of its last 512-byte sector
  };
  Packed packed_place(uint64_t word) const;
  BlockNode& data_node() { return data_file_ ? *data_file_ : file(); }
  bool encrypted() const { return header_.crypt_method != 0; }

  // encryption.cc
  Result<> read_data(uint64_t host, uint64_t guest, std::span<uint8_t> into);
  Result<> write_data(uint64_t host, uint64_t guest, std::span<const uint8_t> from);
  Result<> amend_encryption(const CreateValues& values, bool force);
  Value::Dict encryption_value() const;

  // read.cc
  bool is_sparse();
  Result<> read_compressed(uint64_t word, uint64_t offset, std::span<uint8_t> into);

  // write.cc
  struct BusyRange {
    uint64_t begin;
    uint64_t end;
  };
  Result<uint64_t> write_some(uint64_t offset, std::span<const uint8_t> from);
  Result<uint64_t> in_place_length(uint64_t offset, uint64_t length, uint64_t& host);
  Result<uint64_t> to_allocate_length(uint64_t offset, uint64_t length);
  Result<> write_new(std::unique_lock<std::mutex>& lock, uint64_t offset, std::span<const uint8_t> from);
  Result<> fill_and_write(uint64_t offset, std::span<const uint8_t> from, uint64_t host,
                          const L2Entry& old_first, const L2Entry& old_last);
  Result<uint64_t> allocate_data(uint64_t offset, uint64_t clusters, uint64_t& got);
  L2Entry extended_entry(const L2Entry& old, uint64_t place, uint64_t from, uint64_t to) const;
  Result<> link(uint64_t offset, uint64_t length, uint64_t host, uint64_t clusters);
  bool is_busy(uint64_t begin, uint64_t end) const;
  void finish_busy(uint64_t begin);
  Result<> before_change();
  Result<> record_changes(uint64_t offset, uint64_t length);

  // zero.cc
  enum class Drop { Plain, ReadsZero, HidesAll };
  Result<> drop_clusters(uint64_t offset, uint64_t end, Drop drop, bool keep);

  // image.cc
  Result<> flush_metadata();
  Result<> write_header();
  Result<> check_l1(const std::vector<uint64_t>& l1, bool repairable) const;
  Result<std::vector<uint64_t>> read_l1(uint64_t offset, uint32_t entries);

  // resize.cc
  Result<> grow_l1(uint64_t entries);
  Result<> shrink(uint64_t size);
  Result<> drop_tables(uint64_t first);
  Result<> cut_file();

  // snapshot.cc
  Result<> load_snapshots();
  struct State {  // what changes when snapshots come, go or are applied
    std::vector<uint64_t> l1;
    std::vector<Snapshot> snapshots;  // one whose L1 table has no place gets a copy of `l1`
    uint64_t disk_size;
  };
  using ClusterVisitor = std::function<Result<>(uint64_t first, uint64_t count)>;
  Result<size_t> find_snapshot(const std::string& id_or_name) const;
  Result<> change_state(const std::function<Result<>(State&)>& change);
  Result<> write_state(const State& state);
  Result<uint64_t> write_to_new_place(std::span<const uint8_t> bytes);
  void give_up_place(uint64_t offset, uint64_t bytes);
  Result<> visit_clusters(uint64_t table_offset, const ClusterVisitor& visit);
  Result<> add_references(const std::vector<uint64_t>& l1);
  Result<> drop_references(const std::vector<uint64_t>& l1);
  Result<std::optional<TableCache::Table>> with_true_flags(uint64_t table_offset);
  Result<> renew_flags(std::vector<uint64_t>& l1, uint64_t references);
  Result<> refresh_copied();

  // amend.cc
  Result<> amend_names(const CreateValues& values);
  Result<> change_refcount_width(unsigned order, const Progress& progress);
  Result<uint64_t> place_for_refcounts(unsigned order, uint64_t& clusters, uint64_t& used);
  Result<> check_downgrade() const;
  Result<> downgrade();
  Result<> expand_zeros(const std::vector<uint64_t>& l1);
  Result<bool> expand_zero(uint64_t table_references, L2Entry& entry);

  // bitmaps.cc
  Result<> load_bitmaps();
  Result<std::vector<uint64_t>> read_bitmap_table(uint64_t offset, uint32_t entries);
  Result<> store_bitmaps();
  Result<> write_bits(Bitmap& bitmap);
  Result<> load_bits(Bitmap& bitmap);
  Result<Bitmap*> find_bitmap(const std::string& name, bool usable = true);
  Result<> open_bitmaps(bool all);
  Result<> record(uint64_t offset, uint64_t length);
  Result<> resize_bitmaps(uint64_t size);
  Result<> close_bitmaps();
  Value::List bitmaps_value() const;

  Header header_;
  OpenFlags flags_;
  const uint64_t cluster_size_;
  const uint64_t unit_size_;
  const unsigned units_;  // in a cluster
  const uint64_t l2_entries_;
  const unsigned l2_bits_;

  mutable std::mutex mutex_;
  std::condition_variable not_busy_;
  std::vector<BusyRange> busy_;
  std::optional<bool> sparse_;
  uint64_t size_;  // of the disk; another one while reading from a snapshot
  std::vector<uint64_t> l1_;
  uint64_t l1_offset_ = 0;
  Refcounts refcounts_;
  TableCache tables_;
  std::vector<Snapshot> snapshots_;
  uint64_t snapshot_table_bytes_ = 0;
  std::vector<Bitmap> bitmaps_;
  std::vector<std::pair<uint64_t, uint32_t>> given_up_tables_;  // of bitmaps: offset and entries
  bool bitmaps_changed_ = false;                                // what is in memory must be stored
  bool bitmaps_recording_ = false;                              // the bitmaps that record are open
  std::unique_ptr<BlockNode> data_file_;
  std::unique_ptr<crypto::LuksHeader> luks_;     // encrypted with LUKS
  std::unique_ptr<crypto::EncryptedIo> cipher_;  // encrypted, and the key is known
  uint64_t luks_offset_ = 0;
  uint64_t luks_length_ = 0;
  uint64_t next_wanted_ = 0;  // where the data allocated last ends
  uint64_t packed_next_ = 0;  // where the next compressed cluster may go on, 0: in a new one
  bool reading_snapshot_ = false;
  bool changed_ = false;
};

}  // namespace rhea::block::qcow2
