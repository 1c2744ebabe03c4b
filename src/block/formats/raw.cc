#include "block/formats/raw.h"

#include <algorithm>
#include <array>

#include "base/checked.h"
#include "base/failf.h"
#include "base/sizes.h"
#include "block/facets.h"
#include "block/open.h"
#include "block/protocols/protocol.h"

namespace rhea::block {
namespace {

constexpr std::array<CreateOption, 1> kOptions = {
    {{"size", CreateOption::Type::Size, "Virtual disk size", nullptr}}};

constexpr size_t kGuardedBytes = 512;

class RawImage final : public ImageNode, public ReservingWriter {
 public:
  RawImage(const FormatDriver& driver, std::unique_ptr<BlockNode> file, uint64_t offset,
           std::optional<uint64_t> window, bool guard_head)
      : ImageNode(driver, std::move(file)), offset_(offset), window_(window), guard_head_(guard_head) {}

  uint64_t size() const override {
    if (window_) return *window_;
    // Disks are whole sectors; what the file lacks reads as zeros.
    const uint64_t bytes = file().size();
    return bytes > offset_ ? align_down(bytes - offset_ + 511, 512) : 0;
  }
  Result<> read(uint64_t offset, std::span<uint8_t> into) override {
    TRY(check_range(offset, into.size(), size()));
    return file().read(offset_ + offset, into);
  }
  bool read_at_once(uint64_t offset, std::span<const iovec> into) override {
    return check_range(offset, bytes_of(into), size()).has_value() &&
           file().read_at_once(offset_ + offset, into);
  }
  Result<> write(uint64_t offset, std::span<const uint8_t> from) override {
    TRY(check_range(offset, from.size(), size()));
    if (guard_head_ && offset < kGuardedBytes) TRY(check_head(offset, from));
    return file().write(offset_ + offset, from);
  }
  Result<> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode) override {
    TRY(check_range(offset, length, size()));
    return file().write_zeroes(offset_ + offset, length, mode);
  }
  Result<> discard(uint64_t offset, uint64_t length) override {
    TRY(check_range(offset, length, size()));
    return file().discard(offset_ + offset, length);
  }
  Result<> flush() override { return file().flush(); }
  ImageInfo info() const override {
    ImageInfo out;
    // As with QEMU, only files say so.
    const auto* below = dynamic_cast<const ProtocolNode*>(&file());
    out.has_dirty_flag = below == nullptr || below->fd() >= 0;
    return out;
  }
  // A device keeps what it held.
  bool fresh_reads_as_zeros() const override {
    const auto* below = dynamic_cast<const ProtocolNode*>(&file());
    return below == nullptr || below->fresh_reads_as_zeros();
  }
  // Every byte has its place already.
  Result<> reserve(uint64_t offset, uint64_t length) override { return check_range(offset, length, size()); }
  uint64_t reserve_unit() const override { return 512; }
  Result<Extent> extent(uint64_t offset, uint64_t length) override {
    TRY(check_range(offset, length, size()));
    return file().extent(offset_ + offset, length);
  }
  Result<> resize(uint64_t size, Preallocation preallocation) override {
    if (window_) return fail(ErrorKind::Unsupported, "Cannot resize fixed-size raw disks");
    const auto end = checked_add(size, offset_);
    if (!end) return fail(ErrorKind::OutOfRange, "Disk size too large for the chosen offset");
    if (preallocation == Preallocation::Metadata)
      return fail(ErrorKind::Unsupported, "Unsupported preallocation mode: metadata");
    return file().resize(*end, preallocation);
  }

 private:
  // The format of this image is a guess. A guest that could write another format's header to its start would
  // make the next guess a different one, with backing files of its choice; such writes are refused.
  Result<> check_head(uint64_t offset, std::span<const uint8_t> from) {
    std::array<uint8_t, kGuardedBytes> head{};
    TRY(file().read(offset_, head));
    const size_t count = std::min(from.size(), head.size() - static_cast<size_t>(offset));
    std::copy_n(from.begin(), count, head.begin() + static_cast<std::ptrdiff_t>(offset));
    for (const FormatDriver* other : formats()) {
      if (other != &driver() && other->probe(head, "") > driver().probe(head, ""))
        return fail(ErrorKind::Permission, "Operation not permitted");
    }
    return {};
  }

  uint64_t offset_;
  std::optional<uint64_t> window_;
  bool guard_head_;
};

class RawDriver final : public FormatDriver {
 public:
  std::string_view name() const override { return "raw"; }
  int probe(std::span<const uint8_t>, std::string_view) const override { return 1; }
  bool can_create() const override { return true; }
  std::span<const CreateOption> create_options() const override { return kOptions; }

  Result<std::unique_ptr<ImageNode>> open(OpenRequest& request) const override {
    uint64_t offset = 0;
    std::optional<uint64_t> window;
    if (const auto text = config::take(request.options, "offset")) offset = TRY(parse_size(*text));
    if (const auto text = config::take(request.options, "size")) window = TRY(parse_size(*text));
    const uint64_t bytes = request.file->size();
    if (offset > bytes)
      return failf(ErrorKind::Invalid, "Offset ({}) cannot be greater than size of the containing file ({})",
                   offset, bytes);
    if (window && *window > bytes - offset)
      return failf(
          ErrorKind::Invalid,
          "The sum of offset ({}) and size ({}) has to be smaller or equal to the  actual size of the "
          "containing file ({})",
          offset, *window, bytes);
    return std::make_unique<RawImage>(*this, std::move(request.file), offset, window,
                                      request.probed && request.flags.writable);
  }

  Result<> create(const CreateRequest& request) const override {
    const Preallocation preallocation = TRY(file_preallocation(request.values));
    return create_file_with(request.filename, request.values, [&](BlockNode& file) -> Result<> {
      TRY_IN(file.resize(request.size, preallocation), "Could not resize file");
      return {};
    });
  }

  Result<Measurement> measure(const MeasureRequest& request) const override {
    const uint64_t size = request.source != nullptr ? request.source->size() : request.size;
    // Whole sectors, as all of the formats count them.
    const uint64_t rounded = checked_align_up(size, 512).value_or(size);
    return Measurement{.required = rounded, .fully_allocated = rounded, .bitmaps = std::nullopt};
  }
};

}  // namespace

const FormatDriver& raw_driver() {
  static const RawDriver driver;
  return driver;
}

}  // namespace rhea::block
