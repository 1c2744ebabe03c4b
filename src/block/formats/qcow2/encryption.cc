// Encrypted images: method 2, a LUKS header in clusters of its own that a header extension points to, sectors
// numbered by where they lie in the file; and method 1 of old, AES-128-CBC with the password as the key,
// sectors numbered as the guest sees them. Metadata is never encrypted.
#include "base/checked.h"
#include "base/failf.h"
#include "block/crypto/luks_header.h"
#include "block/formats/qcow2/image.h"
#include "block/secrets.h"

namespace rhea::block::qcow2 {
namespace {

constexpr uint32_t kMethodAes = 1;
constexpr uint32_t kMethodLuks = 2;
constexpr size_t kAesKeyBytes = 16;
constexpr uint64_t kLargestLuksHeader = uint64_t{64} << 20;

std::unexpected<Error> needs_secret() {
  return fail(ErrorKind::Invalid, "Parameter 'encrypt.key-secret' is required for cipher");
}

Result<std::unique_ptr<crypto::SectorCipher>> aes_cipher(const std::string& secret) {
  const std::string password = TRY(password_of(secret));
  crypto::Bytes key(password.begin(), password.end());
  key.resize(kAesKeyBytes);
  return crypto::SectorCipher::make("cbc-plain64", key);
}

}  // namespace

Result<> Qcow2Image::open_encryption(const std::optional<std::string>& format,
                                     const std::optional<std::string>& secret) {
  if (!encrypted()) return {};
  const std::string_view actual = header_.crypt_method == kMethodLuks ? "luks" : "aes";
  if (format && *format != actual)
    return failf(ErrorKind::Invalid, "Header reported '{}' encryption format but options specify '{}'",
                 actual, *format);
  if (header_.crypt_method == kMethodAes) {
    if (flags_.only_look) return {};
    if (!secret) return needs_secret();
    cipher_ = std::make_unique<crypto::EncryptedIo>(TRY(aes_cipher(*secret)));
    return {};
  }
  const Extension* extension = header_.extension(kExtensionCrypto);
  if (extension == nullptr || extension->data.size() < 16)
    return fail(ErrorKind::Invalid, "Missing CRYPTO header for crypt method 2");
  luks_offset_ = load_be<uint64_t>(extension->data.data());
  luks_length_ = load_be<uint64_t>(extension->data.data() + 8);
  if (!is_aligned(luks_offset_, cluster_size_) || luks_offset_ == 0 || luks_length_ > kLargestLuksHeader ||
      !range_within(luks_offset_, luks_length_, file().size()))
    return fail(ErrorKind::Invalid, "Encryption header is outside of the image or not aligned");
  auto header = TRY(crypto::LuksHeader::read(file(), luks_offset_));
  if (header.payload_offset() > luks_length_)
    return fail(ErrorKind::Invalid, "Encryption header is larger than its place");
  luks_ = std::make_unique<crypto::LuksHeader>(std::move(header));
  if (flags_.only_look) return {};
  if (!secret) return needs_secret();
  TRY(luks_->unlock(file(), luks_offset_, *secret));
  cipher_ = std::make_unique<crypto::EncryptedIo>(TRY(luks_->cipher()));
  return {};
}

// A new image; nothing is in it yet.
Result<> Qcow2Image::create_encryption(const CreateValues& values) {
  const std::lock_guard lock(mutex_);
  if (header_.crypt_method == kMethodAes) {
    cipher_ = std::make_unique<crypto::EncryptedIo>(TRY(aes_cipher(values.text("encrypt.key-secret"))));
    return {};
  }
  luks_ = std::make_unique<crypto::LuksHeader>(TRY(crypto::LuksHeader::make(values, "encrypt.")));
  luks_length_ = luks_->payload_offset();
  const uint64_t bytes = align_down(luks_length_ + cluster_size_ - 1, cluster_size_);
  luks_offset_ = TRY(refcounts_.allocate(bytes >> header_.cluster_bits));
  TRY(file().write_zeroes(luks_offset_, bytes, ZeroMode::MayUnmap));
  TRY(luks_->write(file(), luks_offset_));
  refcounts_.protect(luks_offset_, luks_length_);
  TRY(refcounts_.write_back());
  std::vector<uint8_t> place(16);
  store_be(place.data(), luks_offset_);
  store_be(place.data() + 8, luks_length_);
  header_.set_extension(kExtensionCrypto, std::move(place));
  cipher_ = std::make_unique<crypto::EncryptedIo>(TRY(luks_->cipher()));
  return write_header();
}

Result<> Qcow2Image::amend_encryption(const CreateValues& values, bool force) {
  bool wanted = false;
  for (const auto& [name, value] : values.all()) wanted |= name.starts_with("encrypt.");
  if (!wanted) return {};
  if (!luks_)
    return fail(ErrorKind::Invalid, "Only LUKS encryption options can be amended for qcow2 with amend");
  return luks_->amend(file(), luks_offset_, values, "encrypt.", force);
}

Result<> Qcow2Image::read_data(uint64_t host, uint64_t guest, std::span<uint8_t> into) {
  if (!encrypted()) return data_node().read(host, into);
  if (!cipher_) return needs_secret();
  return cipher_->read(data_node(), host, luks_ ? host : guest, into);
}

Result<> Qcow2Image::write_data(uint64_t host, uint64_t guest, std::span<const uint8_t> from) {
  if (!encrypted()) return data_node().write(host, from);
  if (!cipher_) return needs_secret();
  return cipher_->write(data_node(), host, luks_ ? host : guest, from);
}

Value::Dict Qcow2Image::encryption_value() const {
  if (luks_) return luks_->info("luks");
  Value::Dict out;
  out.emplace_back("format", "aes");
  return out;
}

}  // namespace rhea::block::qcow2
