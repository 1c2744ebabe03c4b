// Apple disk images (UDIF; J. Levin, "Demystifying the DMG File Format"; Apple's Data Compression as
// described there): data, a property list or resource fork with block tables ("mish"), a trailer ("koly"). A
// table lists chunks of the disk: zeros, plain, or compressed. All numbers are big-endian.
//
// Missing: chunks packed with bzip2, LZFSE and LZMA (refused when they are read), writing. Any thread.
#include "block/formats/dmg.h"

#include <libdeflate.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <string_view>

#include "base/checked.h"
#include "base/endian.h"
#include "base/failf.h"

namespace rhea::block {
namespace {

constexpr uint64_t kSector = 512;
constexpr uint32_t kKoly = 0x6b6f6c79;
constexpr uint32_t kMish = 0x6d697368;
constexpr size_t kMishHeader = 204;
constexpr size_t kMishEntry = 40;
constexpr uint64_t kLargestTable = 16 << 20;
constexpr uint64_t kLargestChunk = 64 << 20;
constexpr size_t kMostChunks = 1 << 20;

enum class Kind : uint32_t {
  Zero = 0,
  Plain = 1,
  Ignored = 2,
  Adc = 0x80000004,
  Zlib = 0x80000005,
  Bzip2 = 0x80000006,
  Lzfse = 0x80000007,
  Lzma = 0x80000008,
  Comment = 0x7ffffffe,
  End = 0xffffffff,
};

struct Trailer {
  be32 magic;
  be32 version;
  be32 header_size;
  be32 flags;
  be64 running_offset;
  be64 data_offset;
  be64 data_length;
  be64 resource_offset;
  be64 resource_length;
  std::array<uint8_t, 160> unused;
  be64 list_offset;
  be64 list_length;
  std::array<uint8_t, 260> unused2;
  be64 sectors;
  std::array<uint8_t, 12> unused3;
};
static_assert(sizeof(Trailer) == 512);

struct Chunk {
  uint64_t start = 0;  // of the disk, in bytes
  uint64_t length = 0;
  Kind kind = Kind::Zero;
  uint64_t offset = 0;  // in the file
  uint64_t packed = 0;
};

// -- chunks -------------------------------------------------------------------------------------------------

// Apple Data Compression: runs of plain bytes and copies of what was there before.
bool unpack_adc(std::span<const uint8_t> from, std::span<uint8_t> to) {
  size_t in = 0;
  size_t out = 0;
  while (out < to.size() && in < from.size()) {
    const uint8_t code = from[in++];
    if ((code & 0x80) != 0) {
      const size_t count = (code & 0x7fu) + 1u;
      if (count > from.size() - in || count > to.size() - out) return false;
      std::memcpy(to.data() + out, from.data() + in, count);
      in += count;
      out += count;
      continue;
    }
    const bool is_long = (code & 0x40) != 0;
    if (from.size() - in < (is_long ? 2u : 1u)) return false;
    const size_t count = is_long ? (code & 0x3fu) + 4u : (code >> 2 & 0x0fu) + 3u;
    const size_t distance =
        1 + (is_long ? size_t{from[in]} << 8 | from[in + 1] : (code & 3u) << 8 | size_t{from[in]});
    in += is_long ? 2 : 1;
    if (distance > out || count > to.size() - out) return false;
    for (size_t i = 0; i < count; ++i, ++out) to[out] = to[out - distance];
  }
  return out == to.size();
}

struct Decompressor {
  libdeflate_decompressor* state = libdeflate_alloc_decompressor();
  ~Decompressor() { libdeflate_free_decompressor(state); }
};

Result<> unpack(const Chunk& chunk, std::span<const uint8_t> from, std::span<uint8_t> to) {
  bool good = false;
  if (chunk.kind == Kind::Adc) {
    good = unpack_adc(from, to);
  } else if (chunk.kind == Kind::Zlib) {
    thread_local Decompressor decompressor;
    if (decompressor.state == nullptr) return fail(ErrorKind::NoSpace, "no memory for decompression");
    size_t got = 0;
    good = libdeflate_zlib_decompress(decompressor.state, from.data(), from.size(), to.data(), to.size(),
                                      &got) == LIBDEFLATE_SUCCESS &&
           got == to.size();
  } else {
    const char* name = chunk.kind == Kind::Bzip2 ? "bzip2" : chunk.kind == Kind::Lzfse ? "LZFSE" : "LZMA";
    return failf(ErrorKind::Unsupported, "the data at {} is compressed with {}, which is not supported",
                 chunk.start, name);
  }
  return good ? Result<>() : failf(ErrorKind::Invalid, "the compressed chunk at {} is damaged", chunk.offset);
}

class DmgImage final : public ImageNode {
 public:
  DmgImage(const FormatDriver& driver, std::unique_ptr<BlockNode> below, uint64_t size,
           std::vector<Chunk> chunks)
      : ImageNode(driver, std::move(below)), size_(size), chunks_(std::move(chunks)) {}

  uint64_t size() const override { return size_; }
  ImageInfo info() const override {
    ImageInfo out;
    out.has_dirty_flag = false;
    return out;
  }
  Result<> read(uint64_t offset, std::span<uint8_t> into) override;
  Result<> write(uint64_t, std::span<const uint8_t>) override { return read_only(); }
  Result<> write_zeroes(uint64_t, uint64_t, ZeroMode) override { return read_only(); }
  Result<> discard(uint64_t, uint64_t) override { return {}; }
  Result<> flush() override { return file().flush(); }
  Result<> resize(uint64_t, Preallocation) override {
    return fail(ErrorKind::Unsupported, "Image format driver does not support resize");
  }
  Result<Extent> extent(uint64_t offset, uint64_t length) override;

 private:
  static Result<> read_only() { return fail(ErrorKind::Unsupported, "dmg images can only be read"); }
  // The chunk that `offset` lies in; null: none, and `length` is cut where the next begins.
  const Chunk* chunk_at(uint64_t offset, uint64_t& length) const;
  Result<> read_packed(const Chunk& chunk, uint64_t within, std::span<uint8_t> into);

  uint64_t size_;
  std::vector<Chunk> chunks_;  // by start, disjoint
  std::mutex mutex_;
  const Chunk* unpacked_chunk_ = nullptr;
  std::vector<uint8_t> unpacked_;
};

const Chunk* DmgImage::chunk_at(uint64_t offset, uint64_t& length) const {
  const auto after = std::ranges::upper_bound(chunks_, offset, {}, &Chunk::start);
  if (after != chunks_.begin()) {
    const Chunk& chunk = *std::prev(after);
    if (offset - chunk.start < chunk.length) {
      length = std::min(length, chunk.length - (offset - chunk.start));
      return &chunk;
    }
  }
  if (after != chunks_.end()) length = std::min(length, after->start - offset);
  return nullptr;
}

Result<> DmgImage::read_packed(const Chunk& chunk, uint64_t within, std::span<uint8_t> into) {
  const std::lock_guard lock(mutex_);
  if (unpacked_chunk_ != &chunk) {
    unpacked_chunk_ = nullptr;
    std::vector<uint8_t> packed(static_cast<size_t>(chunk.packed));
    TRY(file().read(chunk.offset, packed));
    unpacked_.resize(static_cast<size_t>(chunk.length));
    TRY(unpack(chunk, packed, unpacked_));
    unpacked_chunk_ = &chunk;
  }
  std::memcpy(into.data(), unpacked_.data() + within, into.size());
  return {};
}

Result<> DmgImage::read(uint64_t offset, std::span<uint8_t> into) {
  TRY(check_range(offset, into.size(), size_));
  while (!into.empty()) {
    uint64_t length = into.size();
    const Chunk* chunk = chunk_at(offset, length);
    const std::span<uint8_t> part = into.first(static_cast<size_t>(length));
    if (chunk == nullptr || chunk->kind == Kind::Zero || chunk->kind == Kind::Ignored) {
      std::memset(part.data(), 0, part.size());
    } else if (chunk->kind == Kind::Plain) {
      TRY(file().read(chunk->offset + (offset - chunk->start), part));
    } else {
      TRY(read_packed(*chunk, offset - chunk->start, part));
    }
    offset += length;
    into = into.subspan(part.size());
  }
  return {};
}

Result<Extent> DmgImage::extent(uint64_t offset, uint64_t length) {
  TRY(check_range(offset, length, size_));
  const Chunk* chunk = chunk_at(offset, length);
  Extent out{.length = length, .allocated = true};
  if (chunk == nullptr || chunk->kind == Kind::Zero || chunk->kind == Kind::Ignored) {
    out.zero = true;
    return out;
  }
  out.data = true;
  out.compressed = chunk->kind != Kind::Plain;
  if (chunk->kind == Kind::Plain) {
    out.file = &file();
    out.file_offset = chunk->offset + (offset - chunk->start);
  }
  return out;
}

// -- tables -------------------------------------------------------------------------------------------------

struct Tables {
  uint64_t data_offset = 0;
  uint64_t file_size = 0;
  std::vector<Chunk> chunks;
};

Result<> add_chunk(const uint8_t* entry, uint64_t first_sector, uint64_t base, Tables& tables) {
  Chunk chunk;
  chunk.kind = static_cast<Kind>(load_be<uint32_t>(entry));
  if (chunk.kind == Kind::Comment || chunk.kind == Kind::End) return {};
  const uint64_t sector = load_be<uint64_t>(entry + 8);
  const uint64_t count = load_be<uint64_t>(entry + 16);
  if (count == 0) return {};
  constexpr uint64_t kLargestSector = uint64_t{1} << 53;
  if (sector > kLargestSector || first_sector > kLargestSector || count > kLargestSector)
    return failf(ErrorKind::Invalid, "a chunk of {} sectors at sector {}", count, sector);
  chunk.start = (first_sector + sector) * kSector;
  chunk.length = count * kSector;
  chunk.packed = load_be<uint64_t>(entry + 32);
  const auto offset = checked_add(base, load_be<uint64_t>(entry + 24));
  if (chunk.kind == Kind::Zero || chunk.kind == Kind::Ignored) {
    tables.chunks.push_back(chunk);
    return {};
  }
  switch (chunk.kind) {
    case Kind::Plain:
    case Kind::Adc:
    case Kind::Zlib:
    case Kind::Bzip2:
    case Kind::Lzfse:
    case Kind::Lzma: break;
    default: return failf(ErrorKind::Unsupported, "unknown kind of chunk {:#x}", load_be<uint32_t>(entry));
  }
  if (!offset || !range_within(*offset, chunk.packed, tables.file_size))
    return failf(ErrorKind::Invalid, "a chunk of {} bytes does not fit the file of {}", chunk.packed,
                 tables.file_size);
  chunk.offset = *offset;
  if (chunk.kind == Kind::Plain && chunk.packed < chunk.length)
    return failf(ErrorKind::Invalid, "a plain chunk of {} bytes for {} bytes of the disk", chunk.packed,
                 chunk.length);
  if (chunk.kind != Kind::Plain && (chunk.length > kLargestChunk || chunk.packed > kLargestChunk))
    return failf(ErrorKind::Invalid, "a compressed chunk of {} bytes, at most {} are possible",
                 std::max(chunk.length, chunk.packed), kLargestChunk);
  tables.chunks.push_back(chunk);
  return {};
}

Result<> add_table(std::span<const uint8_t> bytes, Tables& tables) {
  if (bytes.size() < kMishHeader || load_be<uint32_t>(bytes.data()) != kMish)
    return {};  // another kind of resource
  const uint64_t first_sector = load_be<uint64_t>(bytes.data() + 8);
  const auto base = checked_add(tables.data_offset, load_be<uint64_t>(bytes.data() + 24));
  if (!base) return fail(ErrorKind::Invalid, "a block table's data begins outside of the file");
  const size_t count = (bytes.size() - kMishHeader) / kMishEntry;
  for (size_t i = 0; i < count; ++i) {
    if (tables.chunks.size() >= kMostChunks)
      return failf(ErrorKind::Invalid, "more than {} chunks", kMostChunks);
    TRY(add_chunk(bytes.data() + kMishHeader + i * kMishEntry, first_sector, *base, tables));
  }
  return {};
}

// The resource fork: a header of four numbers, then resources, each behind its length.
Result<> read_resources(std::span<const uint8_t> fork, Tables& tables) {
  if (fork.size() < 16) return fail(ErrorKind::Invalid, "the resource fork is too short");
  const uint64_t data = load_be<uint32_t>(fork.data());
  const uint64_t length = load_be<uint32_t>(fork.data() + 8);
  if (!range_within(data, length, fork.size()))
    return fail(ErrorKind::Invalid, "the resource fork's data lies outside of it");
  std::span<const uint8_t> rest = fork.subspan(static_cast<size_t>(data), static_cast<size_t>(length));
  while (rest.size() >= 4) {
    const size_t size = load_be<uint32_t>(rest.data());
    rest = rest.subspan(4);
    if (size > rest.size()) return fail(ErrorKind::Invalid, "a resource is longer than the resource fork");
    TRY(add_table(rest.first(size), tables));
    rest = rest.subspan(size);
  }
  return {};
}

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

std::vector<uint8_t> from_base64(std::string_view text) {
  std::vector<uint8_t> out;
  uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value < 0) continue;  // white space, padding
    bits = bits << 6 | static_cast<uint32_t>(value);
    if ((count += 6) >= 8) out.push_back(static_cast<uint8_t>(bits >> (count -= 8)));
  }
  return out;
}

// Every <data> element of the property list that holds a block table.
Result<> read_list(std::string_view list, Tables& tables) {
  constexpr std::string_view kOpen = "<data>";
  constexpr std::string_view kClose = "</data>";
  while (true) {
    const size_t begin = list.find(kOpen);
    if (begin == std::string_view::npos) return {};
    list.remove_prefix(begin + kOpen.size());
    const size_t end = list.find(kClose);
    if (end == std::string_view::npos) return fail(ErrorKind::Invalid, "the property list ends in its data");
    TRY(add_table(from_base64(list.substr(0, end)), tables));
    list.remove_prefix(end + kClose.size());
  }
}

// The trailer is at the end, or (old images, by other tools) a few bytes before it.
Result<Trailer> find_trailer(BlockNode& file) {
  if (file.size() < sizeof(Trailer))
    return fail(ErrorKind::Invalid, "the file is too short for a disk image");
  std::vector<uint8_t> tail(static_cast<size_t>(std::min<uint64_t>(file.size(), 2 * sizeof(Trailer) - 1)));
  TRY(file.read(file.size() - tail.size(), tail));
  for (size_t at = tail.size() - sizeof(Trailer) + 1; at-- > 0;) {
    if (load_be<uint32_t>(tail.data() + at) != kKoly) continue;
    Trailer out;
    std::memcpy(&out, tail.data() + at, sizeof out);
    return out;
  }
  return fail(ErrorKind::Invalid, "Could not locate UDIF trailer in dmg file");
}

Result<std::vector<uint8_t>> read_part(BlockNode& file, uint64_t offset, uint64_t length) {
  if (length > kLargestTable || !range_within(offset, length, file.size()))
    return failf(ErrorKind::Invalid, "the block tables' {} bytes at {} do not fit the file of {} bytes",
                 length, offset, file.size());
  std::vector<uint8_t> out(static_cast<size_t>(length));
  TRY(file.read(offset, out));
  return out;
}

Result<> order(std::vector<Chunk>& chunks) {
  std::ranges::stable_sort(chunks, {}, &Chunk::start);
  for (size_t i = 1; i < chunks.size(); ++i) {
    if (chunks[i].start - chunks[i - 1].start < chunks[i - 1].length)
      return failf(ErrorKind::Invalid, "two chunks overlap at byte {}", chunks[i].start);
  }
  return {};
}

class DmgDriver final : public FormatDriver {
 public:
  std::string_view name() const override { return "dmg"; }
  // The signature is at the end; what the beginning looks like says nothing.
  int probe(std::span<const uint8_t>, std::string_view filename) const override {
    return filename.ends_with(".dmg") ? 2 : 0;
  }

  Result<std::unique_ptr<ImageNode>> open(OpenRequest& request) const override {
    BlockNode& file = *request.file;
    const Trailer trailer = TRY(find_trailer(file));
    Tables tables{.data_offset = trailer.data_offset, .file_size = file.size(), .chunks = {}};
    if (trailer.resource_length != 0) {
      const std::vector<uint8_t> fork =
          TRY(read_part(file, trailer.resource_offset, trailer.resource_length));
      TRY(read_resources(fork, tables));
    } else if (trailer.list_length != 0) {
      const std::vector<uint8_t> list = TRY(read_part(file, trailer.list_offset, trailer.list_length));
      // SAFETY: bytes seen as characters.
      TRY(read_list({reinterpret_cast<const char*>(list.data()), list.size()}, tables));
    } else {
      return fail(ErrorKind::Invalid, "the image has neither a resource fork nor a property list");
    }
    TRY(order(tables.chunks));
    constexpr uint64_t kMostSectors = uint64_t{1} << 54;
    if (trailer.sectors > kMostSectors)
      return failf(ErrorKind::Invalid, "sector count {} too large", trailer.sectors.get());
    if (request.flags.writable) return fail(ErrorKind::Unsupported, "dmg images can only be read");
    return std::make_unique<DmgImage>(*this, std::move(request.file), trailer.sectors * kSector,
                                      std::move(tables.chunks));
  }
};

}  // namespace

const FormatDriver& dmg_driver() {
  static const DmgDriver driver;
  return driver;
}

}  // namespace rhea::block
