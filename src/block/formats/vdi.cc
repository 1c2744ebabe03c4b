// VirtualBox disk images, version 1.1 (forums.virtualbox.org "All about VDIs"; libvdi's format notes):
//
//     0      text, signature, version
//     72     header: kind, offsets of the map and of the data, block size and counts, identifiers
//     map    a 32-bit number a block: its place in the data area, or one of two kinds of nothing
//     data   blocks, in the order in which they were first written
//
// Missing: differencing images (a parent's identifier names no file), blocks of other sizes than 1 MiB and
// blocks with extra data in front, which no known program writes. Any thread.
#include "block/formats/vdi.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "base/checked.h"
#include "base/endian.h"
#include "base/failf.h"
#include "base/sizes.h"
#include "block/formats/cluster_image.h"
#include "block/formats/metadata_cache.h"
#include "block/formats/uuid.h"
#include "block/open.h"

namespace rhea::block {
namespace {

constexpr uint32_t kSignature = 0xbeda107f;
constexpr uint32_t kVersion = 0x00010001;
constexpr uint32_t kHeaderSize = 0x180;
constexpr uint32_t kBlockSize = 1 << 20;
constexpr uint32_t kSector = 512;
constexpr uint32_t kMapOffset = 0x200;
constexpr uint32_t kUnallocated = 0xffffffff;
constexpr uint32_t kZero = 0xfffffffe;
constexpr uint64_t kMostBlocks = 0x1fffff80;
constexpr uint64_t kLargest = kMostBlocks * kBlockSize;
constexpr char kText[] = "<<< QEMU VM Virtual Disk Image >>>\n";

enum class Kind : uint32_t { Dynamic = 1, Static = 2 };

struct Header {
  std::array<uint8_t, 64> text;
  le32 signature;
  le32 version;
  le32 header_size;
  le32 kind;
  le32 flags;
  std::array<uint8_t, 256> description;
  le32 map_offset;
  le32 data_offset;
  le32 cylinders;
  le32 heads;
  le32 sectors;
  le32 sector_size;
  le32 unused;
  le64 disk_size;
  le32 block_size;
  le32 block_extra;
  le32 blocks;
  le32 blocks_allocated;
  Uuid image_id;
  Uuid last_snapshot_id;
  Uuid link_id;
  Uuid parent_id;
  std::array<uint8_t, 56> unused2;
};
static_assert(sizeof(Header) == 512);

constexpr std::array<CreateOption, 2> kOptions = {{
    {"size", CreateOption::Type::Size, "Virtual disk size", nullptr},
    {"static", CreateOption::Type::Bool, "VDI static (pre-allocated) image", "off"},
}};

Result<> check_size(uint64_t size) {
  if (size <= kLargest) return {};
  return failf(ErrorKind::OutOfRange, "Unsupported VDI image size (size is {:#x}, max supported is {:#x})",
               size, kLargest);
}

class VdiImage final : public ClusterImage, public Checker {
 public:
  VdiImage(const FormatDriver& driver, std::unique_ptr<BlockNode> below, uint64_t size, const Header& header)
      : ClusterImage(driver, std::move(below), size, kBlockSize), header_(header), map_(file()) {
    map_.set_solid_until(header.map_offset + uint64_t{header.blocks} * 4);
  }

  ImageInfo info() const override {
    ImageInfo out;
    out.cluster_size = kBlockSize;
    return out;
  }
  Result<CheckReport> check(Repair repair) override;

 private:
  bool shows_holes() const override { return header_.kind == static_cast<uint32_t>(Kind::Static); }
  Result<uint32_t> entry(uint64_t index) {
    return map_.load<uint32_t, std::endian::little>(header_.map_offset + index * 4);
  }
  Result<> set_entry(uint64_t index, uint32_t value) {
    return map_.store<uint32_t, std::endian::little>(header_.map_offset + index * 4, value);
  }

  Result<Place> locate(uint64_t index) override {
    const uint32_t place = TRY(entry(index));
    if (place == kUnallocated) return Place{};
    if (place == kZero) return Place{.state = State::Zero};
    if (place >= header_.blocks)
      return failf(ErrorKind::Invalid, "block {} is said to lie at index {} of {}", index, place,
                   header_.blocks.get());
    return Place{.state = State::Data, .offset = header_.data_offset + uint64_t{place} * kBlockSize};
  }

  Result<NewPlace> allocate(uint64_t) override {
    // A count that lies would put two blocks into one place, or past those that the map can name.
    if (header_.blocks_allocated >= header_.blocks)
      return failf(ErrorKind::Invalid, "the header counts {} of {} blocks as used; the image needs a check",
                   header_.blocks_allocated.get(), header_.blocks.get());
    NewPlace place{.offset = header_.data_offset + uint64_t{header_.blocks_allocated} * kBlockSize};
    place.zeroed = place.offset >= file().size();
    if (place.offset + kBlockSize > file().size())
      TRY(file().resize(place.offset + kBlockSize, Preallocation::Off));
    return place;
  }

  Result<> link(uint64_t index, const NewPlace& place) override {
    TRY(set_entry(index, static_cast<uint32_t>((place.offset - header_.data_offset) / kBlockSize)));
    header_.blocks_allocated = header_.blocks_allocated + 1;
    return map_.store<uint32_t, std::endian::little>(offsetof(Header, blocks_allocated),
                                                     header_.blocks_allocated);
  }

  // The count is in the first page and so goes first: too high is a place lost, too low is one used twice. In
  // images of some GiB it is in one write with the map, and the two always agree.
  Result<> write_metadata() override { return map_.write_back(); }

  Header header_;
  MetadataCache map_;
};

Result<CheckReport> VdiImage::check(Repair repair) {
  if (repair != Repair::None)
    return fail(ErrorKind::Unsupported, "This image format does not support checks");
  const std::lock_guard lock(mutex());
  CheckReport out;
  std::vector<bool> used(header_.blocks);
  uint32_t allocated = 0;
  for (uint32_t block = 0; block < header_.blocks; ++block) {
    const uint32_t place = TRY(entry(block));
    if (place == kUnallocated || place == kZero) continue;
    if (place >= header_.blocks) {
      out.messages.push_back(fmt::format("ERROR: block index {} too large, is {}", block, place));
      ++out.corruptions;
      continue;
    }
    ++allocated;
    if (used[place]) {
      out.messages.push_back(fmt::format("ERROR: block index {} also used by {}", place, block));
      ++out.corruptions;
    }
    used[place] = true;
  }
  if (allocated != header_.blocks_allocated) {
    out.messages.push_back(fmt::format("ERROR: allocated blocks mismatch, is {}, should be {}", allocated,
                                       header_.blocks_allocated.get()));
    ++out.corruptions;
  }
  return out;
}

template <class... Args>
std::unexpected<Error> refuse(fmt::format_string<Args...> format, Args&&... args) {
  return failf(ErrorKind::Invalid, "unsupported VDI image ({})",
               fmt::format(format, std::forward<Args>(args)...));
}

bool is_set(const Uuid& id) {
  return std::ranges::any_of(id, [](uint8_t byte) { return byte != 0; });
}

Result<> check_header(const Header& header, uint64_t file_size) {
  if (header.signature != kSignature)
    return failf(ErrorKind::Invalid, "Image not in VDI format (bad signature {:08x})",
                 header.signature.get());
  TRY(check_size(header.disk_size));
  if (header.version != kVersion)
    return refuse("version {}.{}", header.version >> 16, header.version & 0xffff);
  if (header.map_offset % kSector != 0)
    return refuse("unaligned block map offset {:#x}", header.map_offset.get());
  if (header.data_offset % kSector != 0)
    return refuse("unaligned data offset {:#x}", header.data_offset.get());
  if (header.sector_size != kSector)
    return refuse("sector size {} is not {}", header.sector_size.get(), kSector);
  if (header.block_size != kBlockSize)
    return refuse("block size {} is not {}", header.block_size.get(), kBlockSize);
  if (header.block_extra != 0) return refuse("{} extra bytes in each block", header.block_extra.get());
  if (*checked_align_up<uint64_t>(header.disk_size, kSector) > uint64_t{header.blocks} * kBlockSize)
    return refuse("disk size {}, image bitmap has room for {}", header.disk_size.get(),
                  uint64_t{header.blocks} * kBlockSize);
  if (is_set(header.link_id)) return refuse("non-NULL link UUID");
  if (is_set(header.parent_id)) return refuse("non-NULL parent UUID");
  if (header.blocks > kMostBlocks)
    return refuse("too many blocks {}, max is {}", header.blocks.get(), kMostBlocks);
  const uint64_t map_end = header.map_offset + uint64_t{header.blocks} * 4;
  if (header.map_offset < sizeof(Header) || map_end > header.data_offset)
    return refuse("block map of {} bytes at offset {:#x} overlaps the header or the data at {:#x}",
                  uint64_t{header.blocks} * 4, header.map_offset.get(), header.data_offset.get());
  if (map_end > file_size) return refuse("block map ends at {}, the file at {}", map_end, file_size);
  return {};
}

class VdiDriver final : public FormatDriver {
 public:
  std::string_view name() const override { return "vdi"; }
  int probe(std::span<const uint8_t> head, std::string_view) const override {
    return head.size() >= 68 && load_le<uint32_t>(head.data() + 64) == kSignature ? 100 : 0;
  }
  bool can_create() const override { return true; }
  std::span<const CreateOption> create_options() const override { return kOptions; }

  Result<std::unique_ptr<ImageNode>> open(OpenRequest& request) const override {
    Header header;
    // SAFETY: the struct is plain bytes.
    TRY(request.file->read(0, {reinterpret_cast<uint8_t*>(&header), sizeof header}));
    TRY(check_header(header, request.file->size()));
    const uint64_t size = *checked_align_up<uint64_t>(header.disk_size, kSector);
    return std::make_unique<VdiImage>(*this, std::move(request.file), size, header);
  }

  Result<> create(const CreateRequest& request) const override {
    const Preallocation preallocation = TRY(file_preallocation(request.values));
    TRY(check_size(request.size));
    const bool whole = request.values.flag("static", false);
    const auto blocks = static_cast<uint32_t>(request.size / kBlockSize + (request.size % kBlockSize != 0));
    const auto map_size = static_cast<uint32_t>(*checked_align_up<uint64_t>(uint64_t{blocks} * 4, kSector));
    Header header{};
    std::memcpy(header.text.data(), kText, sizeof kText - 1);
    header.signature = kSignature;
    header.version = kVersion;
    header.header_size = kHeaderSize;
    header.kind = static_cast<uint32_t>(whole ? Kind::Static : Kind::Dynamic);
    header.map_offset = kMapOffset;
    header.data_offset = kMapOffset + map_size;
    header.sector_size = kSector;
    header.disk_size = request.size;
    header.block_size = kBlockSize;
    header.blocks = blocks;
    header.blocks_allocated = whole ? blocks : 0;
    header.image_id = TRY(random_uuid(std::endian::little));
    header.last_snapshot_id = TRY(random_uuid(std::endian::little));
    return create_file_with(request.filename, request.values, [&](BlockNode& file) -> Result<> {
      // SAFETY: the struct is plain bytes.
      TRY(file.write(0, {reinterpret_cast<const uint8_t*>(&header), sizeof header}));
      TRY(write_map(file, blocks, map_size, whole));
      if (!whole) return {};
      const uint64_t end = header.data_offset + uint64_t{blocks} * kBlockSize;
      return file.resize(end, preallocation);
    });
  }

 private:
  static Result<> write_map(BlockNode& file, uint32_t blocks, uint32_t map_size, bool whole) {
    static_assert(kUnallocated == 0xffffffff);
    if (!whole) {
      TRY(write_filled(file, kMapOffset, uint64_t{blocks} * 4, 0xff));
      return file.resize(kMapOffset + map_size, Preallocation::Off);
    }
    constexpr uint32_t kEntries = 1 << 16;
    std::vector<uint8_t> part(size_t{std::min(blocks, kEntries)} * 4);
    for (uint32_t first = 0; first < blocks; first += kEntries) {
      const uint32_t count = std::min(kEntries, blocks - first);
      for (uint32_t i = 0; i < count; ++i) store_le<uint32_t>(part.data() + size_t{i} * 4, first + i);
      TRY(file.write(kMapOffset + uint64_t{first} * 4, std::span(part).first(size_t{count} * 4)));
    }
    return file.resize(kMapOffset + map_size, Preallocation::Off);
  }
};

}  // namespace

const FormatDriver& vdi_driver() {
  static const VdiDriver driver;
  return driver;
}

}  // namespace rhea::block
