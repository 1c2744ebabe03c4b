#include "block/formats/vhdx/create.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/checked.h"
#include "base/failf.h"
#include "block/open.h"

namespace rhea::block {
namespace {

using namespace vhdx;
using Type = CreateOption::Type;

constexpr std::array<CreateOption, 5> kOptions = {{
    {"size", Type::Size, "Virtual disk size; max of 64TB.", nullptr},
    {"log_size", Type::Size, "Log size; min 1MB.", "1048576"},
    {"block_size", Type::Size, "Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.",
     "0"},
    {"subformat", Type::Text, "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'.",
     nullptr},
    {"block_state_zero", Type::Bool,
     "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to 'off' when using "
     "'qemu-img convert' with subformat=dynamic.",
     nullptr},
}};

constexpr uint64_t kLargestDisk = uint64_t{64} << 40;
constexpr uint64_t kSectorSize = 512;
constexpr uint64_t kLogOffset = kMiB;
constexpr uint64_t kGap = 5 * kMiB;  // from the metadata to the first block
constexpr uint32_t kItemsOffset = 0x10000;
constexpr char16_t kCreator[] = u"Rhea";

template <class T>
std::span<const uint8_t> bytes_of(const T& value) {
  // SAFETY: T is a struct of plain bytes.
  return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
}

struct Plan {
  uint64_t size = 0;
  uint64_t block_size = 0;
  uint64_t log_length = 0;
  bool fixed = false;
  bool zero_blocks = true;
  Preallocation preallocation = Preallocation::Off;

  uint64_t blocks() const { return size / block_size + (size % block_size != 0); }
  uint64_t chunk_blocks() const { return (uint64_t{1} << 23) * kSectorSize / block_size; }
  uint64_t entries() const { return blocks() + (blocks() == 0 ? 0 : (blocks() - 1) / chunk_blocks()); }
  uint64_t table_offset() const { return kLogOffset + log_length; }
  uint64_t table_length() const { return std::max(*checked_align_up<uint64_t>(entries() * 8, kMiB), kMiB); }
  uint64_t metadata_offset() const { return table_offset() + table_length(); }
  uint64_t data_offset() const { return metadata_offset() + kGap; }
};

uint64_t usual_block_size(uint64_t size) {
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  if (size > 32 * 1024 * kGiB) return 64 * kMiB;
  if (size > 100 * kGiB) return 32 * kMiB;
  return size > kGiB ? 16 * kMiB : 8 * kMiB;
}

Result<Plan> make_plan(const CreateRequest& request) {
  Plan out;
  out.size = checked_align_up<uint64_t>(request.size, kSectorSize).value_or(request.size);
  if (out.size > kLargestDisk) return fail(ErrorKind::OutOfRange, "Image size too large; max of 64TB");
  const uint64_t log = request.values.number("log_size", kMiB);
  if (log >= UINT32_MAX - kMiB) return fail(ErrorKind::OutOfRange, "Log size must be smaller than 4 GB");
  out.log_length = std::max(*checked_align_up<uint64_t>(log, kMiB), kMiB);
  out.block_size = request.values.number("block_size", 0);
  if (out.block_size == 0) out.block_size = usual_block_size(out.size);
  if (!std::has_single_bit(out.block_size))
    return fail(ErrorKind::Invalid, "Block size must be a power of two");
  out.block_size = std::clamp(out.block_size, kMiB, 256 * kMiB);
  const std::string subformat = request.values.text("subformat", "dynamic");
  if (subformat != "dynamic" && subformat != "fixed")
    return failf(ErrorKind::Invalid, "Parameter 'subformat' does not accept value '{}'", subformat);
  out.fixed = subformat == "fixed";
  out.zero_blocks = request.values.flag("block_state_zero", true);
  out.preallocation = TRY(file_preallocation(request.values));
  return out;
}

Result<> write_start(BlockNode& file, const Plan& plan) {
  std::vector<uint8_t> identifier(8 + sizeof kCreator);
  store_le<uint64_t>(identifier.data(), kFileMagic);
  for (size_t i = 0; i < std::size(kCreator); ++i)
    store_le<uint16_t>(identifier.data() + 8 + i * 2, kCreator[i]);
  TRY(file.write(0, identifier));
  Header header{};
  header.magic = kHeaderMagic;
  header.sequence = TRY(random_word());
  header.file_write_id = TRY(random_uuid(std::endian::little));
  header.data_write_id = TRY(random_uuid(std::endian::little));
  header.version = 1;
  header.log_length = static_cast<uint32_t>(plan.log_length);
  header.log_offset = kLogOffset;
  size_t active = 1;
  TRY(write_vhdx_header(file, header, active));
  return write_vhdx_header(file, header, active);
}

Result<> write_regions(BlockNode& file, const Plan& plan) {
  std::vector<uint8_t> bytes(kRegionTableSize);
  const RegionTable table{.magic = kRegionMagic, .checksum = 0, .count = 2, .unused = 0};
  const std::array<RegionEntry, 2> entries = {{
      {.id = kTableRegion,
       .offset = plan.table_offset(),
       .length = static_cast<uint32_t>(plan.table_length()),
       .required = 1},
      {.id = kMetadataRegion,
       .offset = plan.metadata_offset(),
       .length = static_cast<uint32_t>(kMiB),
       .required = 1},
  }};
  std::memcpy(bytes.data(), &table, sizeof table);
  std::memcpy(bytes.data() + sizeof table, entries.data(), sizeof entries);
  store_le<uint32_t>(bytes.data() + 4, checksum_of(bytes, 4));
  for (const uint64_t offset : kRegionOffsets) TRY(file.write(offset, bytes));
  return {};
}

Result<> write_metadata(BlockNode& file, const Plan& plan) {
  constexpr uint32_t kDisk = kMetadataIsDisk | kMetadataRequired;
  const MetadataTable table{.magic = kMetadataMagic, .unused = 0, .count = 5, .unused2 = {}};
  const std::array<MetadataEntry, 5> entries = {{
      {.id = kFileParameters, .offset = kItemsOffset, .length = 8, .flags = kMetadataRequired, .unused = 0},
      {.id = kDiskSize, .offset = kItemsOffset + 8, .length = 8, .flags = kDisk, .unused = 0},
      {.id = kDiskId, .offset = kItemsOffset + 16, .length = 16, .flags = kDisk, .unused = 0},
      {.id = kLogicalSector, .offset = kItemsOffset + 32, .length = 4, .flags = kDisk, .unused = 0},
      {.id = kPhysicalSector, .offset = kItemsOffset + 36, .length = 4, .flags = kDisk, .unused = 0},
  }};
  std::array<uint8_t, 40> items{};
  const Uuid id = TRY(random_uuid(std::endian::little));
  store_le<uint32_t>(items.data(), static_cast<uint32_t>(plan.block_size));
  store_le<uint32_t>(items.data() + 4, plan.fixed ? kLeaveAllocated : 0);
  store_le<uint64_t>(items.data() + 8, plan.size);
  std::memcpy(items.data() + 16, id.data(), id.size());
  store_le<uint32_t>(items.data() + 32, static_cast<uint32_t>(kSectorSize));
  store_le<uint32_t>(items.data() + 36, static_cast<uint32_t>(kSectorSize));
  std::vector<uint8_t> head(sizeof table + sizeof entries);
  std::memcpy(head.data(), &table, sizeof table);
  std::memcpy(head.data() + sizeof table, entries.data(), sizeof entries);
  TRY(file.write(plan.metadata_offset(), head));
  return file.write(plan.metadata_offset() + kItemsOffset, items);
}

Result<> write_table(BlockNode& file, const Plan& plan) {
  if (!plan.fixed && !plan.zero_blocks) return {};
  constexpr uint64_t kStep = 1 << 15;
  std::vector<uint8_t> part;
  uint64_t block = 0;
  uint64_t in_chunk = 0;  // blocks before this entry in its chunk; behind the last one lies a bitmap's entry
  for (uint64_t first = 0; first < plan.entries(); first += kStep) {
    const uint64_t count = std::min(kStep, plan.entries() - first);
    part.assign(static_cast<size_t>(count * 8), 0);
    for (uint64_t i = 0; i < count; ++i) {
      if (in_chunk == plan.chunk_blocks()) {
        in_chunk = 0;
        continue;
      }
      const uint64_t entry = plan.fixed ? (plan.data_offset() + block * plan.block_size) |
                                              static_cast<uint64_t>(BlockState::Present)
                                        : static_cast<uint64_t>(BlockState::Zero);
      store_le<uint64_t>(part.data() + i * 8, entry);
      ++block;
      ++in_chunk;
    }
    TRY(file.write(plan.table_offset() + first * 8, part));
  }
  return {};
}

}  // namespace

std::span<const CreateOption> vhdx_create_options() {
  return kOptions;
}

Result<> write_vhdx_header(BlockNode& file, Header& header, size_t& active) {
  active ^= 1;
  header.sequence = header.sequence + 1;
  header.checksum = 0;
  header.checksum = checksum_of(bytes_of(header), 4);
  return file.write(kHeaderOffsets[active], bytes_of(header));
}

Result<> create_vhdx(const CreateRequest& request) {
  const Plan plan = TRY(make_plan(request));
  return create_file_with(request.filename, request.values, [&plan](BlockNode& file) -> Result<> {
    TRY(write_start(file, plan));
    TRY(write_regions(file, plan));
    TRY(write_metadata(file, plan));
    TRY(write_table(file, plan));
    const uint64_t end = plan.data_offset() + (plan.fixed ? plan.blocks() * plan.block_size : 0);
    return file.resize(end, plan.preallocation);
  });
}

}  // namespace rhea::block
