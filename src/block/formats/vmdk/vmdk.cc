#include "block/formats/vmdk/vmdk.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/vmdk/create.h"
#include "block/formats/vmdk/image.h"
#include "block/open.h"

namespace rhea::block {
namespace {

using namespace vmdk;

constexpr size_t kMostExtents = 1024;

struct Text {
  std::string text;
  uint64_t offset = 0;
  uint64_t length = 0;
};

Result<Text> read_text(BlockNode& file, uint64_t offset, uint64_t length) {
  Text out{.text = std::string(static_cast<size_t>(length), '\0'), .offset = offset, .length = length};
  // SAFETY: bytes read into characters.
  TRY(file.read(offset, {reinterpret_cast<uint8_t*>(out.text.data()), out.text.size()}));
  if (const size_t end = out.text.find('\0'); end != std::string::npos) out.text.resize(end);
  return out;
}

// The descriptor inside of a sparse extent. Empty: it has none.
Result<Text> embedded_text(BlockNode& file, const SparseHeader& header) {
  if (header.descriptor_offset == 0) return Text{};
  const uint64_t bytes = header.descriptor_size * kSector;
  if (header.descriptor_size > kLargestDescriptor / kSector ||
      header.descriptor_offset > file.size() / kSector ||
      !range_within(header.descriptor_offset * kSector, bytes, file.size()))
    return failf(ErrorKind::Invalid,
                 "the descriptor of {} sectors at sector {} does not fit the file of {} bytes",
                 header.descriptor_size.get(), header.descriptor_offset.get(), file.size());
  return read_text(file, header.descriptor_offset * kSector, bytes);
}

class VmdkDriver final : public FormatDriver {
 public:
  std::string_view name() const override { return "vmdk"; }
  int probe(std::span<const uint8_t> head, std::string_view) const override {
    if (head.size() < 4) return 0;
    if (load_le<uint32_t>(head.data()) == kSparseMagic) return 100;
    // SAFETY: bytes seen as characters.
    return is_descriptor({reinterpret_cast<const char*>(head.data()), head.size()}) ? 100 : 0;
  }
  bool can_create() const override { return true; }
  bool can_back() const override { return true; }
  std::span<const CreateOption> create_options() const override { return vmdk::create_options(); }
  Result<> create(const CreateRequest& request) const override { return vmdk::create(request); }

  Result<std::unique_ptr<ImageNode>> open(OpenRequest& request) const override {
    std::array<uint8_t, 4> magic{};
    TRY(request.file->read(0, magic));
    if (load_le<uint32_t>(magic.data()) == kSparseMagic) return open_monolithic(request);
    const uint64_t length = request.file->size();
    if (length > kLargestDescriptor) return fail(ErrorKind::Invalid, "invalid VMDK image descriptor");
    const Text text = TRY(read_text(*request.file, 0, length));
    return open_extents(request, TRY(parse_descriptor(text.text)), text);
  }

 private:
  template <class Image>
  Result<std::unique_ptr<ImageNode>> open_one(OpenRequest& request, Descriptor descriptor,
                                              const Text& text) const {
    auto image = std::make_unique<Image>(*this, std::move(request.file), std::move(descriptor), text.offset,
                                         text.length);
    Part part;
    part.filename = request.filename;
    part.sparse = TRY(SparseExtent::open_in(*this, image->file(), image->below_at(0)));
    part.length = part.sparse->size();
    image->add(std::move(part));
    return image;
  }

  Result<std::unique_ptr<ImageNode>> open_monolithic(OpenRequest& request) const {
    const SparseHeader header = TRY(read_sparse_header(*request.file));
    const Text text = TRY(embedded_text(*request.file, header));
    Descriptor descriptor;
    if (!text.text.empty()) {
      descriptor = TRY(parse_descriptor(text.text));
    } else {
      descriptor.create_type = "monolithicSparse";
    }
    if ((header.flags & kFlagCompressed) != 0)
      return open_one<StreamImage>(request, std::move(descriptor), text);
    return open_one<VmdkImage>(request, std::move(descriptor), text);
  }

  Result<Part> open_part(const OpenRequest& request, const ExtentLine& line, VmdkImage& image) const {
    Part part;
    part.length = line.sectors * kSector;
    part.type = line.type;
    if (line.type == "ZERO") return part;
    if (line.access == "NOACCESS")
      return failf(ErrorKind::Permission, "the extent '{}' must not be accessed", line.file);
    if (line.file.starts_with("json:") || line.file.find(':') < line.file.find('/'))
      return failf(ErrorKind::Unsupported, "the extent '{}' is not a plain file", line.file);
    part.filename = backing_path(request.filename, line.file);
    OpenFlags flags = request.flags;
    flags.writable = flags.writable && line.access == "RW";
    auto file = TRY(open_file(part.filename, flags));
    if (line.type == "SPARSE") {
      part.sparse = TRY(SparseExtent::open(*this, std::move(file), image.below_at(image.size())));
      if (part.sparse->size() < part.length)
        return failf(ErrorKind::Invalid, "the extent '{}' has {} bytes, the descriptor says {}", line.file,
                     part.sparse->size(), part.length);
      return part;
    }
    if (line.type != "FLAT" && line.type != "VMFS")
      return failf(ErrorKind::Unsupported, "Unsupported extent type '{}'", line.type);
    part.flat_offset = line.offset * kSector;
    if (!range_within(part.flat_offset, part.length, file->size()))
      return failf(ErrorKind::Invalid, "the extent '{}' needs {} bytes from {}, its file has {}", line.file,
                   part.length, part.flat_offset, file->size());
    part.flat = std::move(file);
    return part;
  }

  Result<std::unique_ptr<ImageNode>> open_extents(OpenRequest& request, Descriptor descriptor,
                                                  const Text& text) const {
    const std::vector<ExtentLine> lines = descriptor.extents;
    if (lines.empty() || lines.size() > kMostExtents)
      return failf(ErrorKind::Invalid, "the descriptor names {} extents, 1 to {} are possible", lines.size(),
                   kMostExtents);
    uint64_t total = 0;
    for (const ExtentLine& line : lines) {
      total += line.sectors;
      if (total > (uint64_t{1} << 53)) return fail(ErrorKind::Invalid, "the extents are too large");
    }
    auto image = std::make_unique<VmdkImage>(*this, std::move(request.file), std::move(descriptor),
                                             text.offset, text.length);
    for (const ExtentLine& line : lines) {
      if (line.sectors != 0) image->add(TRY(open_part(request, line, *image)));
    }
    if (image->size() == 0) return fail(ErrorKind::Invalid, "the extents are empty");
    return image;
  }
};

}  // namespace

const FormatDriver& vmdk_driver() {
  static const VmdkDriver driver;
  return driver;
}

}  // namespace rhea::block
