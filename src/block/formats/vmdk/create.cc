#include "block/formats/vmdk/create.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/uuid.h"
#include "block/formats/vmdk/image.h"
#include "block/open.h"

namespace rhea::block::vmdk {
namespace {

using Type = CreateOption::Type;
constexpr std::array<CreateOption, 9> kOptions = {{
    {"size", Type::Size, "Virtual disk size", nullptr},
    {"adapter_type", Type::Text,
     "Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX", nullptr},
    {"backing_file", Type::Text, "File name of a base image", nullptr},
    {"backing_fmt", Type::Text, "Must be 'vmdk' if present", nullptr},
    {"compat6", Type::Bool, "VMDK version 6 image", "off"},
    {"hwversion", Type::Text, "VMDK hardware version", "undefined"},
    {"toolsversion", Type::Text, "VMware guest tools version", nullptr},
    {"subformat", Type::Text,
     "VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | "
     "twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} ",
     nullptr},
    {"zeroed_grain", Type::Bool, "Enable efficient zero writes using the zeroed-grain GTE feature", nullptr},
}};

constexpr uint64_t kGrainSectors = 128;
constexpr uint32_t kTableEntries = 512;
constexpr uint64_t kDescriptorOffset = 1;
constexpr uint64_t kDescriptorSectors = 20;
constexpr uint64_t kSplitSectors = (uint64_t{2} << 30) / kSector;
constexpr const char* kToolsVersion = "2147483647";

uint64_t divide_up(uint64_t value, uint64_t by) {
  return value / by + (value % by != 0);
}

struct Plan {
  std::string subformat;
  bool flat = false;
  bool split = false;
  bool compressed = false;
  bool zeroed_grain = false;
  Preallocation preallocation = Preallocation::Off;
};

SparseHeader sparse_header(const Plan& plan, uint64_t sectors) {
  SparseHeader out{};
  const uint64_t tables = divide_up(divide_up(sectors, kGrainSectors), kTableEntries);
  const uint64_t directory_sectors = divide_up(tables * 4, kSector);
  const uint64_t tables_sectors = tables * kTableEntries * 4 / kSector;
  out.magic = kSparseMagic;
  out.version = plan.compressed ? 3 : plan.zeroed_grain ? 2 : 1;
  out.flags = kFlagNewlines | kFlagRedundantTable | (plan.compressed ? kFlagCompressed | kFlagMarkers : 0) |
              (plan.zeroed_grain ? kFlagZeroedGrain : 0);
  out.capacity = sectors;
  out.grain_size = kGrainSectors;
  out.descriptor_offset = kDescriptorOffset;
  out.descriptor_size = kDescriptorSectors;
  out.table_entries = kTableEntries;
  out.redundant_directory = kDescriptorOffset + kDescriptorSectors;
  out.directory = out.redundant_directory + directory_sectors + tables_sectors;
  out.overhead = divide_up(out.directory + directory_sectors + tables_sectors, kGrainSectors) * kGrainSectors;
  out.newlines = {'\n', ' ', '\r', '\n'};
  out.compression = plan.compressed ? kDeflate : uint16_t{0};
  return out;
}

// A directory whose tables lie behind it, one after the other; the tables are zeros.
Result<> write_directory(BlockNode& file, uint64_t place, uint64_t tables) {
  const uint64_t sectors = divide_up(tables * 4, kSector);
  uint64_t next = place + sectors;
  std::vector<uint8_t> part;
  for (uint64_t done = 0; done < sectors; done += part.size() / kSector) {
    part.assign(static_cast<size_t>(std::min<uint64_t>(sectors - done, 256) * kSector), 0);
    for (size_t i = 0; i < part.size() / 4 && done * kSector / 4 + i < tables; ++i) {
      store_le<uint32_t>(part.data() + i * 4, static_cast<uint32_t>(next));
      next += kTableEntries * 4 / kSector;
    }
    TRY(file.write((place + done) * kSector, part));
  }
  return {};
}

Result<> write_sparse(BlockNode& file, const Plan& plan, uint64_t sectors) {
  const SparseHeader header = sparse_header(plan, sectors);
  const uint64_t tables = divide_up(divide_up(sectors, kGrainSectors), kTableEntries);
  if (header.overhead > UINT32_MAX)
    return failf(ErrorKind::OutOfRange, "{} sectors are too many for a sparse extent", sectors);
  // SAFETY: the struct is plain bytes.
  TRY(file.write(0, {reinterpret_cast<const uint8_t*>(&header), sizeof header}));
  TRY(write_directory(file, header.redundant_directory, tables));
  TRY(write_directory(file, header.directory, tables));
  return file.resize(header.overhead * kSector, Preallocation::Off);
}

// "disk.vmdk" is "disk" and ".vmdk".
std::pair<std::string, std::string> split_name(const std::string& filename) {
  const size_t slash = filename.rfind('/');
  const size_t dot = filename.rfind('.');
  if (dot == std::string::npos || (slash != std::string::npos && dot < slash)) return {filename, ""};
  return {filename.substr(0, dot), filename.substr(dot)};
}

std::string base_name(const std::string& filename) {
  const size_t slash = filename.rfind('/');
  return slash == std::string::npos ? filename : filename.substr(slash + 1);
}

std::string extent_name(const CreateRequest& request, const Plan& plan, unsigned number) {
  if (!plan.flat && !plan.split) return request.filename;
  const auto [stem, suffix] = split_name(request.filename);
  if (!plan.split) return stem + "-flat" + suffix;
  return fmt::format("{}-{}{:03}{}", stem, plan.flat ? 'f' : 's', number, suffix);
}

Result<Plan> make_plan(const CreateValues& values) {
  Plan out;
  out.subformat = values.text("subformat", "monolithicSparse");
  const std::string_view word = out.subformat;
  out.flat = word == "monolithicFlat" || word == "twoGbMaxExtentFlat";
  out.split = word == "twoGbMaxExtentSparse" || word == "twoGbMaxExtentFlat";
  out.compressed = word == "streamOptimized";
  if (!out.flat && !out.split && !out.compressed && word != "monolithicSparse")
    return failf(ErrorKind::Invalid, "invalid parameter value: {}", word);
  out.zeroed_grain = values.flag("zeroed_grain", false);
  out.preallocation = TRY(file_preallocation(values));
  return out;
}

Result<DiskData> disk_data(const CreateValues& values, uint64_t sectors, bool flat) {
  DiskData out;
  out.sectors = sectors;
  out.adapter_type = values.text("adapter_type", "ide");
  constexpr std::array<std::string_view, 4> kAdapters = {"ide", "lsilogic", "buslogic", "legacyESX"};
  if (std::ranges::find(kAdapters, out.adapter_type) == kAdapters.end())
    return failf(ErrorKind::Invalid, "invalid parameter value: {}", out.adapter_type);
  out.hardware_version = values.text("hwversion", "undefined");
  if (values.flag("compat6", false)) {
    if (out.hardware_version != "undefined")
      return fail(ErrorKind::Invalid, "compat6 cannot be enabled with hwversion set");
    out.hardware_version = "6";
  }
  if (flat && values.flag("zeroed_grain", false))
    return fail(ErrorKind::Invalid, "Flat image can't enable zeroed grain");
  if (out.hardware_version == "undefined") out.hardware_version = "4";
  out.tools_version = values.text("toolsversion", kToolsVersion);
  return out;
}

Result<> add_parent(const CreateRequest& request, const Plan& plan, Descriptor& descriptor) {
  descriptor.parent_file = request.values.text("backing_file");
  if (descriptor.parent_file.empty()) return {};
  if (plan.flat) return fail(ErrorKind::Invalid, "Flat image can't have backing file");
  const std::string format = request.values.text("backing_fmt");
  if (!format.empty() && format != "vmdk")
    return fail(ErrorKind::Invalid, "backing_file must be a vmdk image");
  OpenFlags flags;
  flags.no_backing = true;
  const auto parent = TRY(open_image(
      {.filename = backing_path(request.filename, descriptor.parent_file), .format = format, .options = {}},
      flags));
  const auto* image = dynamic_cast<const VmdkImage*>(parent.get());
  if (image == nullptr) return fail(ErrorKind::Invalid, "Invalid backing file format: must be vmdk");
  descriptor.parent_content_id = image->descriptor().content_id;
  return {};
}

// The extents, entered into the descriptor, and the descriptor, in `file` or in its first extent. `made` are
// the names of the extents' own files.
Result<> fill(BlockNode& file, const CreateRequest& request, const Plan& plan, Descriptor& descriptor,
              const DiskData& disk, std::vector<std::string>& made) {
  uint64_t left = divide_up(request.size, kSector);
  unsigned number = 0;
  do {
    const uint64_t part = plan.split ? std::min(left, kSplitSectors) : left;
    const std::string name = extent_name(request, plan, ++number);
    std::unique_ptr<BlockNode> own;
    if (name != request.filename) {
      own = TRY(create_file(name, request.values));
      made.push_back(name);
    }
    BlockNode& extent = own ? *own : file;
    if (plan.flat) {
      TRY(extent.resize(part * kSector, plan.preallocation));
    } else {
      TRY(write_sparse(extent, plan, part));
    }
    descriptor.extents.push_back(
        {.access = "RW", .sectors = part, .type = plan.flat ? "FLAT" : "SPARSE", .file = base_name(name)});
    left -= part;
  } while (left != 0);

  const std::string text = descriptor_text(descriptor, disk);
  const bool inside = !plan.flat && !plan.split;
  if (inside && text.size() > kDescriptorSectors * kSector)
    return fail(ErrorKind::Invalid, "the descriptor with the parent's name is too long");
  // SAFETY: characters written as bytes.
  return file.write(inside ? kDescriptorOffset * kSector : 0,
                    {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

}  // namespace

std::span<const CreateOption> create_options() {
  return kOptions;
}

Result<> create(const CreateRequest& request) {
  const Plan plan = TRY(make_plan(request.values));
  const uint64_t sectors = divide_up(request.size, kSector);
  const DiskData disk = TRY(disk_data(request.values, sectors, plan.flat));
  Descriptor descriptor;
  descriptor.content_id = TRY(random_word());
  descriptor.create_type = plan.subformat;
  TRY(add_parent(request, plan, descriptor));

  std::vector<std::string> made;
  auto done = create_file_with(request.filename, request.values, [&](BlockNode& file) {
    return fill(file, request, plan, descriptor, disk, made);
  });
  if (!done) std::ranges::for_each(made, remove_created_file);
  return done;
}

}  // namespace rhea::block::vmdk
