#include "block/formats/vmdk/sparse_extent.h"

#include <libdeflate.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/failf.h"

namespace rhea::block::vmdk {
namespace {

constexpr uint64_t kLargestGrain = 64 << 20;
constexpr uint64_t kMarkerSize = 12;
constexpr uint64_t kLargestSectors = uint64_t{1} << 53;
constexpr uint32_t kZeroedEntry = 1;

Result<SparseHeader> read_header(BlockNode& file, uint64_t offset) {
  SparseHeader out;
  // SAFETY: the struct is plain bytes.
  TRY(file.read(offset, {reinterpret_cast<uint8_t*>(&out), sizeof out}));
  return out;
}

Result<> check_directory(uint64_t place, uint64_t tables, uint64_t file_size) {
  if (place <= file_size / kSector && range_within(place * kSector, tables * 4, file_size)) return {};
  return failf(ErrorKind::Invalid,
               "the grain directory of {} tables at sector {} does not fit the file of {} bytes", tables,
               place, file_size);
}

Result<> check_header(const SparseHeader& header, uint64_t file_size) {
  if (header.version < 1 || header.version > 3)
    return failf(ErrorKind::Unsupported, "Unsupported VMDK version {}", header.version.get());
  if ((header.flags & kFlagCompressed) != 0 && header.compression != kDeflate)
    return failf(ErrorKind::Unsupported, "Unsupported compression algorithm {}", header.compression.get());
  if (header.table_entries == 0 || header.table_entries > 512)
    return fail(ErrorKind::Invalid, "L2 table size too big");
  if (header.grain_size == 0 || header.grain_size > kLargestGrain / kSector)
    return fail(ErrorKind::Invalid, "Invalid granularity, image may be corrupt");
  if (header.capacity > kLargestSectors)
    return failf(ErrorKind::Invalid, "the extent is said to have {} sectors", header.capacity.get());
  const uint64_t grains = header.capacity / header.grain_size + (header.capacity % header.grain_size != 0);
  const uint64_t tables = grains / header.table_entries + (grains % header.table_entries != 0);
  if (tables > uint64_t{512} << 20) return fail(ErrorKind::Invalid, "L1 size too big");
  TRY(check_directory(header.directory, tables, file_size));
  if ((header.flags & kFlagRedundantTable) != 0 && header.redundant_directory != 0 &&
      (header.flags & kFlagMarkers) == 0)
    TRY(check_directory(header.redundant_directory, tables, file_size));
  return {};
}

struct Decompressor {
  libdeflate_decompressor* state = libdeflate_alloc_decompressor();
  ~Decompressor() { libdeflate_free_decompressor(state); }
};

}  // namespace

Result<SparseHeader> read_sparse_header(BlockNode& file) {
  SparseHeader header = TRY(read_header(file, 0));
  if (header.magic != kSparseMagic) return fail(ErrorKind::Invalid, "Image not in VMDK format");
  if (header.directory == kTableAtEnd) {
    // Written as a stream: a marker, the footer (this header with its places filled in), the end marker.
    if (file.size() < 4 * kSector) return fail(ErrorKind::Invalid, "the file is too short for its footer");
    const uint64_t footer = align_down<uint64_t>(file.size(), kSector) - 2 * kSector;
    const SparseHeader last = TRY(read_header(file, footer));
    if (last.magic != kSparseMagic || last.directory == kTableAtEnd)
      return fail(ErrorKind::Invalid, "Footer not found");
    header.directory = last.directory;
    header.redundant_directory = 0;
    header.capacity = last.capacity;
    header.grain_size = last.grain_size;
    header.table_entries = last.table_entries;
  }
  TRY(check_header(header, file.size()));
  return header;
}

SparseExtent::SparseExtent(const FormatDriver& driver, std::unique_ptr<BlockNode> own_file,
                           BlockNode& data_file, const SparseHeader& header, Below below)
    : ClusterImage(driver, std::move(own_file), header.capacity * kSector, header.grain_size * kSector),
      data_file_(data_file),
      header_(header),
      below_(std::move(below)),
      compressed_((header.flags & kFlagCompressed) != 0),
      tables_(data_file),
      directory_(data_file, tables_),
      end_(data_file.size()) {}

Result<std::unique_ptr<SparseExtent>> SparseExtent::open(const FormatDriver& driver,
                                                         std::unique_ptr<BlockNode> file, Below below) {
  const SparseHeader header = TRY(read_sparse_header(*file));
  BlockNode& data_file = *file;
  return std::unique_ptr<SparseExtent>(
      new SparseExtent(driver, std::move(file), data_file, header, std::move(below)));
}

Result<std::unique_ptr<SparseExtent>> SparseExtent::open_in(const FormatDriver& driver, BlockNode& file,
                                                            Below below) {
  const SparseHeader header = TRY(read_sparse_header(file));
  return std::unique_ptr<SparseExtent>(new SparseExtent(driver, nullptr, file, header, std::move(below)));
}

Result<uint64_t> SparseExtent::entry_offset(uint64_t directory, uint64_t index) {
  const uint64_t entries = header_.table_entries;
  const uint64_t slot = directory * kSector + index / entries * 4;
  const uint64_t table = TRY((directory_.load<uint32_t, std::endian::little>(slot)));
  if (table == 0) return 0;
  if (!range_within(table * kSector, entries * 4, end_))
    return failf(ErrorKind::Invalid, "grain table {} at sector {} does not fit the file of {} bytes",
                 index / entries, table, end_);
  return table * kSector + index % entries * 4;
}

Result<ClusterImage::Place> SparseExtent::locate(uint64_t index) {
  const uint64_t at = TRY(entry_offset(header_.directory, index));
  if (at == 0) return Place{};
  const uint64_t sector = TRY((tables_.load<uint32_t, std::endian::little>(at)));
  if (sector == 0) return Place{};
  if (sector == kZeroedEntry && (header_.flags & kFlagZeroedGrain) != 0) return Place{.state = State::Zero};
  if (sector * kSector >= end_)
    return failf(ErrorKind::Invalid, "grain {} at sector {} lies outside of the file of {} bytes", index,
                 sector, end_);
  return Place{.state = compressed_ ? State::Compressed : State::Data,
               .offset = sector * kSector,
               .node = &data_file_};
}

Result<ClusterImage::NewPlace> SparseExtent::allocate(uint64_t) {
  if (compressed_)
    return fail(ErrorKind::Unsupported, "Could not write to allocated cluster for streamOptimized");
  const auto begin = checked_align_up<uint64_t>(end_, std::min<uint64_t>(cluster_size(), 65536));
  if (!begin || *begin / kSector > UINT32_MAX - header_.grain_size)
    return fail(ErrorKind::NoSpace, "the extent has no room for another grain");
  TRY(data_file_.resize(*begin + cluster_size(), Preallocation::Off));
  end_ = *begin + cluster_size();
  return NewPlace{.offset = *begin, .zeroed = true, .node = &data_file_};
}

Result<> SparseExtent::add_table(uint64_t directory, uint64_t index) {
  const uint64_t begin = *checked_align_up<uint64_t>(end_, kSector);
  const uint64_t length = *checked_align_up<uint64_t>(uint64_t{header_.table_entries} * 4, kSector);
  if ((begin + length) / kSector > UINT32_MAX)
    return fail(ErrorKind::NoSpace, "the extent has no room for another grain table");
  TRY(data_file_.resize(begin + length, Preallocation::Off));
  end_ = begin + length;
  TRY(tables_.fill(begin, length, 0));
  const uint64_t slot = directory * kSector + index / header_.table_entries * 4;
  return directory_.store<uint32_t, std::endian::little>(slot, static_cast<uint32_t>(begin / kSector));
}

Result<> SparseExtent::set_entry(uint64_t index, uint32_t sector) {
  for (const uint64_t directory : {header_.redundant_directory.get(), header_.directory.get()}) {
    if (directory != header_.directory && !has_redundant_table()) continue;
    uint64_t at = TRY(entry_offset(directory, index));
    if (at == 0) {
      TRY(add_table(directory, index));
      at = TRY(entry_offset(directory, index));
    }
    TRY((tables_.store<uint32_t, std::endian::little>(at, sector)));
    if (directory == header_.directory) break;
  }
  return {};
}

Result<> SparseExtent::link(uint64_t index, const NewPlace& place) {
  return set_entry(index, static_cast<uint32_t>(place.offset / kSector));
}

Result<bool> SparseExtent::link_zero(uint64_t index, const Place& old) {
  if ((header_.flags & kFlagZeroedGrain) == 0 || old.state == State::Data) return false;
  TRY(set_entry(index, kZeroedEntry));
  return true;
}

Result<> SparseExtent::flush() {
  {
    const std::lock_guard lock(mutex());
    TRY(directory_.write_back());
  }
  return data_file_.flush();
}

Result<> SparseExtent::decompress(const Place& place, std::span<uint8_t> out) {
  thread_local Decompressor decompressor;
  if (decompressor.state == nullptr) return fail(ErrorKind::NoSpace, "no memory for decompression");
  uint64_t length = out.size() + out.size() / 8 + 1024;
  uint64_t at = place.offset;
  if ((header_.flags & kFlagMarkers) != 0) {
    std::array<uint8_t, kMarkerSize> marker{};
    TRY(data_file_.read(place.offset, marker));
    const uint32_t packed = load_le<uint32_t>(marker.data() + 8);
    if (packed == 0 || packed > out.size() * 2)
      return failf(ErrorKind::Invalid, "the compressed grain at {} is said to have {} bytes", place.offset,
                   packed);
    length = packed;
    at += kMarkerSize;
  }
  std::vector<uint8_t> packed(static_cast<size_t>(length));
  TRY(data_file_.read(at, packed));
  size_t got = 0;
  size_t used = 0;
  const libdeflate_result result = libdeflate_zlib_decompress_ex(
      decompressor.state, packed.data(), packed.size(), out.data(), out.size(), &used, &got);
  if (result != LIBDEFLATE_SUCCESS)
    return failf(ErrorKind::Invalid, "the compressed grain at {} is damaged", place.offset);
  std::memset(out.data() + got, 0, out.size() - got);
  return {};
}

Result<bool> SparseExtent::has_grain(uint64_t offset) {
  const std::lock_guard lock(mutex());
  const Place place = TRY(locate(offset / cluster_size()));
  return place.state != State::Unallocated;
}

Result<> SparseExtent::append_compressed(uint64_t offset, std::span<const uint8_t> packed) {
  const std::lock_guard lock(mutex());
  const uint64_t index = offset / cluster_size();
  const Place old = TRY(locate(index));
  if (old.state != State::Unallocated)
    return fail(ErrorKind::Unsupported, "Could not write to allocated cluster for streamOptimized");
  const auto begin = checked_align_up<uint64_t>(end_, kSector);
  if (!begin || *begin / kSector > UINT32_MAX)
    return fail(ErrorKind::NoSpace, "the extent has no room for another grain");
  const uint64_t marker_size = (header_.flags & kFlagMarkers) != 0 ? kMarkerSize : 0;
  std::vector<uint8_t> bytes(
      static_cast<size_t>(*checked_align_up<uint64_t>(marker_size + packed.size(), kSector)));
  if (marker_size != 0) {
    store_le<uint64_t>(bytes.data(), offset / kSector);
    store_le<uint32_t>(bytes.data() + 8, static_cast<uint32_t>(packed.size()));
  }
  std::copy(packed.begin(), packed.end(), bytes.begin() + static_cast<std::ptrdiff_t>(marker_size));
  TRY(data_file_.write(*begin, bytes));
  end_ = *begin + bytes.size();
  return set_entry(index, static_cast<uint32_t>(*begin / kSector));
}

Result<> SparseExtent::check(CheckReport& report) {
  const std::lock_guard lock(mutex());
  for (uint64_t index = 0; index < clusters(); ++index) {
    const uint64_t at = TRY(entry_offset(header_.directory, index));
    if (at == 0) {
      // No grain of this table.
      index += header_.table_entries - index % header_.table_entries - 1;
      continue;
    }
    const uint64_t sector = TRY((tables_.load<uint32_t, std::endian::little>(at)));
    if (sector == 0 || (sector == kZeroedEntry && (header_.flags & kFlagZeroedGrain) != 0)) continue;
    if (sector * kSector < end_) continue;
    report.messages.push_back(fmt::format("ERROR: grain {} lies after the end of the file", index));
    ++report.corruptions;
  }
  return {};
}

}  // namespace rhea::block::vmdk
