// Growing disk images of Bochs (Bochs developers' guide, "Harddisk Images based on redologs"): a header, a
// catalog of 32-bit numbers of extents, extents; each is a bitmap of its sectors and the sectors.
//
// Missing: writing; images that need a base ("undoable"). Any thread.
#include "block/formats/bochs.h"

#include <array>
#include <bit>
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
constexpr uint32_t kNoExtent = 0xffffffff;
constexpr uint32_t kVersion1 = 0x00010000;
constexpr uint32_t kVersion2 = 0x00020000;
constexpr std::string_view kMagic = "Bochs Virtual HD Image";
constexpr std::string_view kType = "Redolog";
constexpr std::string_view kSubtype = "Growing";

struct Header {
  std::array<char, 32> magic;
  std::array<char, 16> type;
  std::array<char, 16> subtype;
  le32 version;
  le32 header_size;
  le32 catalog_entries;
  le32 bitmap_size;
  le32 extent_size;
  std::array<uint8_t, 12> rest;  // version 1: the size; version 2: a time, then the size
};
static_assert(sizeof(Header) == 96);

template <size_t N>
bool is_text(const std::array<char, N>& field, std::string_view wanted) {
  return std::string_view(field.data(), ::strnlen(field.data(), N)) == wanted;
}

struct Layout {
  uint64_t catalog = 0;
  uint64_t data = 0;
  uint64_t bitmap_bytes = 0;
  uint64_t extent_bytes = 0;
  uint64_t extent_sectors = 0;  // of the disk
};

class BochsImage final : public ClusterImage {
 public:
  BochsImage(const FormatDriver& driver, std::unique_ptr<BlockNode> below, uint64_t size,
             const Layout& layout)
      : ClusterImage(driver, std::move(below), size, kSector), layout_(layout), tables_(file()) {}

  ImageInfo info() const override {
    ImageInfo out;
    out.has_dirty_flag = false;
    return out;
  }

 private:
  Result<Place> locate(uint64_t sector) override {
    const uint64_t extent = sector / layout_.extent_sectors;
    const uint64_t within = sector % layout_.extent_sectors;
    const uint32_t number = TRY((tables_.load<uint32_t, std::endian::little>(layout_.catalog + extent * 4)));
    if (number == kNoExtent) return Place{};
    const uint64_t bitmap = layout_.data + number * (layout_.bitmap_bytes + layout_.extent_bytes);
    const uint8_t bits = TRY((tables_.load<uint8_t, std::endian::little>(bitmap + within / 8)));
    if ((bits >> within % 8 & 1) == 0) return Place{};
    return Place{.state = State::Data, .offset = bitmap + layout_.bitmap_bytes + within * kSector};
  }

  Layout layout_;
  MetadataCache tables_;
};

class BochsDriver final : public FormatDriver {
 public:
  std::string_view name() const override { return "bochs"; }
  int probe(std::span<const uint8_t> head, std::string_view) const override {
    if (head.size() < sizeof(Header)) return 0;
    Header header;
    std::memcpy(&header, head.data(), sizeof header);
    return is_bochs(header) ? 100 : 0;
  }

  Result<std::unique_ptr<ImageNode>> open(OpenRequest& request) const override {
    Header header;
    // SAFETY: the struct is plain bytes.
    TRY(request.file->read(0, {reinterpret_cast<uint8_t*>(&header), sizeof header}));
    if (!is_bochs(header)) return fail(ErrorKind::Invalid, "Image not in Bochs format");
    const uint64_t bytes = load_le<uint64_t>(header.rest.data() + (header.version == kVersion1 ? 0 : 4));
    if (header.extent_size < kSector || !std::has_single_bit(header.extent_size.get()))
      return failf(ErrorKind::Invalid, "Extent size {} is no power of two of at least 512",
                   header.extent_size.get());
    if (header.extent_size > 0x800000)
      return failf(ErrorKind::Invalid, "Extent size {} is too large", header.extent_size.get());
    if (header.bitmap_size == 0 || uint64_t{header.bitmap_size} * 8 < header.extent_size / kSector ||
        header.bitmap_size > 0x800000)
      return failf(ErrorKind::Invalid, "a bitmap of {} bytes does not fit extents of {}",
                   header.bitmap_size.get(), header.extent_size.get());
    if (header.catalog_entries > 0x100000) return fail(ErrorKind::Invalid, "Catalog size is too large");
    if (bytes / header.extent_size + (bytes % header.extent_size != 0) > header.catalog_entries)
      return fail(ErrorKind::Invalid, "Catalog size is too small for this disk size");
    Layout layout;
    layout.catalog = header.header_size;
    const uint64_t catalog_bytes = uint64_t{header.catalog_entries} * 4;
    if (layout.catalog < sizeof(Header) || layout.catalog % 4 != 0 ||
        !range_within(layout.catalog, catalog_bytes, request.file->size()))
      return failf(ErrorKind::Invalid, "the catalog of {} bytes at {} does not fit the file of {} bytes",
                   catalog_bytes, layout.catalog, request.file->size());
    layout.data = layout.catalog + catalog_bytes;
    layout.bitmap_bytes = *checked_align_up<uint64_t>(header.bitmap_size, kSector);
    layout.extent_bytes = *checked_align_up<uint64_t>(header.extent_size, kSector);
    layout.extent_sectors = header.extent_size / kSector;
    if (request.flags.writable) return fail(ErrorKind::Unsupported, "bochs images can only be read");
    return std::make_unique<BochsImage>(*this, std::move(request.file), align_down<uint64_t>(bytes, kSector),
                                        layout);
  }

 private:
  static bool is_bochs(const Header& header) {
    return is_text(header.magic, kMagic) && is_text(header.type, kType) &&
           is_text(header.subtype, kSubtype) && (header.version == kVersion1 || header.version == kVersion2);
  }
};

}  // namespace

const FormatDriver& bochs_driver() {
  static const BochsDriver driver;
  return driver;
}

}  // namespace rhea::block
