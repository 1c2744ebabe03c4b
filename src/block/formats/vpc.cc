// Virtual Hard Disk images (see vpc_layout.h for the specification):
//
//     fixed      the disk's bytes, then a footer
//     dynamic    a copy of the footer, a header, the block allocation table (BAT, a sector number a block),
//                blocks (each a bitmap of its sectors, then the sectors), the footer
//
// The bitmap counts in differencing images alone: where a bit is clear, the parent is read. A size follows
// from the geometry unless the program that made the image is known to mean the size. Missing: writing to
// differencing images. Any thread.
#include "block/formats/vpc.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <ctime>

#include "base/checked.h"
#include "base/failf.h"
#include "base/sizes.h"
#include "block/formats/cluster_image.h"
#include "block/formats/metadata_cache.h"
#include "block/formats/vpc_layout.h"
#include "block/open.h"

namespace rhea::block {
namespace {

using namespace vpc;

constexpr uint64_t kLargestSectors = 2040 * kGiB / kSector;
constexpr uint32_t kNewBlockSize = 2 << 20;
constexpr uint64_t kHeaderOffset = 512;
constexpr uint64_t kTableOffset = 1536;
constexpr uint64_t kLargestTable = 64 * kMiB;
constexpr uint64_t kFixedStep = kMiB;
constexpr time_t kEpoch = 946684800;               // 2000-01-01
constexpr uint32_t kLocatorRelative = 0x57327275;  // "W2ru", UTF-16 little endian
constexpr uint32_t kLocatorAbsolute = 0x57326b75;  // "W2ku"

constexpr std::array<CreateOption, 3> kOptions = {{
    {"size", CreateOption::Type::Size, "Virtual disk size", nullptr},
    {"subformat", CreateOption::Type::Text,
     "Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} ", nullptr},
    {"force_size", CreateOption::Type::Bool,
     "Force disk size calculation to use the actual size specified, rather than using the nearest CHS-based "
     "calculation",
     nullptr},
}};

template <class T>
std::span<const uint8_t> bytes_of(const T& value) {
  // SAFETY: T is a struct of plain bytes.
  return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
}

template <class T>
Result<T> read_struct(BlockNode& file, uint64_t offset) {
  T out;
  // SAFETY: T is a struct of plain bytes.
  TRY(file.read(offset, {reinterpret_cast<uint8_t*>(&out), sizeof out}));
  return out;
}

bool has_cookie(const std::array<char, 8>& cookie, std::string_view wanted) {
  return std::string_view(cookie.data(), cookie.size()) == wanted;
}

class FixedImage final : public ClusterImage {
 public:
  FixedImage(const FormatDriver& driver, std::unique_ptr<BlockNode> below, uint64_t size)
      : ClusterImage(driver, std::move(below), size, kFixedStep) {}

 private:
  bool shows_holes() const override { return true; }
  Result<Place> locate(uint64_t index) override {
    return Place{.state = State::Data, .offset = index * kFixedStep};
  }
};

struct DynamicLayout {
  Footer footer;
  uint64_t size = 0;
  uint64_t table_offset = 0;
  uint32_t block_size = 0;
  uint64_t free_offset = 0;  // where the next block goes, and the footer is
  uint64_t bitmap_size() const {
    return *checked_align_up<uint64_t>(std::max<uint64_t>(block_size / kSector / 8, 1), kSector);
  }
};

class DynamicImage final : public ClusterImage {
 public:
  DynamicImage(const FormatDriver& driver, std::unique_ptr<BlockNode> below, const DynamicLayout& layout)
      : ClusterImage(driver, std::move(below), layout.size, layout.block_size),
        layout_(layout),
        table_(file()),
        file_size_(file().size()) {}

  ImageInfo info() const override {
    ImageInfo out;
    out.cluster_size = layout_.block_size;
    return out;
  }

 private:
  uint64_t entry_offset(uint64_t index) const { return layout_.table_offset + index * 4; }

  Result<Place> locate(uint64_t index) override {
    const uint32_t sector = TRY((table_.load<uint32_t, std::endian::big>(entry_offset(index))));
    if (sector == kNoBlock) return Place{};
    const uint64_t offset = sector * kSector + layout_.bitmap_size();
    if (!range_within(offset, layout_.block_size, file_size_))
      return failf(ErrorKind::Invalid, "block {} at {} is not inside of the file of {} bytes", index, offset,
                   file_size_);
    return Place{.state = State::Data, .offset = offset};
  }

  Result<NewPlace> allocate(uint64_t) override {
    const uint64_t begin = layout_.free_offset;
    const uint64_t end = begin + layout_.bitmap_size() + layout_.block_size;
    if (end / kSector >= kNoBlock) return fail(ErrorKind::NoSpace, "the image has no room for another block");
    const bool fresh = file_size_ <= begin + sizeof(Footer);
    // The footer first: until its old place is overwritten there are two.
    TRY(file().write(end, bytes_of(layout_.footer)));
    const std::vector<uint8_t> bitmap(static_cast<size_t>(layout_.bitmap_size()), 0xff);
    TRY(file().write(begin, bitmap));
    layout_.free_offset = end;
    file_size_ = std::max(file_size_, end + sizeof(Footer));
    return NewPlace{.offset = begin + layout_.bitmap_size(), .zeroed = fresh};
  }

  Result<> link(uint64_t index, const NewPlace& place) override {
    const auto sector = static_cast<uint32_t>((place.offset - layout_.bitmap_size()) / kSector);
    return table_.store<uint32_t, std::endian::big>(entry_offset(index), sector);
  }

  Result<> write_metadata() override { return table_.write_back(); }

  DynamicLayout layout_;
  MetadataCache table_;
  uint64_t file_size_;
};

// Read a sector at a time, as its bitmap says whose it is.
class DifferencingImage final : public ClusterImage {
 public:
  DifferencingImage(const FormatDriver& driver, std::unique_ptr<BlockNode> below, const DynamicLayout& layout,
                    std::string parent)
      : ClusterImage(driver, std::move(below), layout.size, kSector),
        layout_(layout),
        parent_(std::move(parent)),
        table_(file()) {}

  ImageInfo info() const override {
    ImageInfo out;
    out.cluster_size = layout_.block_size;
    return out;
  }
  BackingReference backing_reference() const override { return {.file = parent_, .format = "vpc"}; }

 private:
  bool may_be_backed() const override { return true; }
  Result<Place> locate(uint64_t index) override {
    const uint64_t per_block = layout_.block_size / kSector;
    const uint64_t entry = layout_.table_offset + index / per_block * 4;
    const uint32_t sector = TRY((table_.load<uint32_t, std::endian::big>(entry)));
    if (sector == kNoBlock) return Place{};
    const uint64_t within = index % per_block;
    const uint8_t bits = TRY((table_.load<uint8_t, std::endian::big>(sector * kSector + within / 8)));
    if ((bits >> (7 - within % 8) & 1) == 0) return Place{};
    return Place{.state = State::Data, .offset = sector * kSector + layout_.bitmap_size() + within * kSector};
  }

  DynamicLayout layout_;
  std::string parent_;
  MetadataCache table_;
};

// -- open ---------------------------------------------------------------------------------------------------

// Those that mean the size in the footer and give the geometry for old programs alone.
bool means_size(const Footer& footer) {
  constexpr std::array<std::string_view, 5> kCreators = {"qem2", "win ", "d2v ", std::string_view("tap\0", 4),
                                                         "CTXS"};
  return std::ranges::find(kCreators, std::string_view(footer.creator.data(), 4)) != kCreators.end();
}

Result<uint64_t> disk_size(const Footer& footer, std::optional<bool> by_size) {
  const Geometry geometry{footer.cylinders, footer.heads, footer.sectors};
  const bool use_size = by_size.value_or(means_size(footer) || geometry.total() >= kLargestGeometry.total());
  const uint64_t sectors = use_size ? footer.current_size / kSector : geometry.total();
  if (sectors > kLargestSectors)
    return failf(ErrorKind::OutOfRange, "the image is said to have {} bytes; the format has room for {}",
                 footer.current_size.get(), kLargestSectors * kSector);
  return sectors * kSector;
}

Result<> scan_table(BlockNode& file, DynamicLayout& layout) {
  const uint64_t entries = (layout.size + layout.block_size - 1) / layout.block_size;
  const uint64_t end = layout.table_offset + *checked_align_up<uint64_t>(entries * 4, kSector);
  layout.free_offset = end;
  std::vector<uint8_t> part;
  for (uint64_t first = 0; first < entries; first += part.size() / 4) {
    part.resize(static_cast<size_t>(std::min<uint64_t>((entries - first) * 4, 256 * kKiB)));
    TRY_IN(file.read(layout.table_offset + first * 4, part), "Error reading pagetable");
    for (size_t i = 0; i < part.size(); i += 4) {
      const uint64_t sector = load_be<uint32_t>(part.data() + i);
      if (sector == kNoBlock) continue;
      layout.free_offset =
          std::max(layout.free_offset, sector * kSector + layout.bitmap_size() + layout.block_size);
    }
  }
  if (layout.free_offset > file.size())
    return fail(
        ErrorKind::Invalid,
        "block-vpc: free_data_block_offset points after the end of file. The image has been truncated.");
  return {};
}

Result<DynamicLayout> check_dynamic(BlockNode& file, const Footer& footer, const DynamicHeader& header,
                                    uint64_t size) {
  if (!has_cookie(header.cookie, kHeaderCookie)) return fail(ErrorKind::Invalid, "Invalid header magic");
  DynamicLayout out{.footer = footer, .size = size};
  out.block_size = header.block_size;
  if (!std::has_single_bit(out.block_size) || out.block_size < kSector)
    return failf(ErrorKind::Invalid, "Invalid block size {}", out.block_size);
  out.table_offset = header.table_offset;
  const uint64_t needed = (size + out.block_size - 1) / out.block_size;
  if (header.table_entries < needed) return fail(ErrorKind::Invalid, "Page table too small");
  if (header.table_entries > INT32_MAX / 4 || needed * 4 > kLargestTable)
    return failf(ErrorKind::Invalid, "Max Table Entries too large ({})", header.table_entries.get());
  if (!is_aligned(out.table_offset, kSector) || !range_within(out.table_offset, needed * 4, file.size()))
    return failf(ErrorKind::Invalid, "Error reading pagetable: {} bytes at {} in a file of {}", needed * 4,
                 out.table_offset, file.size());
  return out;
}

std::string from_utf16(std::span<const uint8_t> text, bool big_endian) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    const uint16_t unit =
        big_endian ? load_be<uint16_t>(text.data() + i) : load_le<uint16_t>(text.data() + i);
    if (unit == 0) break;
    if (unit < 0x80) {
      out += static_cast<char>(unit == '\\' ? '/' : unit);
    } else if (unit < 0x800) {
      out += static_cast<char>(0xc0 | unit >> 6);
      out += static_cast<char>(0x80 | (unit & 0x3f));
    } else {
      out += static_cast<char>(0xe0 | unit >> 12);
      out += static_cast<char>(0x80 | (unit >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (unit & 0x3f));
    }
  }
  return out;
}

// The parent as seen from the image's folder. Absolute names are those of another host: only their last
// part can be of use here.
Result<std::string> parent_name(BlockNode& file, const DynamicHeader& header) {
  std::string absolute;
  for (const ParentLocator& locator : header.locators) {
    if (locator.platform != kLocatorRelative && locator.platform != kLocatorAbsolute) continue;
    if (locator.length == 0 || locator.length > 4096) continue;
    std::vector<uint8_t> text(locator.length);
    if (!range_within(locator.offset, text.size(), file.size()))
      return failf(ErrorKind::Invalid, "the parent's name at {} lies outside of the file",
                   locator.offset.get());
    TRY(file.read(locator.offset, text));
    std::string name = from_utf16(text, false);
    if (name.starts_with("./")) name.erase(0, 2);
    if (locator.platform == kLocatorRelative && !name.empty()) return name;
    absolute = name;
  }
  if (absolute.empty()) absolute = from_utf16(header.parent_name, true);
  if (absolute.empty()) return fail(ErrorKind::Invalid, "the differencing image names no parent");
  const size_t slash = absolute.rfind('/');
  return slash == std::string::npos ? absolute : absolute.substr(slash + 1);
}

Result<std::optional<bool>> size_rule(config::KeyValues& options) {
  const auto rule = config::take(options, "force_size_calc");
  if (!rule) return std::nullopt;
  if (*rule == "current_size") return true;
  if (*rule == "chs") return false;
  return failf(ErrorKind::Invalid, "Invalid size calculation algorithm '{}'", *rule);
}

// -- create -------------------------------------------------------------------------------------------------

Result<Footer> new_footer(uint64_t wanted, bool fixed, bool force_size) {
  uint64_t sectors = wanted / kSector + (wanted % kSector != 0);
  Geometry geometry = kLargestGeometry;
  if (!force_size) {
    geometry = geometry_for_at_least(sectors);
    if (geometry.total() < kLargestGeometry.total()) sectors = geometry.total();
  }
  if (sectors > kLargestSectors)
    return fail(ErrorKind::OutOfRange, "The image size is too large for file format 'vpc'");
  Footer out{};
  std::memcpy(out.cookie.data(), kFooterCookie.data(), out.cookie.size());
  out.features = 2;
  out.version = 0x00010000;
  out.header_offset = fixed ? kNoOffset : kHeaderOffset;
  out.timestamp = static_cast<uint32_t>(std::time(nullptr) - kEpoch);
  std::memcpy(out.creator.data(), force_size ? "qem2" : "qemu", 4);
  out.creator_version = 0x00050003;
  std::memcpy(out.creator_host.data(), "Wi2k", 4);
  out.original_size = sectors * kSector;
  out.current_size = sectors * kSector;
  out.cylinders = geometry.cylinders;
  out.heads = geometry.heads;
  out.sectors = geometry.sectors;
  out.type = static_cast<uint32_t>(fixed ? DiskType::Fixed : DiskType::Dynamic);
  out.id = TRY(random_uuid(std::endian::big));
  out.checksum = checksum_of(out);
  return out;
}

Result<> write_dynamic(BlockNode& file, const Footer& footer) {
  const uint64_t entries = (footer.current_size + kNewBlockSize - 1) / kNewBlockSize;
  const uint64_t table_size = *checked_align_up<uint64_t>(entries * 4, kSector);
  DynamicHeader header{};
  std::memcpy(header.cookie.data(), kHeaderCookie.data(), header.cookie.size());
  header.unused_offset = kNoOffset;
  header.table_offset = kTableOffset;
  header.version = 0x00010000;
  header.table_entries = static_cast<uint32_t>(entries);
  header.block_size = kNewBlockSize;
  header.checksum = checksum_of(header);
  TRY(file.write(0, bytes_of(footer)));
  TRY(file.write(kHeaderOffset, bytes_of(header)));
  TRY(write_filled(file, kTableOffset, table_size, 0xff));
  return file.write(kTableOffset + table_size, bytes_of(footer));
}

class VpcDriver final : public FormatDriver {
 public:
  std::string_view name() const override { return "vpc"; }
  int probe(std::span<const uint8_t> head, std::string_view) const override {
    return head.size() >= 8 && std::memcmp(head.data(), kFooterCookie.data(), 8) == 0 ? 100 : 0;
  }
  bool can_create() const override { return true; }
  std::span<const CreateOption> create_options() const override { return kOptions; }

  Result<std::unique_ptr<ImageNode>> open(OpenRequest& request) const override {
    BlockNode& file = *request.file;
    Footer footer = TRY(read_struct<Footer>(file, 0));
    const auto by_size = TRY(size_rule(request.options));
    bool fixed = false;
    if (!has_cookie(footer.cookie, kFooterCookie)) {
      if (file.size() < sizeof footer) return fail(ErrorKind::Invalid, "File too small for a VHD header");
      footer = TRY(read_struct<Footer>(file, file.size() - sizeof footer));
      if (!has_cookie(footer.cookie, kFooterCookie) || footer.type != static_cast<uint32_t>(DiskType::Fixed))
        return fail(ErrorKind::Invalid, "invalid VPC image");
      fixed = true;
    }
    if (footer.checksum != checksum_of(footer)) return fail(ErrorKind::Invalid, "Incorrect header checksum");
    const uint64_t size = TRY(disk_size(footer, by_size));
    if (fixed) return open_fixed(request, size);
    return open_dynamic(request, footer, size);
  }

  Result<> create(const CreateRequest& request) const override {
    const std::string subformat = request.values.text("subformat", "dynamic");
    if (subformat != "dynamic" && subformat != "fixed")
      return failf(ErrorKind::Invalid, "Parameter 'subformat' does not accept value '{}'", subformat);
    const bool fixed = subformat == "fixed";
    const Preallocation preallocation = TRY(file_preallocation(request.values));
    const Footer footer = TRY(new_footer(request.size, fixed, request.values.flag("force_size", false)));
    return create_file_with(request.filename, request.values, [&](BlockNode& file) -> Result<> {
      if (!fixed) return write_dynamic(file, footer);
      TRY(file.resize(footer.current_size, preallocation));
      return file.write(footer.current_size, bytes_of(footer));
    });
  }

 private:
  Result<std::unique_ptr<ImageNode>> open_fixed(OpenRequest& request, uint64_t size) const {
    const uint64_t data = request.file->size() - sizeof(Footer);
    if (size > data)
      return failf(ErrorKind::Invalid, "the fixed image is said to have {} bytes, but the file holds {}",
                   size, data);
    return std::make_unique<FixedImage>(*this, std::move(request.file), size);
  }

  Result<std::unique_ptr<ImageNode>> open_dynamic(OpenRequest& request, const Footer& footer,
                                                  uint64_t size) const {
    BlockNode& file = *request.file;
    if (!range_within(footer.header_offset, sizeof(DynamicHeader), file.size()))
      return fail(ErrorKind::Invalid, "Error reading dynamic VHD header");
    const auto header = TRY(read_struct<DynamicHeader>(file, footer.header_offset));
    DynamicLayout layout = TRY(check_dynamic(file, footer, header, size));
    TRY(scan_table(file, layout));
    if (footer.type == static_cast<uint32_t>(DiskType::Differencing)) {
      if (request.flags.writable)
        return fail(ErrorKind::Unsupported, "differencing VHD images can only be read");
      std::string parent = TRY(parent_name(file, header));
      return std::make_unique<DifferencingImage>(*this, std::move(request.file), layout, std::move(parent));
    }
    return std::make_unique<DynamicImage>(*this, std::move(request.file), layout);
  }
};

}  // namespace

const FormatDriver& vpc_driver() {
  static const VpcDriver driver;
  return driver;
}

}  // namespace rhea::block
