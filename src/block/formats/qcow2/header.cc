#include "block/formats/qcow2/header.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/failf.h"

namespace rhea::block::qcow2 {
namespace {

struct FeatureName {
  uint8_t kind;
  uint8_t bit;
  const char* name;
};
constexpr FeatureName kFeatureNames[] = {
    {0, 0, "dirty bit"},        {0, 1, "corrupt bit"},         {0, 2, "external data file"},
    {0, 3, "compression type"}, {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"},
    {2, 0, "bitmaps"},          {2, 1, "raw external data"},
};

std::unexpected<Error> invalid(std::string text) {
  return fail(ErrorKind::Invalid, std::move(text));
}

std::vector<uint8_t> feature_names() {
  std::vector<uint8_t> out;
  for (const FeatureName& feature : kFeatureNames) {
    RawFeatureName raw;
    raw.kind = feature.kind;
    raw.bit = feature.bit;
    std::strncpy(raw.name, feature.name, sizeof raw.name - 1);
    const auto* bytes = reinterpret_cast<const uint8_t*>(&raw);  // SAFETY: a struct of bytes
    out.insert(out.end(), bytes, bytes + sizeof raw);
  }
  return out;
}

// What is unknown, by the image's own table of names if it has one.
std::string unknown_features(uint64_t bits, const std::vector<uint8_t>& names) {
  std::string out;
  const auto add = [&out](std::string_view text) {
    if (!out.empty()) out += ", ";
    out += text;
  };
  for (size_t at = 0; at + sizeof(RawFeatureName) <= names.size(); at += sizeof(RawFeatureName)) {
    const uint8_t bit = names[at + 1];
    if (names[at] != 0 || bit >= 64 || (bits >> bit & 1) == 0) continue;
    const char* name = reinterpret_cast<const char*>(&names[at + 2]);  // SAFETY: bytes as characters
    add(std::string_view(name, ::strnlen(name, sizeof(RawFeatureName::name))));
    bits &= ~(uint64_t{1} << bit);
  }
  if (bits != 0) add(fmt::format("Unknown incompatible feature: {:x}", bits));
  return out;
}

Result<> parse_extensions(std::span<const uint8_t> area, Header& header, std::vector<uint8_t>& names) {
  while (area.size() >= 8) {
    const uint32_t type = load_be<uint32_t>(area.data());
    const uint32_t length = load_be<uint32_t>(area.data() + 4);
    area = area.subspan(8);
    if (type == kExtensionEnd) return {};
    if (length > area.size()) return invalid("Header extension too large");
    const auto data = area.first(length);
    switch (type) {
      case kExtensionBackingFormat: header.backing_format.assign(data.begin(), data.end()); break;
      case kExtensionDataFile: header.data_file.assign(data.begin(), data.end()); break;
      case kExtensionFeatureNames: names.assign(data.begin(), data.end()); break;
      default: header.extensions.push_back({type, {data.begin(), data.end()}});
    }
    const uint64_t padded = (uint64_t{length} + 7) & ~uint64_t{7};
    if (padded > area.size()) return {};
    area = area.subspan(padded);
  }
  return {};
}

Result<> check_table(uint64_t offset, uint64_t entries, uint64_t entry_size, uint64_t cluster_size,
                     uint64_t max_bytes, const char* name) {
  if (entries > max_bytes / entry_size) return failf(ErrorKind::Invalid, "{} too large", name);
  if (!is_aligned(offset, cluster_size) || offset > static_cast<uint64_t>(INT64_MAX) - entries * entry_size)
    return failf(ErrorKind::Invalid, "{} offset invalid", name);
  return {};
}

Result<> parse_v3(const RawHeader& raw, Header& header, uint32_t& header_length) {
  header_length = raw.header_length;
  if (header_length < kHeaderV3Length) return invalid("qcow2 header too short");
  if (header_length > header.cluster_size()) return invalid("qcow2 header exceeds cluster size");
  header.incompatible = raw.incompatible_features;
  header.compatible = raw.compatible_features;
  header.autoclear = raw.autoclear_features;
  if (raw.refcount_order > 6) return invalid("Reference count entry width too large; may not exceed 64 bits");
  header.refcount_order = raw.refcount_order;
  header.compression = header_length > kHeaderV3Length ? raw.compression_type : 0;
  return {};
}

Result<> check_features(const Header& header, const std::vector<uint8_t>& names, bool damaged_is_fine) {
  const uint64_t unknown = header.incompatible & ~kKnownIncompatible;
  if (unknown != 0)
    return failf(ErrorKind::Unsupported, "Unsupported qcow2 feature(s): {}",
                 unknown_features(unknown, names));
  const bool has_type = (header.incompatible & kCompressionType) != 0;
  if (header.compression > kCompressionZstd)
    return failf(ErrorKind::Unsupported, "qcow2: unknown compression type: {}", header.compression);
  if (has_type && header.compression == kCompressionZlib)
    return invalid("qcow2: Compression type incompatible feature bit must not be set");
  if (!has_type && header.compression != kCompressionZlib)
    return invalid("qcow2: Compression type incompatible feature bit must be set");
  if (header.extended_l2() && header.cluster_bits < kMinExtendedClusterBits)
    return invalid(
        "qcow2: Extended L2 entries are only supported with cluster sizes of at least 16384 bytes");
  if ((header.incompatible & kCorrupt) != 0 && !damaged_is_fine)
    return invalid("qcow2: Image is corrupt; cannot be opened read/write");
  return {};
}

Result<> check_tables(const Header& header, const RawHeader& raw) {
  const uint64_t cluster = header.cluster_size();
  TRY(check_table(raw.refcount_table_offset, raw.refcount_table_clusters, cluster, cluster,
                  std::max(kMaxRefcountTableBytes, cluster), "Reference count table"));
  if (header.refcount_table_clusters == 0) return invalid("Image does not contain a reference count table");
  if (header.refcount_table_offset == 0) return invalid("Reference count table offset invalid");
  if (header.nb_snapshots > kMaxSnapshots) return invalid("Snapshot table too large");
  TRY(check_table(raw.snapshots_offset, raw.nb_snapshots, sizeof(RawSnapshot), cluster,
                  kMaxSnapshotTableBytes, "Snapshot table"));
  TRY(check_table(raw.l1_table_offset, raw.l1_size, 8, cluster, kMaxL1Bytes, "Active L1 table"));
  const uint64_t needed = header.l1_entries_for(header.size);
  if (needed > static_cast<uint64_t>(INT32_MAX)) return invalid("Image is too big");
  if (header.l1_size < needed) return invalid("L1 table is too small");
  if (header.l1_size != 0 && header.l1_table_offset == 0) return invalid("Active L1 table offset invalid");
  return {};
}

}  // namespace

uint64_t Header::l1_entries_for(uint64_t bytes) const {
  const uint64_t per_entry = l2_entries() << cluster_bits;
  return bytes / per_entry + (bytes % per_entry != 0 ? 1 : 0);
}

const Extension* Header::extension(uint32_t type) const {
  const auto found = std::ranges::find(extensions, type, &Extension::type);
  return found == extensions.end() ? nullptr : &*found;
}

void Header::set_extension(uint32_t type, std::vector<uint8_t> data) {
  remove_extension(type);
  extensions.push_back({type, std::move(data)});
}

void Header::remove_extension(uint32_t type) {
  std::erase_if(extensions, [type](const Extension& one) { return one.type == type; });
}

Result<Header> parse_header(std::span<const uint8_t> start, uint64_t file_size, bool damaged_is_fine) {
  RawHeader raw;
  if (start.size() < kHeaderV2Length || load_be<uint32_t>(start.data()) != kMagic)
    return invalid("Image is not in qcow2 format");
  std::memcpy(&raw, start.data(), std::min(sizeof raw, start.size()));
  if (raw.version != 2 && raw.version != 3)
    return failf(ErrorKind::Unsupported, "Unsupported qcow2 version {}", raw.version.get());
  if (raw.cluster_bits < kMinClusterBits || raw.cluster_bits > kMaxClusterBits)
    return failf(ErrorKind::Unsupported, "Unsupported cluster size: 2^{}", raw.cluster_bits.get());
  Header header;
  header.version = raw.version;
  header.cluster_bits = raw.cluster_bits;
  header.size = raw.size;
  header.crypt_method = raw.crypt_method;
  header.l1_size = raw.l1_size;
  header.l1_table_offset = raw.l1_table_offset;
  header.refcount_table_offset = raw.refcount_table_offset;
  header.refcount_table_clusters = raw.refcount_table_clusters;
  header.nb_snapshots = raw.nb_snapshots;
  header.snapshots_offset = raw.snapshots_offset;
  uint32_t header_length = kHeaderV2Length;
  if (header.version == 3) TRY(parse_v3(raw, header, header_length));
  if (raw.backing_file_offset > header.cluster_size() && raw.backing_file_offset != 0)
    return invalid("Invalid backing file offset");
  if (header.size > static_cast<uint64_t>(INT64_MAX)) return invalid("Image is too big");

  const size_t cluster_end = static_cast<size_t>(std::min<uint64_t>(start.size(), header.cluster_size()));
  const size_t extensions_end =
      raw.backing_file_offset != 0 ? std::min<size_t>(raw.backing_file_offset, cluster_end) : cluster_end;
  std::vector<uint8_t> names;
  if (header_length < extensions_end)
    TRY(parse_extensions(start.subspan(header_length, extensions_end - header_length), header, names));
  TRY(check_features(header, names, damaged_is_fine));
  if (header.crypt_method > 2)
    return failf(ErrorKind::Unsupported, "Unsupported encryption method {}", header.crypt_method);
  TRY(check_tables(header, raw));

  if (raw.backing_file_offset != 0) {
    const uint32_t length = raw.backing_file_size;
    if (length > kMaxBackingName || !range_within(raw.backing_file_offset, length, header.cluster_size()) ||
        !range_within(raw.backing_file_offset, length, file_size))
      return invalid("Backing file name too long");
    const auto name = start.subspan(raw.backing_file_offset, length);
    header.backing_file.assign(name.begin(), name.end());
  }
  return header;
}

namespace {

std::vector<uint8_t> serialize(const Header& header, bool with_names) {
  RawHeader raw;
  raw.magic = kMagic;
  raw.version = header.version;
  raw.cluster_bits = header.cluster_bits;
  raw.size = header.size;
  raw.crypt_method = header.crypt_method;
  raw.l1_size = header.l1_size;
  raw.l1_table_offset = header.l1_table_offset;
  raw.refcount_table_offset = header.refcount_table_offset;
  raw.refcount_table_clusters = header.refcount_table_clusters;
  raw.nb_snapshots = header.nb_snapshots;
  raw.snapshots_offset = header.snapshots_offset;
  raw.incompatible_features = header.incompatible;
  raw.compatible_features = header.compatible;
  raw.autoclear_features = header.autoclear;
  raw.refcount_order = header.refcount_order;
  raw.header_length = static_cast<uint32_t>(sizeof raw);
  raw.compression_type = static_cast<uint8_t>(header.compression);
  const size_t fixed = header.version == 2 ? kHeaderV2Length : sizeof raw;

  std::vector<uint8_t> out(fixed);
  const auto add = [&out](uint32_t type, std::span<const uint8_t> data) {
    const size_t at = out.size();
    out.resize(at + 8 + (data.size() + 7) / 8 * 8);
    store_be(&out[at], type);
    store_be(&out[at + 4], static_cast<uint32_t>(data.size()));
    std::ranges::copy(data, out.begin() + static_cast<std::ptrdiff_t>(at + 8));
  };
  const auto bytes_of = [](const std::string& text) {
    return std::vector<uint8_t>(text.begin(), text.end());
  };
  if (!header.backing_format.empty()) add(kExtensionBackingFormat, bytes_of(header.backing_format));
  if (!header.data_file.empty()) add(kExtensionDataFile, bytes_of(header.data_file));
  if (const Extension* crypto = header.extension(kExtensionCrypto)) add(crypto->type, crypto->data);
  if (header.version >= 3 && with_names) add(kExtensionFeatureNames, feature_names());
  for (const Extension& extension : header.extensions) {
    if (extension.type != kExtensionCrypto) add(extension.type, extension.data);
  }
  add(kExtensionEnd, {});
  if (!header.backing_file.empty()) {
    raw.backing_file_offset = out.size();
    raw.backing_file_size = static_cast<uint32_t>(header.backing_file.size());
    const auto name = bytes_of(header.backing_file);
    out.insert(out.end(), name.begin(), name.end());
  }
  std::memcpy(out.data(), &raw, fixed);
  return out;
}

}  // namespace

Result<std::vector<uint8_t>> serialize_header(const Header& header) {
  // The names of features are a courtesy: small clusters do without.
  for (const bool with_names : {true, false}) {
    std::vector<uint8_t> out = serialize(header, with_names);
    if (out.size() <= header.cluster_size()) return out;
  }
  return fail(ErrorKind::NoSpace, "No space left on device");
}

}  // namespace rhea::block::qcow2
