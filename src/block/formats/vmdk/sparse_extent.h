// A sparse extent of a VMDK image (VMware, Virtual Disk Format 5.0, "Hosted Sparse Extents" and
// "Stream-Optimized Compressed Sparse Extents"): a header, a grain directory (GD) that points to grain tables
// (GT) that point to grains, mostly each of them twice; grains may be compressed, each behind a marker.
//
// Missing: COWD and SESparse extents (ESX). Any thread.
#pragma once

#include <functional>

#include "base/endian.h"
#include "block/formats/cluster_image.h"
#include "block/formats/metadata_cache.h"

namespace rhea::block::vmdk {

inline constexpr uint64_t kSector = 512;
inline constexpr uint32_t kSparseMagic = 0x564d444b;  // "KDMV"
inline constexpr uint32_t kFlagNewlines = 1;
inline constexpr uint32_t kFlagRedundantTable = 2;
inline constexpr uint32_t kFlagZeroedGrain = 4;
inline constexpr uint32_t kFlagCompressed = 0x10000;
inline constexpr uint32_t kFlagMarkers = 0x20000;
inline constexpr uint64_t kTableAtEnd = ~uint64_t{0};
inline constexpr uint16_t kDeflate = 1;

struct SparseHeader {
  le32 magic;
  le32 version;
  le32 flags;
  le64 capacity;  // this and all places are in sectors
  le64 grain_size;
  le64 descriptor_offset;
  le64 descriptor_size;
  le32 table_entries;  // of a grain table
  le64 redundant_directory;
  le64 directory;
  le64 overhead;
  uint8_t unclean;
  std::array<uint8_t, 4> newlines;
  le16 compression;
  std::array<uint8_t, 433> unused;
};
static_assert(sizeof(SparseHeader) == 512);

// With the footer's places, if the file has one.
Result<SparseHeader> read_sparse_header(BlockNode& file);

class SparseExtent final : public ClusterImage {
 public:
  using ReadBelow = std::function<Result<>(uint64_t offset, std::span<uint8_t> into)>;
  struct Below {
    std::function<bool()> exists;
    ReadBelow read;
  };

  // In a file of its own, or in one that somebody else keeps open.
  static Result<std::unique_ptr<SparseExtent>> open(const FormatDriver& driver,
                                                    std::unique_ptr<BlockNode> file, Below below);
  static Result<std::unique_ptr<SparseExtent>> open_in(const FormatDriver& driver, BlockNode& file,
                                                       Below below);
  const BlockNode& data_file() const { return data_file_; }

  bool is_compressed() const { return compressed_; }
  uint64_t grain_size() const { return cluster_size(); }
  // A grain that was not there before; `packed` is a zlib stream.
  Result<> append_compressed(uint64_t offset, std::span<const uint8_t> packed);
  // Whether the grain at `offset` has a place.
  Result<bool> has_grain(uint64_t offset);
  Result<> check(CheckReport& report);
  Result<> flush() override;

 private:
  SparseExtent(const FormatDriver& driver, std::unique_ptr<BlockNode> own_file, BlockNode& data_file,
               const SparseHeader& header, Below below);

  bool has_below() const override { return below_.exists(); }
  Result<> read_below(uint64_t offset, std::span<uint8_t> into) override { return below_.read(offset, into); }
  Result<Place> locate(uint64_t index) override;
  Result<NewPlace> allocate(uint64_t index) override;
  Result<> link(uint64_t index, const NewPlace& place) override;
  Result<bool> link_zero(uint64_t index, const Place& old) override;
  Result<> decompress(const Place& place, std::span<uint8_t> out) override;

  // Where the entry of a grain lies; 0: there is no such table.
  Result<uint64_t> entry_offset(uint64_t directory, uint64_t index);
  Result<> add_table(uint64_t directory, uint64_t index);
  Result<> set_entry(uint64_t index, uint32_t sector);
  bool has_redundant_table() const {
    return (header_.flags & kFlagRedundantTable) != 0 && header_.redundant_directory != 0 &&
           header_.redundant_directory != header_.directory;
  }

  BlockNode& data_file_;
  SparseHeader header_;
  Below below_;
  bool compressed_;
  MetadataCache tables_;
  MetadataCache directory_;
  uint64_t end_;  // of the file: where the next grain goes
};

}  // namespace rhea::block::vmdk
