// QEMU Enhanced Disk images (docs/interop/qed_spec.txt of QEMU's documentation): a header of one cluster or
// more, an L1 table that points to L2 tables that point to clusters; all of them begin on cluster boundaries
// and nothing counts references. Numbers are little-endian.
//
// The flag "needs a check" is set while clusters are being added and cleared by close(). An image that has
// it set is repaired when it is opened for writing. New clusters go to the end of the file. Any thread.
#include "block/formats/qed.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/checked.h"
#include "base/endian.h"
#include "base/failf.h"
#include "base/sizes.h"
#include "block/formats/cluster_image.h"
#include "block/formats/metadata_cache.h"
#include "block/open.h"

namespace rhea::block {
namespace {

constexpr uint32_t kMagic = 0x00444551;
constexpr uint64_t kFeatureBacking = 1;
constexpr uint64_t kFeatureNeedCheck = 2;
constexpr uint64_t kFeatureBackingIsRaw = 4;
constexpr uint64_t kKnownFeatures = 7;
constexpr uint32_t kSmallestCluster = 4096;
constexpr uint32_t kLargestCluster = 64 << 20;
constexpr uint32_t kDefaultCluster = 65536;
constexpr uint32_t kDefaultTable = 4;
constexpr uint32_t kLargestTable = 16;
constexpr uint32_t kLongestName = 1024;
constexpr uint64_t kZeroCluster = 1;
constexpr uint64_t kSector = 512;

struct Header {
  le32 magic;
  le32 cluster_size;
  le32 table_size;   // of L1 and L2 tables, in clusters
  le32 header_size;  // in clusters
  le64 features;
  le64 compat_features;
  le64 autoclear_features;
  le64 l1_offset;
  le64 image_size;
  le32 name_offset;  // of the backing file's name
  le32 name_size;
};
static_assert(sizeof(Header) == 64);

constexpr std::array<CreateOption, 5> kOptions = {{
    {"size", CreateOption::Type::Size, "Virtual disk size", nullptr},
    {"backing_file", CreateOption::Type::Text, "File name of a base image", nullptr},
    {"backing_fmt", CreateOption::Type::Text, "Image format of the base image", nullptr},
    {"cluster_size", CreateOption::Type::Size, "Cluster size (in bytes)", "65536"},
    {"table_size", CreateOption::Type::Size, "L1/L2 table size (in clusters)", nullptr},
}};

uint64_t entries_of(const Header& header) {
  return uint64_t{header.table_size} * header.cluster_size / sizeof(uint64_t);
}

// QEMU reckons with 64 bits: where tables reach further, it takes no size at all, and nothing else than QEMU
// reads this format.
uint64_t largest_image(const Header& header) {
  const uint64_t l1_reach = entries_of(header) * entries_of(header);  // less than 2^60
  return checked_mul<uint64_t>(l1_reach, header.cluster_size).value_or(0);
}

Result<> check_image_size(const Header& header, uint64_t size) {
  if (size % kSector == 0 && size <= std::min<uint64_t>(largest_image(header), INT64_MAX)) return {};
  return failf(ErrorKind::OutOfRange,
               "QED image size must be a non-zero multiple of cluster size and less than {} bytes",
               largest_image(header));
}

class QedImage final : public ClusterImage, public Checker, public BackingChanger {
 public:
  QedImage(const FormatDriver& driver, std::unique_ptr<BlockNode> below, const Header& header,
           BackingReference backing)
      : ClusterImage(driver, std::move(below), header.image_size, header.cluster_size),
        header_(header),
        reference_(std::move(backing)),
        l2_(file()),
        l1_(file(), l2_),
        end_(checked_align_up<uint64_t>(file().size(), header.cluster_size).value_or(file().size())) {}

  ImageInfo info() const override {
    ImageInfo out;
    out.cluster_size = header_.cluster_size.get();
    out.dirty = (header_.features & kFeatureNeedCheck) != 0;
    return out;
  }
  BackingReference backing_reference() const override { return reference_; }
  Result<> resize(uint64_t size, Preallocation preallocation) override;
  Result<CheckReport> check(Repair repair) override;
  Result<> change_backing(const BackingReference& reference) override;
  uint64_t zero_mark_unit() const override { return header_.cluster_size; }
  Result<> mark_zero(uint64_t offset, uint64_t length) override;
  // Before the first write: what an unclean end or a newer program left.
  Result<> make_writable();
  Result<> close() override {
    TRY(flush());
    if ((header_.features & kFeatureNeedCheck) == 0 || !added_) return {};
    const std::lock_guard lock(mutex());
    header_.features = header_.features & ~kFeatureNeedCheck;
    TRY(write_header());
    return file().flush();
  }

 private:
  uint64_t table_bytes() const { return uint64_t{header_.table_size} * header_.cluster_size; }
  uint64_t entries() const { return entries_of(header_); }
  bool is_place(uint64_t offset, uint64_t length) const {
    return offset % header_.cluster_size == 0 &&
           offset >= uint64_t{header_.header_size} * header_.cluster_size &&
           range_within(offset, length, end_);
  }
  Result<> write_header() {
    // SAFETY: the struct is plain bytes.
    return file().write(0, {reinterpret_cast<const uint8_t*>(&header_), sizeof header_});
  }
  Result<uint64_t> l1_entry(uint64_t index) {
    return l1_.load<uint64_t, std::endian::little>(header_.l1_offset + index * 8);
  }

  // Where the L2 entry of a cluster lies; 0: there is no L2 table.
  Result<uint64_t> l2_entry_offset(uint64_t index) {
    const uint64_t table = TRY(l1_entry(index / entries()));
    if (table == 0) return 0;
    if (!is_place(table, table_bytes()))
      return failf(ErrorKind::Invalid, "the L2 table {} is said to lie at {:#x} in a file of {} bytes",
                   index / entries(), table, end_);
    return table + index % entries() * 8;
  }

  Result<Place> locate(uint64_t index) override {
    const uint64_t at = TRY(l2_entry_offset(index));
    if (at == 0) return Place{};
    const uint64_t offset = TRY((l2_.load<uint64_t, std::endian::little>(at)));
    if (offset == 0) return Place{};
    if (offset == kZeroCluster) return Place{.state = State::Zero};
    if (!is_place(offset, header_.cluster_size))
      return failf(ErrorKind::Invalid, "cluster {} is said to lie at {:#x} in a file of {} bytes", index,
                   offset, end_);
    return Place{.state = State::Data, .offset = offset};
  }

  Result<uint64_t> take_space(uint64_t length) {
    const auto end = checked_add(end_, length);
    if (!end) return fail(ErrorKind::NoSpace, "the file would be too large");
    TRY(file().resize(*end, Preallocation::Off));
    return std::exchange(end_, *end);
  }

  Result<NewPlace> allocate(uint64_t) override {
    if (!added_) {
      added_ = true;
      header_.features |= kFeatureNeedCheck;
      TRY(write_header());
    }
    return NewPlace{.offset = TRY(take_space(header_.cluster_size)), .zeroed = true};
  }

  Result<> set_entry(uint64_t index, uint64_t value) {
    uint64_t at = TRY(l2_entry_offset(index));
    if (at == 0) {
      const uint64_t table = TRY(take_space(table_bytes()));
      TRY(l2_.fill(table, table_bytes(), 0));
      TRY((l1_.store<uint64_t, std::endian::little>(header_.l1_offset + index / entries() * 8, table)));
      at = table + index % entries() * 8;
    }
    return l2_.store<uint64_t, std::endian::little>(at, value);
  }

  Result<> link(uint64_t index, const NewPlace& place) override { return set_entry(index, place.offset); }
  Result<bool> link_zero(uint64_t index, const Place& old) override {
    if (old.state == State::Data) return false;  // it would be lost
    TRY(set_entry(index, kZeroCluster));
    return true;
  }
  // The L2 tables before the L1 that points to them.
  Result<> write_metadata() override { return l1_.write_back(); }

  struct Census;
  Result<> count_table(uint64_t l1_index, uint64_t table, Census& census);

  Header header_;
  BackingReference reference_;
  MetadataCache l2_;
  MetadataCache l1_;
  uint64_t end_;  // of the file, in whole clusters
  bool added_ = false;
};

Result<> QedImage::resize(uint64_t size, Preallocation preallocation) {
  if (preallocation != Preallocation::Off)
    return fail(ErrorKind::Unsupported, "Unsupported preallocation mode");
  const std::lock_guard lock(mutex());
  TRY(check_image_size(header_, size));
  if (size < header_.image_size)
    return fail(ErrorKind::Unsupported, "Shrinking images is currently not supported");
  header_.image_size = size;
  TRY(write_header());
  set_size(size);
  return {};
}

struct QedImage::Census {
  CheckReport report;
  Repair repair;
  std::vector<bool> used;  // clusters of the file
  uint64_t last = 0;       // the place of the data cluster before this one

  // False: taken already.
  bool take(uint64_t first, uint64_t count) {
    bool free = true;
    for (uint64_t i = first; i < first + count; ++i) {
      if (used[i]) free = false;
      used[i] = true;
    }
    if (!free) ++report.corruptions;
    return free;
  }
};

Result<> QedImage::count_table(uint64_t l1_index, uint64_t table, Census& census) {
  const uint64_t first = l1_index * entries();
  const uint64_t count = std::min(entries(), clusters() > first ? clusters() - first : 0);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t offset = TRY((l2_.load<uint64_t, std::endian::little>(table + i * 8)));
    if (offset == 0 || offset == kZeroCluster) continue;
    if (!is_place(offset, header_.cluster_size)) {
      ++census.report.corruptions;
      if (census.repair == Repair::All) {
        TRY((l2_.store<uint64_t, std::endian::little>(table + i * 8, 0)));
        ++census.report.corruptions_fixed;
      }
      continue;
    }
    ++census.report.allocated_clusters;
    if (census.last != 0 && census.last + header_.cluster_size != offset) ++census.report.fragmented_clusters;
    census.last = offset;
    census.take(offset / header_.cluster_size, 1);
  }
  return {};
}

Result<CheckReport> QedImage::check(Repair repair) {
  const std::lock_guard lock(mutex());
  const uint64_t file_clusters = end_ / header_.cluster_size;
  Census census{.report = {}, .repair = repair, .used = std::vector<bool>(file_clusters)};
  census.report.total_clusters = clusters();
  const uint64_t fixed = uint64_t{header_.header_size};
  census.take(0, std::min(fixed, file_clusters));
  census.take(header_.l1_offset / header_.cluster_size, header_.table_size);
  for (uint64_t i = 0; i < entries(); ++i) {
    const uint64_t table = TRY(l1_entry(i));
    if (table == 0) continue;
    if (is_place(table, table_bytes()) && census.take(table / header_.cluster_size, header_.table_size)) {
      TRY(count_table(i, table, census));
      continue;
    }
    if (!is_place(table, table_bytes())) ++census.report.corruptions;
    if (repair != Repair::All) continue;
    TRY((l1_.store<uint64_t, std::endian::little>(header_.l1_offset + i * 8, 0)));
    ++census.report.corruptions_fixed;
  }
  census.report.leaks = static_cast<uint64_t>(std::ranges::count(census.used, false));
  if (repair == Repair::All) {
    TRY(write_metadata());
    header_.features = header_.features & ~kFeatureNeedCheck;
    TRY(write_header());
    TRY(file().flush());
  }
  return census.report;
}

Result<> QedImage::make_writable() {
  const bool unknown = header_.autoclear_features != 0;
  header_.autoclear_features = 0;
  if (unknown) TRY(write_header());
  if ((header_.features & kFeatureNeedCheck) != 0) TRY_IN(check(Repair::All), "repairing the image");
  return {};
}

void describe_backing(Header& header, const BackingReference& reference) {
  header.features = header.features & ~(kFeatureBacking | kFeatureBackingIsRaw);
  header.name_offset = 0;
  header.name_size = 0;
  if (reference.file.empty()) return;
  header.features |= kFeatureBacking;
  if (reference.format == "raw") header.features |= kFeatureBackingIsRaw;
  header.name_offset = sizeof(Header);
  header.name_size = static_cast<uint32_t>(reference.file.size());
}

Result<> check_name(const std::string& name) {
  if (name.size() < kLongestName) return {};
  return failf(ErrorKind::Invalid, "the backing file's name has {} bytes, at most {} are possible",
               name.size(), kLongestName - 1);
}

Result<> QedImage::change_backing(const BackingReference& reference) {
  TRY(check_name(reference.file));
  const std::lock_guard lock(mutex());
  describe_backing(header_, reference);
  std::vector<uint8_t> head(sizeof(Header) + reference.file.size());
  std::memcpy(head.data(), &header_, sizeof header_);
  std::memcpy(head.data() + sizeof header_, reference.file.data(), reference.file.size());
  TRY(file().write(0, head));
  reference_ = {.file = reference.file, .format = reference.format == "raw" ? "raw" : ""};
  return {};
}

Result<> QedImage::mark_zero(uint64_t offset, uint64_t length) {
  const std::lock_guard lock(mutex());
  for (uint64_t at = offset; at < offset + length; at += cluster_size()) {
    const uint64_t index = at / cluster_size();
    const Place old = TRY(locate(index));
    if (!TRY(link_zero(index, old)))
      return failf(ErrorKind::Invalid, "cluster {} has data, which a mark would lose", index);
  }
  return {};
}

Result<> check_header(const Header& header, uint64_t file_size) {
  if (header.magic != kMagic) return fail(ErrorKind::Invalid, "Image not in QED format");
  if ((header.features & ~kKnownFeatures) != 0)
    return failf(ErrorKind::Unsupported, "Unsupported QED features: {:x}", header.features & ~kKnownFeatures);
  if (!std::has_single_bit(header.cluster_size.get()) || header.cluster_size < kSmallestCluster ||
      header.cluster_size > kLargestCluster)
    return fail(ErrorKind::Invalid, "QED cluster size is invalid");
  if (!std::has_single_bit(header.table_size.get()) || header.table_size > kLargestTable)
    return fail(ErrorKind::Invalid, "QED table size is invalid");
  if (header.image_size > largest_image(header) || header.image_size % kSector != 0)
    return fail(ErrorKind::Invalid, "QED image size is invalid");
  const uint64_t table = uint64_t{header.table_size} * header.cluster_size;
  const auto end = checked_align_up<uint64_t>(file_size, header.cluster_size);
  const uint64_t header_end = uint64_t{std::max<uint32_t>(header.header_size, 1)} * header.cluster_size;
  if (!end || !is_aligned<uint64_t>(header.l1_offset, header.cluster_size) || header.l1_offset < header_end ||
      !range_within(header.l1_offset, table, *end))
    return fail(ErrorKind::Invalid, "QED table offset is invalid");
  if ((header.features & kFeatureBacking) != 0 &&
      (header.name_size >= kLongestName || !range_within(header.name_offset, header.name_size, header_end)))
    return failf(ErrorKind::Invalid, "QED backing filename of {} bytes at {} is invalid",
                 header.name_size.get(), header.name_offset.get());
  return {};
}

class QedDriver final : public FormatDriver {
 public:
  std::string_view name() const override { return "qed"; }
  int probe(std::span<const uint8_t> head, std::string_view) const override {
    return head.size() >= sizeof(Header) && load_le<uint32_t>(head.data()) == kMagic ? 100 : 0;
  }
  bool can_create() const override { return true; }
  bool can_back() const override { return true; }
  std::span<const CreateOption> create_options() const override { return kOptions; }

  Result<std::unique_ptr<ImageNode>> open(OpenRequest& request) const override {
    Header header;
    // SAFETY: the struct is plain bytes.
    TRY(request.file->read(0, {reinterpret_cast<uint8_t*>(&header), sizeof header}));
    TRY(check_header(header, request.file->size()));
    BackingReference backing;
    if ((header.features & kFeatureBacking) != 0) {
      backing.file.resize(header.name_size);
      // SAFETY: bytes read into characters.
      TRY(request.file->read(header.name_offset,
                             {reinterpret_cast<uint8_t*>(backing.file.data()), backing.file.size()}));
      if (const size_t end = backing.file.find('\0'); end != std::string::npos) backing.file.resize(end);
      if ((header.features & kFeatureBackingIsRaw) != 0) backing.format = "raw";
    }
    auto image = std::make_unique<QedImage>(*this, std::move(request.file), header, std::move(backing));
    if (request.flags.writable && !request.flags.for_check) TRY(image->make_writable());
    return image;
  }

  Result<> create(const CreateRequest& request) const override {
    Header header{};
    const uint64_t cluster = request.values.number("cluster_size", kDefaultCluster);
    const uint64_t table = request.values.number("table_size", kDefaultTable);
    if (!std::has_single_bit(cluster) || cluster < kSmallestCluster || cluster > kLargestCluster)
      return failf(ErrorKind::Invalid, "QED cluster size must be within range [{}, {}] and power of 2",
                   kSmallestCluster, kLargestCluster);
    if (!std::has_single_bit(table) || table > kLargestTable)
      return failf(ErrorKind::Invalid, "QED table size must be within range [1, {}] and power of 2",
                   kLargestTable);
    header.magic = kMagic;
    header.cluster_size = static_cast<uint32_t>(cluster);
    header.table_size = static_cast<uint32_t>(table);
    header.header_size = 1;
    header.l1_offset = cluster;
    header.image_size = checked_align_up<uint64_t>(request.size, kSector).value_or(request.size);
    TRY(check_image_size(header, header.image_size));
    const BackingReference backing{.file = request.values.text("backing_file"),
                                   .format = request.values.text("backing_fmt")};
    TRY(check_name(backing.file));
    describe_backing(header, backing);
    std::vector<uint8_t> head(static_cast<size_t>(kSmallestCluster));
    std::memcpy(head.data(), &header, sizeof header);
    std::memcpy(head.data() + sizeof header, backing.file.data(), backing.file.size());
    return create_file_with(request.filename, request.values, [&](BlockNode& file) -> Result<> {
      TRY(file.write(0, head));
      return file.resize(cluster * (1 + table), Preallocation::Off);
    });
  }
};

}  // namespace

const FormatDriver& qed_driver() {
  static const QedDriver driver;
  return driver;
}

}  // namespace rhea::block
