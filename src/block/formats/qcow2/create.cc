#include "block/formats/qcow2/create.h"

#include <bit>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/qcow2/image.h"
#include "block/open.h"

namespace rhea::block::qcow2 {
namespace {

std::unexpected<Error> invalid(std::string text) {
  return fail(ErrorKind::Invalid, std::move(text));
}

std::unexpected<Error> needs_v3(std::string_view what) {
  return failf(ErrorKind::Invalid,
               "{} only supported with compatibility level 1.1 and above (use version=v3 or greater)", what);
}

Result<Preallocation> preallocation_of(const CreateValues& values) {
  const std::string word = values.text("preallocation", "off");
  if (const auto mode = parse_preallocation(word)) return *mode;
  return failf(ErrorKind::Invalid, "Parameter 'preallocation' does not accept value '{}'", word);
}

Result<uint32_t> version_of(const CreateValues& values) {
  const std::string word = values.text("compat", "1.1");
  if (const auto version = parse_version(word)) return *version;
  return failf(ErrorKind::Invalid, "Parameter 'version' does not accept value '{}'", word);
}

Result<> set_cluster_size(const CreateValues& values, Header& header) {
  header.cluster_bits = TRY(parse_cluster_bits(values));
  if (!values.flag("extended_l2", false)) return {};
  if (header.version < 3) return needs_v3("Extended L2 entries are");
  if (header.cluster_bits < kMinExtendedClusterBits)
    return invalid("Extended L2 entries are only supported with cluster sizes of at least 16384 bytes");
  header.incompatible |= kExtendedL2;
  return {};
}

Result<> set_refcounts(const CreateValues& values, Header& header) {
  if (values.flag("lazy_refcounts", false)) {
    if (header.version < 3) return needs_v3("Lazy refcounts");
    header.compatible |= kLazyRefcounts;
  }
  header.refcount_order = TRY(parse_refcount_order(values));
  if (header.version < 3 && header.refcount_order != 4)
    return invalid(
        "Different refcount widths than 16 bits require compatibility level 1.1 or above (use version=v3 or "
        "greater)");
  return {};
}

Result<> set_compression(const CreateValues& values, Header& header) {
  const std::string word = values.text("compression_type", "zlib");
  if (word == "zlib") return {};
  if (word != "zstd")
    return failf(ErrorKind::Invalid, "Parameter 'compression-type' does not accept value '{}'", word);
  if (header.version < 3) return needs_v3("Non-zlib compression type is");
  header.compression = kCompressionZstd;
  header.incompatible |= kCompressionType;
  return {};
}

Result<> set_encryption(const CreateValues& values, Header& header) {
  const bool old_way = values.flag("encryption", false);
  if (!old_way && !values.has("encrypt.format")) {
    for (const auto& [name, value] : values.all()) {
      if (name.starts_with("encrypt.")) return invalid("Parameter 'encrypt.format' is missing");
    }
    return {};
  }
  const std::string format = values.text("encrypt.format", "aes");
  if (old_way && values.has("encrypt.format"))
    return invalid("Options encryption and encrypt.format are mutually exclusive");
  if (format != "aes" && format != "luks")
    return failf(ErrorKind::Invalid, "Parameter 'format' does not accept value '{}'", format);
  if (!values.has("encrypt.key-secret"))
    return invalid("Parameter 'encrypt.key-secret' is required for cipher");
  header.crypt_method = format == "luks" ? 2 : 1;
  return {};
}

Result<> set_backing(const CreateValues& values, Preallocation preallocation, Header& header) {
  header.backing_file = values.text("backing_file");
  header.backing_format = values.text("backing_fmt");
  if (header.backing_file.empty() && !header.backing_format.empty())
    return invalid("Backing format cannot be used without backing file");
  if (header.backing_file.size() > kMaxBackingName) return invalid("Backing file name too long");
  if (!header.backing_file.empty() && preallocation != Preallocation::Off && !header.extended_l2())
    return invalid("Backing file and preallocation can only be used at the same time if extended_l2 is on");
  return {};
}

Result<> set_data_file(const CreateValues& values, Header& header) {
  header.data_file = values.text("data_file");
  const bool raw_data = values.flag("data_file_raw", false);
  if (raw_data && header.data_file.empty()) return invalid("data-file-raw requires data-file");
  if (raw_data && !header.backing_file.empty())
    return invalid("Backing file and data-file-raw cannot be used at the same time");
  if (header.data_file.empty()) return {};
  if (header.version < 3) return needs_v3("External data files are");
  header.incompatible |= kExternalData;
  if (raw_data) header.autoclear |= kRawExternalData;
  return {};
}

constexpr uint64_t kFirstBlock = 2;  // the clusters of a new image: header, refcount table, refcount block

// What is written of one of these clusters; of the largest only the beginning, the rest is a hole.
constexpr uint64_t kWrittenOfCluster = 64 * 1024;
constexpr uint64_t kLargeL1 = 128 * 1024;

// The clusters that an image of `header.size` bytes without content has, all tables in one piece.
uint64_t fresh_clusters(const Header& header) {
  const uint64_t l1_bytes = header.l1_entries_for(header.size) * 8;
  return kFirstBlock + 1 + ((l1_bytes + header.cluster_size() - 1) >> header.cluster_bits);
}

// Whether the first refcount block can count them.
bool fits_first_block(const Header& header) {
  return fresh_clusters(header) <= (header.cluster_size() * 8) >> header.refcount_order;
}

// Header, one cluster of refcount table, one refcount block and the L1 table of an empty image of header.size
// bytes, which fits_first_block(). A large L1 table is a hole.
Result<> write_fresh_image(BlockNode& file, Header& header) {
  const uint64_t cluster = header.cluster_size();
  const uint64_t entries = header.l1_entries_for(header.size);
  const uint64_t clusters = fresh_clusters(header);
  header.refcount_table_offset = cluster;
  header.refcount_table_clusters = 1;
  header.l1_size = static_cast<uint32_t>(entries);
  header.l1_table_offset = entries == 0 ? 0 : (kFirstBlock + 1) * cluster;
  const uint64_t written = std::min(cluster, kWrittenOfCluster);
  const std::vector<uint8_t> start = TRY(serialize_header(header));
  std::vector<uint8_t> bytes((kFirstBlock + 1) * written);
  std::copy(start.begin(), start.end(), bytes.begin());
  store_be(&bytes[written], kFirstBlock * cluster);
  for (uint64_t i = 0; i < clusters; ++i)
    store_refcount(&bytes[kFirstBlock * written], i, header.refcount_order, 1);
  for (uint64_t i = 0; written != cluster && i <= kFirstBlock; ++i)
    TRY(file.write(i * cluster, std::span(bytes).subspan(i * written, written)));
  if (written == cluster) TRY(file.write(0, bytes));
  const uint64_t l1_bytes = *checked_align_up<uint64_t>(entries * 8, 512);
  const uint64_t l1_offset = (kFirstBlock + 1) * cluster;
  if (l1_bytes > kLargeL1) return file.write_zeroes(l1_offset, l1_bytes, ZeroMode::MayUnmap);
  bytes.assign(l1_bytes, 0);
  return file.write(l1_offset, bytes);
}

Result<> build(const FormatDriver& driver, const CreateRequest& request, Header header,
               Preallocation preallocation, std::unique_ptr<BlockNode> file,
               std::unique_ptr<BlockNode> data_file) {
  const uint64_t size = (request.size + 511) & ~uint64_t{511};
  if (size > static_cast<uint64_t>(INT64_MAX) || header.l1_entries_for(size) > kMaxL1Bytes / 8)
    return failf(ErrorKind::OutOfRange,
                 "The image size is too large for file format 'qcow2' (try using a larger cluster size)");
  const bool raw_data = (header.autoclear & kRawExternalData) != 0;
  const bool encrypted = header.crypt_method != 0;
  Header fresh = header;
  fresh.size = size;
  if (preallocation == Preallocation::Off && !raw_data && !encrypted && fits_first_block(fresh))
    return write_fresh_image(*file, fresh);
  TRY(write_fresh_image(*file, header));
  OpenFlags flags;
  flags.writable = true;
  flags.cache = CacheMode::Unsafe;
  Qcow2Image image(driver, std::move(file), std::move(header), flags);
  if (data_file) image.set_data_file(std::move(data_file));
  TRY(image.load());
  if (encrypted) TRY(image.create_encryption(request.values));
  TRY(image.resize(
      size, raw_data && preallocation == Preallocation::Off ? Preallocation::Metadata : preallocation));
  return image.close();
}

}  // namespace

std::optional<uint32_t> parse_version(std::string_view word) {
  if (word == "0.10" || word == "v2") return 2;
  if (word == "1.1" || word == "v3") return 3;
  return std::nullopt;
}

Result<unsigned> parse_cluster_bits(const CreateValues& values) {
  const uint64_t cluster_size = values.number("cluster_size", uint64_t{1} << 16);
  if (!std::has_single_bit(cluster_size) || cluster_size < (1u << kMinClusterBits) ||
      cluster_size > (1u << kMaxClusterBits))
    return invalid("Cluster size must be a power of two between 512 and 2048k");
  return static_cast<unsigned>(std::countr_zero(cluster_size));
}

Result<unsigned> parse_refcount_order(const CreateValues& values) {
  const uint64_t bits = values.number("refcount_bits", 16);
  if (!std::has_single_bit(bits) || bits > 64)
    return invalid("Refcount width must be a power of two and may not exceed 64 bits");
  return static_cast<unsigned>(std::countr_zero(bits));
}

Result<> create_image(const FormatDriver& driver, const CreateRequest& request) {
  Header header;
  header.version = TRY(version_of(request.values));
  const Preallocation preallocation = TRY(preallocation_of(request.values));
  TRY(set_cluster_size(request.values, header));
  TRY(set_backing(request.values, preallocation, header));
  TRY(set_refcounts(request.values, header));
  TRY(set_data_file(request.values, header));
  TRY(set_compression(request.values, header));
  TRY(set_encryption(request.values, header));
  CreateValues below;
  for (const char* name : {"nocow", "extent_size_hint"}) {
    if (request.values.has(name)) below.put(name, request.values.text(name));
  }
  std::unique_ptr<BlockNode> data_file;
  if (!header.data_file.empty())
    data_file = TRY(create_file(backing_path(request.filename, header.data_file), below));
  auto file = TRY(create_file(request.filename, below));
  const auto made =
      build(driver, request, std::move(header), preallocation, std::move(file), std::move(data_file));
  if (!made) remove_created_file(request.filename);
  return made;
}

}  // namespace rhea::block::qcow2
