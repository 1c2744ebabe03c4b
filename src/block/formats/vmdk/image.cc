#include "block/formats/vmdk/image.h"

#include <libdeflate.h>

#include <algorithm>
#include <cstring>

#include "base/failf.h"
#include "block/formats/uuid.h"
#include "block/protocols/protocol.h"

namespace rhea::block::vmdk {
namespace {

constexpr int kCompressionLevel = 4;

struct Compressor {
  libdeflate_compressor* state = libdeflate_alloc_compressor(kCompressionLevel);
  ~Compressor() { libdeflate_free_compressor(state); }
};

}  // namespace

SparseExtent::Below VmdkImage::below_at(uint64_t start) {
  return {.exists = [this] { return backing() != nullptr; },
          .read = [this, start](uint64_t offset, std::span<uint8_t> into) -> Result<> {
            TRY(check_parent());
            return read_backing(start + offset, into);
          }};
}

void VmdkImage::add(Part part) {
  part.start = size_;
  size_ += part.length;
  parts_.push_back(std::move(part));
}

const Part& VmdkImage::part_at(uint64_t offset) const {
  const auto after = std::ranges::upper_bound(parts_, offset, {}, &Part::start);
  return *std::prev(after);
}

template <class Visit>
Result<> VmdkImage::each_part(uint64_t offset, uint64_t length, Visit visit) {
  TRY(check_range(offset, length, size_));
  uint64_t position = 0;
  while (position < length) {
    const Part& part = part_at(offset);
    const uint64_t within = offset - part.start;
    const uint64_t count = std::min(length - position, part.length - within);
    TRY(visit(part, within, static_cast<size_t>(position), static_cast<size_t>(count)));
    position += count;
    offset += count;
  }
  return {};
}

Result<> VmdkImage::read(uint64_t offset, std::span<uint8_t> into) {
  return each_part(offset, into.size(),
                   [&](const Part& part, uint64_t within, size_t position, size_t count) -> Result<> {
                     const std::span<uint8_t> piece = into.subspan(position, count);
                     if (part.sparse) return part.sparse->read(within, piece);
                     if (part.flat) return part.flat->read(part.flat_offset + within, piece);
                     std::memset(piece.data(), 0, piece.size());
                     return {};
                   });
}

Result<> VmdkImage::write(uint64_t offset, std::span<const uint8_t> from) {
  TRY(note_change());
  return each_part(offset, from.size(),
                   [&](const Part& part, uint64_t within, size_t position, size_t count) -> Result<> {
                     const std::span<const uint8_t> piece = from.subspan(position, count);
                     if (part.sparse) return part.sparse->write(within, piece);
                     if (part.flat) return part.flat->write(part.flat_offset + within, piece);
                     return fail(ErrorKind::Permission, "a write to an extent of type ZERO");
                   });
}

Result<> VmdkImage::write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode) {
  TRY(note_change());
  return each_part(offset, length, [&](const Part& part, uint64_t within, size_t, size_t count) -> Result<> {
    if (part.sparse) return part.sparse->write_zeroes(within, count, mode);
    if (part.flat) return part.flat->write_zeroes(part.flat_offset + within, count, mode);
    return {};
  });
}

Result<> VmdkImage::reserve(uint64_t offset, uint64_t length) {
  return each_part(offset, length, [&](const Part& part, uint64_t within, size_t, size_t count) -> Result<> {
    return part.sparse ? part.sparse->reserve(within, count) : Result<>();
  });
}

Result<> VmdkImage::flush() {
  for (const Part& part : parts_) {
    if (part.sparse) TRY(part.sparse->flush());
    if (part.flat) TRY(part.flat->flush());
  }
  return file().flush();
}

Result<Extent> VmdkImage::extent(uint64_t offset, uint64_t length) {
  TRY(check_range(offset, length, size_));
  const Part& part = part_at(offset);
  const uint64_t within = offset - part.start;
  length = std::min(length, part.length - within);
  if (part.sparse) return part.sparse->extent(within, length);
  Extent out{.length = length, .allocated = true, .zero = true};
  if (!part.flat) return out;
  out = TRY(part.flat->extent(part.flat_offset + within, length));
  out.allocated = out.data = true;
  return out;
}

Result<> VmdkImage::resize(uint64_t, Preallocation) {
  return fail(ErrorKind::Unsupported, "Image format driver does not support resize");
}

ImageInfo VmdkImage::info() const {
  ImageInfo out;
  uint64_t actual = 0;
  std::vector<const BlockNode*> counted;
  const auto count = [&](const BlockNode* node) {
    if (node == nullptr || std::ranges::find(counted, node) != counted.end()) return;
    counted.push_back(node);
    if (const auto* protocol = dynamic_cast<const ProtocolNode*>(node))
      actual += protocol->allocated_bytes().value_or(0);
  };
  Value::List extents;
  for (const Part& part : parts_) {
    count(part.file());
    Value::Dict entry;
    if (part.sparse && part.sparse->is_compressed()) entry.emplace_back("compressed", true);
    entry.emplace_back("virtual-size", part.length);
    entry.emplace_back("filename", part.filename);
    if (part.sparse) entry.emplace_back("cluster-size", part.sparse->grain_size());
    entry.emplace_back("format", part.type);
    extents.emplace_back(std::move(entry));
    if (part.sparse && !out.cluster_size) out.cluster_size = part.sparse->grain_size();
  }
  count(&file());
  out.actual_size = actual;
  out.specific = {{"cid", descriptor_.content_id},
                  {"parent-cid", descriptor_.parent_content_id},
                  {"create-type", descriptor_.create_type},
                  {"extents", std::move(extents)}};
  return out;
}

BackingReference VmdkImage::backing_reference() const {
  if (descriptor_.parent_file.empty()) return {};
  return {.file = descriptor_.parent_file, .format = "vmdk"};
}

// The parent must be as it was when this image was made.
Result<> VmdkImage::check_parent() {
  const std::lock_guard lock(mutex_);
  if (parent_checked_) return {};
  const auto* parent = dynamic_cast<const VmdkImage*>(backing());
  if (parent != nullptr && parent->descriptor_.content_id != descriptor_.parent_content_id)
    return failf(
        ErrorKind::Invalid,
        "the parent '{}' was changed after this image was made on it (content {:08x}, expected {:08x})",
        descriptor_.parent_file, parent->descriptor_.content_id, descriptor_.parent_content_id);
  parent_checked_ = true;
  return {};
}

Result<std::string> VmdkImage::read_descriptor() const {
  std::string text(static_cast<size_t>(descriptor_length_), '\0');
  // SAFETY: bytes read into characters.
  TRY(file().read(descriptor_offset_, {reinterpret_cast<uint8_t*>(text.data()), text.size()}));
  if (const size_t end = text.find('\0'); end != std::string::npos) text.resize(end);
  return text;
}

Result<> VmdkImage::write_descriptor(const std::string& text, size_t old_length) {
  const bool inside = parts_.front().type.empty();
  if (inside && text.size() > descriptor_length_)
    return fail(ErrorKind::NoSpace, "the descriptor has no room for more text");
  std::vector<uint8_t> bytes(text.begin(), text.end());
  if (inside) bytes.resize(std::max(bytes.size(), std::min<size_t>(old_length, descriptor_length_)));
  TRY(file().write(descriptor_offset_, bytes));
  if (inside) return {};
  descriptor_length_ = text.size();
  return file().resize(text.size(), Preallocation::Off);
}

Result<> VmdkImage::note_change() {
  const std::lock_guard lock(mutex_);
  if (changed_) return {};
  changed_ = true;
  descriptor_.content_id = TRY(random_word());
  const std::string text = TRY(read_descriptor());
  const std::string changed = with_content_id(text, descriptor_.content_id);
  return changed.empty() ? Result<>() : write_descriptor(changed, text.size());
}

Result<CheckReport> VmdkImage::check(Repair repair) {
  if (repair != Repair::None)
    return fail(ErrorKind::Unsupported, "This image format does not support checks");
  CheckReport out;
  for (const Part& part : parts_) {
    if (part.sparse) TRY(part.sparse->check(out));
  }
  return out;
}

// -- streamOptimized ----------------------------------------------------------------------------------------

ImageInfo StreamImage::info() const {
  ImageInfo out = VmdkImage::info();
  out.compressed = true;
  return out;
}

Result<std::vector<uint8_t>> StreamImage::compress(std::span<const uint8_t> plain) {
  thread_local Compressor compressor;
  if (compressor.state == nullptr) return fail(ErrorKind::NoSpace, "no memory for compression");
  std::vector<uint8_t> whole;
  if (plain.size() < compression_unit()) {
    whole.assign(plain.begin(), plain.end());
    whole.resize(compression_unit());
    plain = whole;
  }
  std::vector<uint8_t> out(libdeflate_zlib_compress_bound(compressor.state, plain.size()));
  const size_t size =
      libdeflate_zlib_compress(compressor.state, plain.data(), plain.size(), out.data(), out.size());
  if (size == 0) return fail(ErrorKind::Io, "the compression failed");
  out.resize(size);
  return out;
}

Result<> StreamImage::write_compressed(uint64_t offset, std::span<const uint8_t> packed,
                                       std::span<const uint8_t>) {
  TRY(note_change());
  return extent_node().append_compressed(offset, packed);
}

Result<> StreamImage::write(uint64_t offset, std::span<const uint8_t> from) {
  TRY(check_range(offset, from.size(), size()));
  const size_t unit = compression_unit();
  while (!from.empty()) {
    const size_t within = static_cast<size_t>(offset % unit);
    const std::span<const uint8_t> part = from.first(std::min(from.size(), unit - within));
    std::vector<uint8_t> grain;
    std::span<const uint8_t> plain = part;
    if (part.size() != unit) {
      if (TRY(extent_node().has_grain(offset)))
        return fail(ErrorKind::Unsupported, "Could not write to allocated cluster for streamOptimized");
      grain.resize(unit);
      // What is below stays; past the end of the disk are zeros.
      const uint64_t start = offset - within;
      const std::span<uint8_t> existing =
          std::span(grain).first(static_cast<size_t>(std::min<uint64_t>(unit, size() - start)));
      TRY(read(start, existing));
      std::copy(part.begin(), part.end(), grain.begin() + static_cast<std::ptrdiff_t>(within));
      plain = grain;
    }
    const std::vector<uint8_t> packed = TRY(compress(plain));
    TRY(write_compressed(offset - within, packed, plain));
    offset += part.size();
    from = from.subspan(part.size());
  }
  return {};
}

Result<> StreamImage::write_zeroes(uint64_t offset, uint64_t length, ZeroMode) {
  TRY(check_range(offset, length, size()));
  const size_t unit = compression_unit();
  while (length != 0) {
    const auto part = static_cast<size_t>(std::min<uint64_t>(length, unit - offset % unit));
    if (backing() != nullptr || TRY(extent_node().has_grain(offset))) {
      const std::vector<uint8_t> zeros(part);
      TRY(write(offset, zeros));
    }
    offset += part;
    length -= part;
  }
  return {};
}

}  // namespace rhea::block::vmdk
