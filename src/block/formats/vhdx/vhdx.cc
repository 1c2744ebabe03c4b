// Hyper-V virtual hard disks ([MS-VHDX], version 2): two headers of which the one with the higher number
// counts, a table of regions, the log, metadata (sizes), the block allocation table (BAT).
//
// The BAT is written in place and not through the log: each entry is eight bytes of one page, data is there
// before an entry points to it, and nothing else is changed after creation. What another program left in the
// log is replayed when the image is opened for writing. Missing: differencing images, resizing. Any thread.
#include "block/formats/vhdx/vhdx.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/cluster_image.h"
#include "block/formats/metadata_cache.h"
#include "block/formats/vhdx/create.h"
#include "block/formats/vhdx/log.h"

namespace rhea::block {
namespace {

using namespace vhdx;

constexpr size_t kMostRegions = 2047;
constexpr size_t kMostItems = 2047;
constexpr uint64_t kLargestDisk = uint64_t{64} << 40;

template <class T>
Result<T> read_struct(BlockNode& file, uint64_t offset) {
  T out;
  // SAFETY: T is a struct of plain bytes.
  TRY(file.read(offset, {reinterpret_cast<uint8_t*>(&out), sizeof out}));
  return out;
}

template <class T>
std::span<const uint8_t> bytes_of(const T& value) {
  // SAFETY: T is a struct of plain bytes.
  return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
}

struct Region {
  uint64_t offset = 0;
  uint64_t length = 0;
};

struct Layout {
  Header header;
  size_t active = 0;  // which of the two headers
  Region table;
  uint64_t block_size = 0;
  uint64_t sector_size = 0;
  uint64_t disk_size = 0;
  // After so many blocks the table has an entry for a bitmap of sectors.
  uint64_t chunk_blocks() const { return (uint64_t{1} << 23) * sector_size / block_size; }
  uint64_t entry_of(uint64_t block) const { return block + block / chunk_blocks(); }
};

class VhdxImage final : public ClusterImage, public Checker {
 public:
  VhdxImage(const FormatDriver& driver, std::unique_ptr<BlockNode> below, const Layout& layout)
      : ClusterImage(driver, std::move(below), layout.disk_size, layout.block_size),
        layout_(layout),
        table_(file()),
        end_(file().size()) {}

  ImageInfo info() const override {
    ImageInfo out;
    out.cluster_size = layout_.block_size;
    return out;
  }
  Result<CheckReport> check(Repair) override;

 private:
  uint64_t entry_offset(uint64_t block) const { return layout_.table.offset + layout_.entry_of(block) * 8; }

  Result<Place> locate(uint64_t index) override {
    const uint64_t entry = TRY((table_.load<uint64_t, std::endian::little>(entry_offset(index))));
    const auto state = static_cast<BlockState>(entry & kStateMask);
    const uint64_t offset = entry & kOffsetMask;
    switch (state) {
      case BlockState::NotPresent:
      case BlockState::Undefined:
      case BlockState::Unmapped: return Place{};
      case BlockState::Zero: return Place{.state = State::Zero};
      case BlockState::Present: break;
      default:
        return failf(ErrorKind::Invalid,
                     "block {} is in the state {}, which an image without a parent has not", index,
                     entry & kStateMask);
    }
    if (offset < kMiB || offset >= end_ ||
        ranges_overlap(offset, layout_.block_size, layout_.table.offset, layout_.table.length))
      return failf(ErrorKind::Invalid, "block {} is said to lie at {} in a file of {} bytes", index, offset,
                   end_);
    return Place{.state = State::Data, .offset = offset};
  }

  // Others notice by these identifiers that the image was written to.
  Result<> note_change() {
    if (changed_) return {};
    layout_.header.file_write_id = TRY(random_uuid(std::endian::little));
    layout_.header.data_write_id = TRY(random_uuid(std::endian::little));
    TRY(write_vhdx_header(file(), layout_.header, layout_.active));
    changed_ = true;
    return {};
  }

  Result<NewPlace> allocate(uint64_t) override {
    TRY(note_change());
    const auto begin = checked_align_up<uint64_t>(end_, kMiB);
    if (!begin || *begin > kLargestDisk * 4) return fail(ErrorKind::NoSpace, "the file would be too large");
    TRY(file().resize(*begin + layout_.block_size, Preallocation::Off));
    end_ = *begin + layout_.block_size;
    return NewPlace{.offset = *begin, .zeroed = true};
  }

  Result<> link(uint64_t index, const NewPlace& place) override {
    return table_.store<uint64_t, std::endian::little>(
        entry_offset(index), place.offset | static_cast<uint64_t>(BlockState::Present));
  }

  Result<> write_metadata() override { return table_.write_back(); }

  Layout layout_;
  MetadataCache table_;
  uint64_t end_;
  bool changed_ = false;
};

Result<CheckReport> VhdxImage::check(Repair) {
  const std::lock_guard lock(mutex());
  CheckReport out;
  for (uint64_t index = 0; index < clusters(); ++index) {
    if (const auto place = locate(index); !place) {
      out.messages.push_back("ERROR: " + place.error().message());
      ++out.corruptions;
    }
  }
  return out;
}

// -- open ---------------------------------------------------------------------------------------------------

Result<> find_header(BlockNode& file, Layout& layout) {
  bool found = false;
  for (size_t i = 0; i < kHeaderOffsets.size(); ++i) {
    const Header header = TRY(read_struct<Header>(file, kHeaderOffsets[i]));
    if (header.magic != kHeaderMagic || header.version != 1 ||
        checksum_of(bytes_of(header), 4) != header.checksum)
      continue;
    if (found && header.sequence <= layout.header.sequence) continue;
    layout.header = header;
    layout.active = i;
    found = true;
  }
  return found ? Result<>() : fail(ErrorKind::Invalid, "No valid VHDX header found");
}

Result<std::vector<uint8_t>> region_table(BlockNode& file) {
  for (const uint64_t offset : kRegionOffsets) {
    std::vector<uint8_t> bytes(kRegionTableSize);
    TRY(file.read(offset, bytes));
    if (load_le<uint32_t>(bytes.data()) == kRegionMagic &&
        checksum_of(bytes, 4) == load_le<uint32_t>(bytes.data() + 4))
      return bytes;
  }
  return fail(ErrorKind::Invalid, "No valid VHDX region table found");
}

Result<Region> find_regions(BlockNode& file, Layout& layout) {
  const std::vector<uint8_t> bytes = TRY(region_table(file));
  const uint32_t count = load_le<uint32_t>(bytes.data() + 8);
  if (count > kMostRegions) return failf(ErrorKind::Invalid, "the region table has {} entries", count);
  Region metadata;
  for (uint32_t i = 0; i < count; ++i) {
    RegionEntry entry;
    std::memcpy(&entry, bytes.data() + sizeof(RegionTable) + i * sizeof entry, sizeof entry);
    const Region region{.offset = entry.offset, .length = entry.length};
    if (region.offset < kMiB || region.offset % kMiB != 0 || region.length == 0 ||
        region.length % kMiB != 0 ||
        !range_within(region.offset, region.length, std::max<uint64_t>(file.size(), region.offset)))
      return failf(ErrorKind::Invalid, "a region of {} bytes at {} does not fit the file of {} bytes",
                   region.length, region.offset, file.size());
    if (entry.id == kTableRegion) {
      layout.table = region;
    } else if (entry.id == kMetadataRegion) {
      metadata = region;
    } else if ((entry.required & 1) != 0) {
      return fail(ErrorKind::Unsupported, "the image needs a region of an unknown kind");
    }
  }
  if (layout.table.offset == 0 || metadata.offset == 0)
    return fail(ErrorKind::Invalid, "the image lacks its block table or its metadata");
  if (ranges_overlap(metadata.offset, metadata.length, layout.table.offset, layout.table.length))
    return fail(ErrorKind::Invalid, "the block table and the metadata overlap");
  return metadata;
}

Result<> read_item(BlockNode& file, const Region& region, const MetadataEntry& entry, Layout& layout) {
  const auto known = [&](const Uuid& id, uint32_t length) {
    return entry.id == id && entry.length >= length;
  };
  std::array<uint8_t, 8> bytes{};
  if (!range_within(entry.offset, entry.length, region.length))
    return failf(ErrorKind::Invalid, "a metadata item of {} bytes at {} leaves its region",
                 entry.length.get(), entry.offset.get());
  TRY(file.read(region.offset + entry.offset, bytes));
  if (known(kFileParameters, 8)) {
    layout.block_size = load_le<uint32_t>(bytes.data());
    if ((load_le<uint32_t>(bytes.data() + 4) & kHasParent) != 0)
      return fail(ErrorKind::Unsupported, "differencing VHDX images are not supported");
  } else if (known(kDiskSize, 8)) {
    layout.disk_size = load_le<uint64_t>(bytes.data());
  } else if (known(kLogicalSector, 4)) {
    layout.sector_size = load_le<uint32_t>(bytes.data());
  } else if ((entry.flags & kMetadataRequired) != 0 && entry.id != kDiskId && entry.id != kPhysicalSector) {
    return fail(ErrorKind::Unsupported, "the image needs metadata of an unknown kind");
  }
  return {};
}

Result<> read_metadata(BlockNode& file, const Region& region, Layout& layout) {
  const auto table = TRY(read_struct<MetadataTable>(file, region.offset));
  if (table.magic != kMetadataMagic || table.count > kMostItems)
    return fail(ErrorKind::Invalid, "the metadata table is damaged");
  for (uint32_t i = 0; i < table.count; ++i) {
    const auto entry =
        TRY(read_struct<MetadataEntry>(file, region.offset + sizeof table + i * sizeof(MetadataEntry)));
    TRY(read_item(file, region, entry, layout));
  }
  if (!std::has_single_bit(layout.block_size) || layout.block_size < kMiB || layout.block_size > 256 * kMiB)
    return failf(ErrorKind::Invalid, "a block size of {} bytes is not possible", layout.block_size);
  if (layout.sector_size != 512 && layout.sector_size != 4096)
    return failf(ErrorKind::Invalid, "a sector size of {} bytes is not possible", layout.sector_size);
  if (layout.disk_size > kLargestDisk || layout.disk_size % layout.sector_size != 0)
    return failf(ErrorKind::Invalid, "a disk of {} bytes is not possible", layout.disk_size);
  const uint64_t blocks = layout.disk_size / layout.block_size + (layout.disk_size % layout.block_size != 0);
  const uint64_t entries = blocks == 0 ? 0 : layout.entry_of(blocks - 1) + 1;
  if (entries * 8 > layout.table.length)
    return failf(ErrorKind::Invalid, "the block table of {} bytes is too small for {} blocks",
                 layout.table.length, blocks);
  return {};
}

class VhdxDriver final : public FormatDriver {
 public:
  std::string_view name() const override { return "vhdx"; }
  int probe(std::span<const uint8_t> head, std::string_view) const override {
    return head.size() >= 8 && load_le<uint64_t>(head.data()) == kFileMagic ? 100 : 0;
  }
  bool can_create() const override { return true; }
  std::span<const CreateOption> create_options() const override { return vhdx_create_options(); }
  Result<> create(const CreateRequest& request) const override { return create_vhdx(request); }

  Result<std::unique_ptr<ImageNode>> open(OpenRequest& request) const override {
    BlockNode& file = *request.file;
    std::array<uint8_t, 8> magic{};
    TRY(file.read(0, magic));
    if (load_le<uint64_t>(magic.data()) != kFileMagic)
      return fail(ErrorKind::Invalid, "Image not in VHDX format");
    Layout layout;
    TRY(find_header(file, layout));
    if (layout.header.log_id != Uuid{}) {
      if (!request.flags.writable)
        return fail(
            ErrorKind::Invalid,
            "the image was not closed and has a log that must be replayed: open it for writing once, for "
            "instance with 'qemu-img check -r all'");
      TRY_IN(replay_log(file, layout.header), "replaying the log");
      layout.header.log_id = Uuid{};
      TRY(write_vhdx_header(file, layout.header, layout.active));
    }
    const Region metadata = TRY(find_regions(file, layout));
    TRY(read_metadata(file, metadata, layout));
    return std::make_unique<VhdxImage>(*this, std::move(request.file), layout);
  }
};

}  // namespace

const FormatDriver& vhdx_driver() {
  static const VhdxDriver driver;
  return driver;
}

}  // namespace rhea::block
