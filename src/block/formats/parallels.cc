// Parallels disk images (docs/interop/parallels.txt of QEMU's documentation): a header of 64 bytes, a table
// of 32-bit places of clusters, clusters. Old images count places in sectors, new ones in clusters.
//
// Missing: writing; bitmaps in the format extension are left alone. Any thread.
#include "block/formats/parallels.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "base/checked.h"
#include "base/endian.h"
#include "base/failf.h"
#include "block/formats/cluster_image.h"
#include "block/formats/metadata_cache.h"

namespace rhea::block {
namespace {

constexpr uint64_t kSector = 512;
constexpr uint64_t kTableOffset = 64;
constexpr uint32_t kVersion = 2;
constexpr uint64_t kLargestCluster = uint64_t{1} << 30;
constexpr std::string_view kOldMagic = "WithoutFreeSpace";
constexpr std::string_view kNewMagic = "WithouFreSpacExt";

struct Header {
  std::array<char, 16> magic;
  le32 version;
  le32 heads;
  le32 cylinders;
  le32 cluster_sectors;
  le32 entries;
  le64 sectors;
  le32 in_use;
  le32 data_offset;
  le32 flags;
  le64 extension_offset;
};
static_assert(sizeof(Header) == 64);

std::string_view magic_of(std::span<const uint8_t> head) {
  // SAFETY: bytes seen as characters.
  return head.size() < 16 ? std::string_view()
                          : std::string_view(reinterpret_cast<const char*>(head.data()), 16);
}

class ParallelsImage final : public ClusterImage, public Checker {
 public:
  ParallelsImage(const FormatDriver& driver, std::unique_ptr<BlockNode> below, uint64_t size,
                 uint64_t cluster_size, uint64_t place_unit)
      : ClusterImage(driver, std::move(below), size, cluster_size),
        place_unit_(place_unit),
        table_(file()),
        file_size_(file().size()) {}

  ImageInfo info() const override {
    ImageInfo out;
    out.has_dirty_flag = false;
    return out;
  }

  Result<CheckReport> check(Repair repair) override {
    if (repair != Repair::None)
      return fail(ErrorKind::Unsupported, "Parallels images can only be read; a repair is not possible");
    const std::lock_guard lock(mutex());
    CheckReport out;
    out.total_clusters = clusters();
    uint64_t last = 0;
    for (uint64_t index = 0; index < clusters(); ++index) {
      const uint64_t offset = TRY(place(index));
      if (offset == 0) continue;
      if (!range_within(offset, cluster_size(), file_size_)) {
        out.messages.push_back(fmt::format("ERROR cluster {} is outside image", index));
        ++out.corruptions;
        continue;
      }
      ++out.allocated_clusters;
      if (last != 0 && last + cluster_size() != offset) ++out.fragmented_clusters;
      last = offset;
      out.image_end_offset = std::max(out.image_end_offset, offset + cluster_size());
    }
    return out;
  }

 private:
  bool may_be_backed() const override { return true; }  // QEMU says of holes that they are not there

  Result<uint64_t> place(uint64_t index) {
    return TRY((table_.load<uint32_t, std::endian::little>(kTableOffset + index * 4))) * place_unit_;
  }
  Result<Place> locate(uint64_t index) override {
    const uint64_t offset = TRY(place(index));
    if (offset == 0) return Place{};
    if (offset >= file_size_)
      return failf(ErrorKind::Invalid, "cluster {} is said to lie at {} in a file of {} bytes", index, offset,
                   file_size_);
    return Place{.state = State::Data, .offset = offset};
  }

  uint64_t place_unit_;
  MetadataCache table_;
  uint64_t file_size_;
};

class ParallelsDriver final : public FormatDriver {
 public:
  std::string_view name() const override { return "parallels"; }
  int probe(std::span<const uint8_t> head, std::string_view) const override {
    const std::string_view magic = magic_of(head);
    if (head.size() < sizeof(Header) || (magic != kOldMagic && magic != kNewMagic)) return 0;
    return load_le<uint32_t>(head.data() + 16) == kVersion ? 100 : 0;
  }

  Result<std::unique_ptr<ImageNode>> open(OpenRequest& request) const override {
    Header header;
    // SAFETY: the struct is plain bytes.
    TRY(request.file->read(0, {reinterpret_cast<uint8_t*>(&header), sizeof header}));
    const std::string_view magic(header.magic.data(), header.magic.size());
    const bool is_new = magic == kNewMagic;
    if (!is_new && magic != kOldMagic) return fail(ErrorKind::Invalid, "Image not in Parallels format");
    if (header.version != kVersion)
      return failf(ErrorKind::Unsupported, "Parallels version {} is not supported", header.version.get());
    if (header.cluster_sectors == 0) return fail(ErrorKind::Invalid, "Invalid image: Zero sectors per track");
    const uint64_t cluster = header.cluster_sectors * kSector;
    if (cluster > kLargestCluster) return fail(ErrorKind::Invalid, "Invalid image: Too big cluster");
    // Old images leave the upper half of the size undefined.
    const uint64_t sectors = is_new ? header.sectors.get() : header.sectors & 0xffffffff;
    if (sectors > uint64_t{1} << 54) return fail(ErrorKind::Invalid, "Invalid image: Too big size");
    const uint64_t needed = (sectors * kSector + cluster - 1) / cluster;
    if (needed > header.entries)
      return failf(ErrorKind::Invalid, "Catalog too small: {} clusters are needed, {} are there", needed,
                   header.entries.get());
    if (!range_within(kTableOffset, uint64_t{header.entries} * 4, request.file->size()))
      return failf(ErrorKind::Invalid, "the catalog of {} clusters does not fit the file of {} bytes",
                   header.entries.get(), request.file->size());
    if (request.flags.writable) return fail(ErrorKind::Unsupported, "parallels images can only be read");
    return std::make_unique<ParallelsImage>(*this, std::move(request.file), sectors * kSector, cluster,
                                            is_new ? cluster : kSector);
  }
};

}  // namespace

const FormatDriver& parallels_driver() {
  static const ParallelsDriver driver;
  return driver;
}

}  // namespace rhea::block
