#include "block/formats/qcow2/qcow2.h"

#include <algorithm>
#include <array>

#include "base/checked.h"
#include "base/failf.h"
#include "base/sizes.h"
#include "block/formats/qcow2/create.h"
#include "block/formats/qcow2/image.h"
#include "block/open.h"

namespace rhea::block {
namespace {

using Type = CreateOption::Type;

constexpr CreateOption kSize{"size", Type::Size, "Virtual disk size"};
constexpr CreateOption kCompat{"compat", Type::Text, "Compatibility level (v2 [0.10] or v3 [1.1])"};
constexpr CreateOption kBackingFile{"backing_file", Type::Text, "File name of a base image"};
constexpr CreateOption kBackingFormat{"backing_fmt", Type::Text, "Image format of the base image"};
constexpr CreateOption kDataFile{"data_file", Type::Text, "File name of an external data file"};
constexpr CreateOption kDataFileRaw{"data_file_raw", Type::Bool,
                                    "The external data file must stay valid as a raw image"};
constexpr CreateOption kLazyRefcounts{"lazy_refcounts", Type::Bool, "Postpone refcount updates"};
constexpr CreateOption kRefcountBits{"refcount_bits", Type::Number,
                                     "Width of a reference count entry in bits"};

constexpr CreateOption kIterTime{"encrypt.iter-time", Type::Number, "Time to spend in PBKDF in milliseconds"};

constexpr CreateOption with_preset(CreateOption option, const char* preset) {
  option.preset = preset;
  return option;
}

constexpr std::array kOptions = {
    CreateOption{"encryption", Type::Bool,
                 "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)"},
    CreateOption{"encrypt.format", Type::Text, "Encrypt the image, format choices: 'aes', 'luks'"},
    CreateOption{"encrypt.key-secret", Type::Text, "ID of secret providing qcow AES key or LUKS passphrase"},
    CreateOption{"encrypt.cipher-alg", Type::Text, "Name of encryption cipher algorithm"},
    CreateOption{"encrypt.cipher-mode", Type::Text, "Name of encryption cipher mode"},
    CreateOption{"encrypt.ivgen-alg", Type::Text, "Name of IV generator algorithm"},
    CreateOption{"encrypt.ivgen-hash-alg", Type::Text, "Name of IV generator hash algorithm"},
    CreateOption{"encrypt.hash-alg", Type::Text, "Name of encryption hash algorithm"},
    kIterTime,
    CreateOption{"cluster_size", Type::Size, "qcow2 cluster size", "65536"},
    CreateOption{"extended_l2", Type::Bool, "Extended L2 tables", "off"},
    CreateOption{"preallocation", Type::Text,
                 "Preallocation mode (allowed values: off, metadata, falloc, full)"},
    CreateOption{"compression_type", Type::Text, "Compression method used for image cluster compression",
                 "zlib"},
    kSize,
    kCompat,
    kBackingFile,
    kBackingFormat,
    kDataFile,
    kDataFileRaw,
    with_preset(kLazyRefcounts, "off"),
    with_preset(kRefcountBits, "16"),
};

// What is not named stays as it is: no presets.
constexpr std::array kAmendOptions = {
    kSize,
    kCompat,
    kBackingFile,
    kBackingFormat,
    kDataFile,
    kDataFileRaw,
    kLazyRefcounts,
    kRefcountBits,
    CreateOption{"encrypt.state", Type::Text, "Select new state of affected keyslots (active/inactive)"},
    CreateOption{"encrypt.keyslot", Type::Number, "Select a single keyslot to modify explicitly"},
    CreateOption{"encrypt.old-secret", Type::Text, "Select all keyslots that match this password"},
    CreateOption{"encrypt.new-secret", Type::Text,
                 "New secret to set in the matching keyslots. Empty string to erase"},
    kIterTime,
};

class Qcow2Driver final : public FormatDriver {
 public:
  std::string_view name() const override { return "qcow2"; }
  bool can_create() const override { return true; }
  bool can_back() const override { return true; }
  std::span<const CreateOption> create_options() const override { return kOptions; }

  std::span<const CreateOption> amend_options() const override { return kAmendOptions; }

  int probe(std::span<const uint8_t> head, std::string_view) const override {
    if (head.size() < qcow2::kHeaderV2Length || load_be<uint32_t>(head.data()) != qcow2::kMagic) return 0;
    return load_be<uint32_t>(head.data() + 4) >= 2 ? 100 : 0;
  }

  Result<std::unique_ptr<ImageNode>> open(OpenRequest& request) const override {
    const uint64_t bytes = request.file->size();
    std::vector<uint8_t> start(static_cast<size_t>(std::min<uint64_t>(bytes, uint64_t{64} << 10)));
    TRY_IN(request.file->read(0, start), "Could not read qcow2 header");
    // Larger headers only where the clusters are larger.
    if (start.size() >= 24 && bytes > start.size()) {
      const uint32_t bits = load_be<uint32_t>(start.data() + 20);
      if (bits > 16 && bits <= qcow2::kMaxClusterBits) {
        start.resize(static_cast<size_t>(std::min<uint64_t>(bytes, uint64_t{1} << bits)));
        TRY_IN(request.file->read(0, start), "Could not read qcow2 header");
      }
    }
    qcow2::Header header =
        TRY(qcow2::parse_header(start, bytes, request.flags.for_check || !request.flags.writable));
    const std::string wanted = config::take(request.options, "data-file.filename").value_or(header.data_file);
    const auto encryption = config::take(request.options, "encrypt.format");
    const auto secret = config::take(request.options, "encrypt.key-secret");
    if (header.crypt_method == 0 && (encryption || secret))
      return failf(ErrorKind::Invalid, "No encryption in image header, but options specified format '{}'",
                   encryption.value_or("luks"));
    const bool external = (header.incompatible & qcow2::kExternalData) != 0;
    if (external && wanted.empty()) return fail(ErrorKind::Invalid, "'data-file' is required for this image");
    auto image =
        std::make_unique<qcow2::Qcow2Image>(*this, std::move(request.file), std::move(header), request.flags);
    if (external && !request.flags.only_look)
      image->set_data_file(TRY(open_file(backing_path(request.filename, wanted), request.flags)));
    TRY(image->open_encryption(encryption, secret));
    TRY(image->load());
    return image;
  }

  Result<> create(const CreateRequest& request) const override { return qcow2::create_image(*this, request); }
  Result<Measurement> measure(const MeasureRequest& request) const override {
    return qcow2::measure_image(request);
  }
};

}  // namespace

const FormatDriver& qcow2_driver() {
  static const Qcow2Driver driver;
  return driver;
}

}  // namespace rhea::block
