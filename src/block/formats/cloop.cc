// Compressed loop images of Linux, version 2 (the cloop module's documentation): a shell script, the block
// size and the number of blocks, where each block begins (and the last ends), blocks as zlib streams. All
// numbers are big-endian. Missing: versions 0 to 1 and 3 onwards, writing. Any thread.
#include "block/formats/cloop.h"

#include <libdeflate.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "base/checked.h"
#include "base/endian.h"
#include "base/failf.h"
#include "block/formats/cluster_image.h"
#include "block/formats/metadata_cache.h"

namespace rhea::block {
namespace {

constexpr std::string_view kScript =
    "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n";
constexpr uint64_t kHeaderOffset = 128;
constexpr uint64_t kTableOffset = 136;
constexpr uint32_t kLargestBlock = 64 << 20;

struct Decompressor {
  libdeflate_decompressor* state = libdeflate_alloc_decompressor();
  ~Decompressor() { libdeflate_free_decompressor(state); }
};

class CloopImage final : public ClusterImage {
 public:
  CloopImage(const FormatDriver& driver, std::unique_ptr<BlockNode> below, uint64_t size, uint64_t block_size)
      : ClusterImage(driver, std::move(below), size, block_size), table_(file()), file_size_(file().size()) {}

  ImageInfo info() const override {
    ImageInfo out;
    out.has_dirty_flag = false;
    return out;
  }

 private:
  Result<Place> locate(uint64_t index) override {
    const uint64_t begin = TRY((table_.load<uint64_t, std::endian::big>(kTableOffset + index * 8)));
    const uint64_t end = TRY((table_.load<uint64_t, std::endian::big>(kTableOffset + index * 8 + 8)));
    if (end < begin || end - begin > 2 * cluster_size() || end > file_size_)
      return failf(ErrorKind::Invalid, "block {} is said to lie from {} to {} in a file of {} bytes", index,
                   begin, end, file_size_);
    return Place{.state = State::Compressed, .offset = begin, .length = end - begin};
  }

  Result<> decompress(const Place& place, std::span<uint8_t> out) override {
    thread_local Decompressor decompressor;
    if (decompressor.state == nullptr) return fail(ErrorKind::NoSpace, "no memory for decompression");
    std::vector<uint8_t> packed(static_cast<size_t>(place.length));
    TRY(file().read(place.offset, packed));
    size_t got = 0;
    if (libdeflate_zlib_decompress(decompressor.state, packed.data(), packed.size(), out.data(), out.size(),
                                   &got) != LIBDEFLATE_SUCCESS ||
        got != out.size())
      return failf(ErrorKind::Invalid, "the compressed block at {} is damaged", place.offset);
    return {};
  }

  MetadataCache table_;
  uint64_t file_size_;
};

class CloopDriver final : public FormatDriver {
 public:
  std::string_view name() const override { return "cloop"; }
  int probe(std::span<const uint8_t> head, std::string_view) const override {
    const size_t length = std::min(head.size(), kScript.size());
    return length >= kScript.size() && std::memcmp(head.data(), kScript.data(), length) == 0 ? 2 : 0;
  }

  Result<std::unique_ptr<ImageNode>> open(OpenRequest& request) const override {
    std::array<uint8_t, 8> head{};
    TRY(request.file->read(kHeaderOffset, head));
    const uint32_t block = load_be<uint32_t>(head.data());
    const uint64_t blocks = load_be<uint32_t>(head.data() + 4);
    if (block % 512 != 0) return failf(ErrorKind::Invalid, "block_size {} must be a multiple of 512", block);
    if (block == 0) return fail(ErrorKind::Invalid, "block_size cannot be zero");
    if (block > kLargestBlock)
      return failf(ErrorKind::Invalid, "block_size {} must be {} MB or less", block, kLargestBlock >> 20);
    const uint64_t table = (blocks + 1) * 8;
    if (!range_within(kTableOffset, table, request.file->size()))
      return failf(ErrorKind::Invalid, "the table of {} blocks does not fit the file of {} bytes", blocks,
                   request.file->size());
    if (request.flags.writable) return fail(ErrorKind::Unsupported, "cloop images can only be read");
    return std::make_unique<CloopImage>(*this, std::move(request.file), blocks * block, block);
  }
};

}  // namespace

const FormatDriver& cloop_driver() {
  static const CloopDriver driver;
  return driver;
}

}  // namespace rhea::block
