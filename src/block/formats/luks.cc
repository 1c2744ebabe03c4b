#include "block/formats/luks.h"

#include <algorithm>
#include <array>

#include "base/checked.h"
#include "base/failf.h"
#include "block/crypto/encrypted_io.h"
#include "block/crypto/luks_header.h"
#include "block/facets.h"
#include "block/open.h"

namespace rhea::block {
namespace {

using Type = CreateOption::Type;

constexpr std::array kOptions = {
    CreateOption{"size", Type::Size, "Virtual disk size"},
    CreateOption{"key-secret", Type::Text, "ID of the secret that provides the keyslot passphrase"},
    CreateOption{"cipher-alg", Type::Text, "Name of encryption cipher algorithm"},
    CreateOption{"cipher-mode", Type::Text, "Name of encryption cipher mode"},
    CreateOption{"ivgen-alg", Type::Text, "Name of IV generator algorithm"},
    CreateOption{"ivgen-hash-alg", Type::Text, "Name of IV generator hash algorithm"},
    CreateOption{"hash-alg", Type::Text, "Name of encryption hash algorithm"},
    CreateOption{"iter-time", Type::Number, "Time to spend in PBKDF in milliseconds"},
};

constexpr std::array kAmendOptions = {
    CreateOption{"state", Type::Text, "Select new state of affected keyslots (active/inactive)"},
    CreateOption{"keyslot", Type::Number, "Select a single keyslot to modify explicitly"},
    CreateOption{"old-secret", Type::Text, "Select all keyslots that match this password"},
    CreateOption{"new-secret", Type::Text,
                 "New secret to set in the matching keyslots. Empty string to erase"},
    CreateOption{"iter-time", Type::Number, "Time to spend in PBKDF in milliseconds"},
};

class LuksImage final : public ImageNode, public Amender {
 public:
  LuksImage(const FormatDriver& driver, std::unique_ptr<BlockNode> file, crypto::LuksHeader header,
            std::unique_ptr<crypto::SectorCipher> cipher)
      : ImageNode(driver, std::move(file)), header_(std::move(header)), base_(header_.payload_offset()) {
    if (cipher) io_ = std::make_unique<crypto::EncryptedIo>(std::move(cipher));
  }

  uint64_t size() const override {
    const uint64_t bytes = file().size();
    return bytes > base_ ? align_down(bytes - base_, 512) : 0;
  }
  Result<> read(uint64_t offset, std::span<uint8_t> into) override {
    TRY(check_use(offset, into.size()));
    return io_->read(file(), base_ + offset, offset, into);
  }
  Result<> write(uint64_t offset, std::span<const uint8_t> from) override {
    TRY(check_use(offset, from.size()));
    return io_->write(file(), base_ + offset, offset, from);
  }
  // Zeros are encrypted like everything else.
  Result<> write_zeroes(uint64_t offset, uint64_t length, ZeroMode) override {
    TRY(check_use(offset, length));
    return write_filled(*this, offset, length, 0);
  }
  Result<> discard(uint64_t offset, uint64_t length) override { return check_range(offset, length, size()); }
  Result<> flush() override { return file().flush(); }
  Result<Extent> extent(uint64_t offset, uint64_t length) override {
    TRY(check_range(offset, length, size()));
    return Extent{.length = length, .allocated = true, .data = true};
  }
  Result<> resize(uint64_t size, Preallocation preallocation) override {
    const auto end = checked_add(size, base_);
    if (!end || *end > static_cast<uint64_t>(INT64_MAX))
      return fail(ErrorKind::OutOfRange, "The requested file size is too large");
    return file().resize(*end, preallocation);
  }
  bool fresh_reads_as_zeros() const override { return false; }

  ImageInfo info() const override {
    ImageInfo out;
    out.encrypted = true;
    out.specific = header_.info("");
    return out;
  }
  Result<> amend(const CreateValues& values, bool force, const Progress& progress) override {
    progress(0, 1);
    TRY(header_.amend(file(), 0, values, "", force));
    progress(1, 1);
    return {};
  }

 private:
  Result<> check_use(uint64_t offset, uint64_t length) const {
    if (!io_) return fail(ErrorKind::Invalid, "Parameter 'key-secret' is required for cipher");
    return check_range(offset, length, size());
  }

  crypto::LuksHeader header_;
  const uint64_t base_;
  std::unique_ptr<crypto::EncryptedIo> io_;  // null: only looked at
};

class LuksDriver final : public FormatDriver {
 public:
  std::string_view name() const override { return "luks"; }
  bool can_create() const override { return true; }
  std::span<const CreateOption> create_options() const override { return kOptions; }
  std::span<const CreateOption> amend_options() const override { return kAmendOptions; }

  int probe(std::span<const uint8_t> head, std::string_view) const override {
    return crypto::LuksHeader::looks_like(head) ? 100 : 0;
  }

  Result<std::unique_ptr<ImageNode>> open(OpenRequest& request) const override {
    const auto secret = config::take(request.options, "key-secret");
    auto header = TRY(crypto::LuksHeader::read(*request.file, 0));
    if (header.payload_offset() > request.file->size())
      return fail(ErrorKind::Invalid, "The LUKS payload begins behind the end of the file");
    std::unique_ptr<crypto::SectorCipher> cipher;
    if (!request.flags.only_look) {
      if (!secret) return fail(ErrorKind::Invalid, "Parameter 'key-secret' is required for cipher");
      TRY(header.unlock(*request.file, 0, *secret));
      cipher = TRY(header.cipher());
    }
    return std::make_unique<LuksImage>(*this, std::move(request.file), std::move(header), std::move(cipher));
  }

  Result<> create(const CreateRequest& request) const override {
    const Preallocation preallocation = TRY(file_preallocation(request.values));
    const auto header = TRY(crypto::LuksHeader::make(request.values, ""));
    const auto end = checked_add(TRY(rounded(request.size)), header.payload_offset());
    if (!end || *end > static_cast<uint64_t>(INT64_MAX))
      return fail(ErrorKind::OutOfRange, "The requested file size is too large");
    return create_file_with(request.filename, request.values, [&](BlockNode& file) -> Result<> {
      TRY_IN(file.resize(*end, preallocation), "Could not resize file");
      TRY(header.write(file, 0));
      return file.flush();
    });
  }

  Result<Measurement> measure(const MeasureRequest& request) const override {
    const uint64_t size = TRY(rounded(request.source != nullptr ? request.source->size() : request.size));
    const uint64_t header = TRY(crypto::LuksHeader::payload_offset_of(request.values, ""));
    const auto bytes = checked_add(size, header);
    if (!bytes) return fail(ErrorKind::OutOfRange, "The requested file size is too large");
    return Measurement{.required = *bytes, .fully_allocated = *bytes, .bitmaps = std::nullopt};
  }

 private:
  static Result<uint64_t> rounded(uint64_t size) {
    const auto out = checked_align_up(size, 512);
    if (!out) return fail(ErrorKind::OutOfRange, "The requested file size is too large");
    return *out;
  }
};

}  // namespace

const FormatDriver& luks_driver() {
  static const LuksDriver driver;
  return driver;
}

}  // namespace rhea::block
