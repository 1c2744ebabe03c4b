// Passwords and keys of a LUKS1 header: chapters 2.4 (anti-forensic splitter), 4 (operations).
#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/endian.h"
#include "base/failf.h"
#include "block/crypto/luks_header.h"
#include "block/formats/uuid.h"
#include "block/secrets.h"

namespace rhea::block::crypto {
namespace {

constexpr uint32_t kAlignSectors = 8;
constexpr uint64_t kDefaultMilliseconds = 2000;
constexpr unsigned kEraseRounds = 8;

std::unexpected<Error> invalid(std::string text) {
  return fail(ErrorKind::Invalid, std::move(text));
}

std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};  // SAFETY: characters as bytes
}

uint32_t slot_sectors(uint32_t key_bytes) {
  const uint32_t sectors = (key_bytes * kStripes + 511) / 512;
  return (sectors + kAlignSectors - 1) / kAlignSectors * kAlignSectors;
}

// Iterations of PBKDF2 that take so long here.
Result<uint32_t> iterations_for(const std::string& hash, size_t key_bytes, uint64_t milliseconds) {
  Bytes out(key_bytes);
  const Bytes salt(key_bytes);
  const double long_enough = std::clamp(static_cast<double>(milliseconds) / 8, 2.0, 20.0);
  for (uint32_t count = 1u << 10;; count *= 2) {
    const auto begin = std::chrono::steady_clock::now();
    TRY(pbkdf2(hash, bytes_of("password"), salt, count, out));
    const double took =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    if (took < long_enough && count < kMostIterations / 4) continue;
    const double wanted =
        static_cast<double>(count) * static_cast<double>(milliseconds) / std::max(took, 0.001);
    return static_cast<uint32_t>(
        std::clamp(wanted, double{kLeastIterations}, static_cast<double>(kMostIterations)));
  }
}

Result<> check_word(const CreateValues& values, const std::string& prefix, const char* name,
                    std::initializer_list<std::string_view> words) {
  if (!values.has(prefix + name)) return {};
  const std::string word = values.text(prefix + name);
  if (std::ranges::find(words, word) == words.end())
    return failf(ErrorKind::Invalid, "Parameter '{}' does not accept value '{}'", name, word);
  return {};
}

}  // namespace

size_t LuksHeader::active_slots() const {
  return static_cast<size_t>(std::ranges::count(slots_, true, &KeySlot::active));
}

// Hashes each piece with its number; specification 2.4, H1 to H2.
Result<> LuksHeader::diffuse(std::span<uint8_t> block) const {
  const size_t size = digest_size(hash_);
  if (size == 0) return failf(ErrorKind::Unsupported, "Hash algorithm '{}' is not supported", hash_);
  uint32_t number = 0;
  while (!block.empty()) {
    Bytes input(4);
    store_be(input.data(), number++);
    const auto part = block.first(std::min(block.size(), size));
    input.insert(input.end(), part.begin(), part.end());
    const Bytes hashed = TRY(digest(hash_, input));
    std::copy_n(hashed.begin(), part.size(), part.begin());
    block = block.subspan(part.size());
  }
  return {};
}

Result<Bytes> LuksHeader::open_slot(BlockNode& file, uint64_t base, const KeySlot& slot,
                                    std::span<const uint8_t> password) const {
  Bytes material(size_t{key_bytes_} * kStripes);
  TRY_IN(file.read(base + uint64_t{slot.offset} * 512, material), "Failed to read key material");
  Bytes slot_key(key_bytes_);
  TRY(pbkdf2(hash_, password, slot.salt, slot.iterations, slot_key));
  const auto slot_cipher = TRY(SectorCipher::make(mode_, slot_key));
  TRY(slot_cipher->decrypt(0, material));
  Bytes key(key_bytes_);
  for (uint32_t stripe = 0; stripe < kStripes; ++stripe) {
    if (stripe != 0) TRY(diffuse(key));
    for (size_t i = 0; i < key_bytes_; ++i) key[i] ^= material[size_t{stripe} * key_bytes_ + i];
  }
  std::array<uint8_t, 20> found{};
  TRY(pbkdf2(hash_, key, digest_salt_, digest_iterations_, found));
  if (found != digest_) key.clear();
  return key;
}

Result<> LuksHeader::unlock(BlockNode& file, uint64_t base, const std::string& secret_id) {
  const std::string password = TRY(password_of(secret_id));
  for (const KeySlot& slot : slots_) {
    if (!slot.active) continue;
    key_ = TRY(open_slot(file, base, slot, bytes_of(password)));
    if (!key_.empty()) return {};
  }
  return fail(ErrorKind::Permission, "Invalid password, cannot unlock any keyslot");
}

Result<Bytes> LuksHeader::fill_slot(KeySlot& slot, std::span<const uint8_t> password,
                                    uint64_t milliseconds) const {
  TRY(random_bytes(slot.salt));
  slot.iterations = TRY(iterations_for(hash_, key_bytes_, milliseconds));
  slot.stripes = kStripes;
  Bytes slot_key(key_bytes_);
  TRY(pbkdf2(hash_, password, slot.salt, slot.iterations, slot_key));
  Bytes material(size_t{key_bytes_} * kStripes);
  const auto last = std::span(material).last(key_bytes_);
  TRY(random_bytes(std::span(material).first(material.size() - key_bytes_)));
  Bytes mixed(key_bytes_);
  for (uint32_t stripe = 0; stripe + 1 < kStripes; ++stripe) {
    for (size_t i = 0; i < key_bytes_; ++i) mixed[i] ^= material[size_t{stripe} * key_bytes_ + i];
    TRY(diffuse(mixed));
  }
  for (size_t i = 0; i < key_bytes_; ++i) last[i] = mixed[i] ^ key_[i];
  const auto slot_cipher = TRY(SectorCipher::make(mode_, slot_key));
  TRY(slot_cipher->encrypt(0, material));
  slot.active = true;
  return material;
}

Result<> LuksHeader::set_cipher(const CreateValues& values, const std::string& prefix) {
  const auto value = [&](const char* name, const char* otherwise) {
    return values.text(prefix + name, otherwise);
  };
  TRY(check_word(values, prefix, "cipher-alg", {"aes-128", "aes-192", "aes-256"}));
  TRY(check_word(values, prefix, "cipher-mode", {"cbc", "xts"}));
  TRY(check_word(values, prefix, "ivgen-alg", {"plain", "plain64", "essiv"}));
  TRY(check_word(values, prefix, "ivgen-hash-alg", {"sha256"}));
  TRY(check_word(values, prefix, "hash-alg", {"sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160"}));
  const std::string algorithm = value("cipher-alg", "aes-256");
  const std::string chaining = value("cipher-mode", "xts");
  const uint32_t bits = algorithm == "aes-128" ? 128 : algorithm == "aes-192" ? 192 : 256;
  key_bytes_ = bits / 8 * (chaining == "xts" ? 2 : 1);
  const std::string vector = value("ivgen-alg", "plain64");
  mode_ = chaining + "-" + vector;
  if (vector == "essiv" || values.has(prefix + "ivgen-hash-alg"))
    mode_ += ":" + value("ivgen-hash-alg", "sha256");
  hash_ = value("hash-alg", "sha256");
  payload_sector_ = kAlignSectors + 8 * slot_sectors(key_bytes_);
  return {};
}

Result<uint64_t> LuksHeader::payload_offset_of(const CreateValues& values, const std::string& prefix) {
  if (!values.has(prefix + "key-secret"))
    return failf(ErrorKind::Invalid, "Parameter '{}key-secret' is required for cipher", prefix);
  LuksHeader out;
  TRY(out.set_cipher(values, prefix));
  return out.payload_offset();
}

Result<LuksHeader> LuksHeader::make(const CreateValues& values, const std::string& prefix) {
  if (!values.has(prefix + "key-secret"))
    return failf(ErrorKind::Invalid, "Parameter '{}key-secret' is required for cipher", prefix);
  const std::string password = TRY(password_of(values.text(prefix + "key-secret")));
  LuksHeader out;
  TRY(out.set_cipher(values, prefix));
  out.key_.resize(out.key_bytes_);
  TRY(random_bytes(out.key_));
  TRY(out.cipher());
  const uint64_t milliseconds = values.number(prefix + "iter-time", kDefaultMilliseconds);
  const Uuid uuid = TRY(random_uuid(std::endian::big));
  for (size_t i = 0; i < uuid.size(); ++i)
    out.uuid_ += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
  for (uint32_t i = 0; i < out.slots_.size(); ++i) {
    out.slots_[i].offset = kAlignSectors + i * slot_sectors(out.key_bytes_);
    out.slots_[i].stripes = kStripes;
  }
  TRY(random_bytes(out.digest_salt_));
  out.digest_iterations_ =
      std::max(kLeastIterations, TRY(iterations_for(out.hash_, out.digest_.size(), milliseconds)) / 8);
  TRY(pbkdf2(out.hash_, out.key_, out.digest_salt_, out.digest_iterations_, out.digest_));
  out.material_ = TRY(out.fill_slot(out.slots_[0], bytes_of(password), milliseconds));
  return out;
}

Result<> LuksHeader::write(BlockNode& file, uint64_t base) const {
  TRY(file.write(base + uint64_t{slots_[0].offset} * 512, material_));
  return write_header(file, base);
}

Result<> LuksHeader::amend(BlockNode& file, uint64_t base, const CreateValues& values,
                           const std::string& prefix, bool force) {
  TRY(check_word(values, prefix, "state", {"active", "inactive"}));
  if (!values.has(prefix + "state")) return invalid("Parameter 'state' is missing");
  const uint64_t last = slots_.size() - 1;
  if (const uint64_t slot = values.number(prefix + "keyslot", 0); slot > last)
    return failf(ErrorKind::Invalid, "Invalid keyslot {} specified, must be between 0 and {}", slot, last);
  if (values.text(prefix + "state") == "active") return add_password(file, base, values, prefix);
  return erase_passwords(file, base, values, prefix, force);
}

Result<size_t> LuksHeader::slot_to_fill(const CreateValues& values, const std::string& prefix) const {
  if (values.has(prefix + "keyslot")) {
    const auto slot = static_cast<size_t>(values.number(prefix + "keyslot", 0));
    if (slots_[slot].active)
      return failf(ErrorKind::Invalid, "Refusing to overwrite active keyslot {} - please erase it first",
                   slot);
    return slot;
  }
  const auto free = std::ranges::find(slots_, false, &KeySlot::active);
  if (free == slots_.end()) return invalid("Can't add a keyslot - all keyslots are in use");
  return static_cast<size_t>(free - slots_.begin());
}

Result<> LuksHeader::add_password(BlockNode& file, uint64_t base, const CreateValues& values,
                                  const std::string& prefix) {
  if (!values.has(prefix + "new-secret")) return invalid("'new-secret' is required to activate a keyslot");
  if (values.has(prefix + "old-secret"))
    return invalid("'old-secret' must not be given when activating keyslots");
  const size_t chosen = TRY(slot_to_fill(values, prefix));
  const std::string password = TRY(password_of(values.text(prefix + "new-secret")));
  KeySlot slot = slots_[chosen];
  // The place comes from the header and is written to: of an unused slot nobody has looked at it yet.
  slot.active = true;
  slot.stripes = kStripes;
  slot.iterations = 1;
  LuksHeader changed = *this;
  changed.slots_[chosen] = slot;
  TRY(changed.check());
  const Bytes material =
      TRY(fill_slot(slot, bytes_of(password), values.number(prefix + "iter-time", kDefaultMilliseconds)));
  TRY(file.write(base + uint64_t{slot.offset} * 512, material));
  TRY(file.flush());
  slots_[chosen] = slot;
  TRY(write_header(file, base));
  return file.flush();
}

Result<> LuksHeader::erase_slot(BlockNode& file, uint64_t base, KeySlot& slot) {
  slot.active = false;
  slot.iterations = 0;
  slot.salt = {};
  TRY(write_header(file, base));
  TRY(file.flush());
  Bytes noise(size_t{key_bytes_} * kStripes);
  for (unsigned round = 0; round < kEraseRounds; ++round) {
    TRY(random_bytes(noise));
    TRY(file.write(base + uint64_t{slot.offset} * 512, noise));
    TRY(file.flush());
  }
  return {};
}

Result<> LuksHeader::erase_passwords(BlockNode& file, uint64_t base, const CreateValues& values,
                                     const std::string& prefix, bool force) {
  for (const char* name : {"new-secret", "iter-time"}) {
    if (values.has(prefix + name))
      return failf(ErrorKind::Invalid, "'{}' must not be given when erasing keyslots", name);
  }
  const bool by_password = values.has(prefix + "old-secret");
  if (!by_password && !values.has(prefix + "keyslot"))
    return invalid(
        "To erase keyslot(s), either explicit keyslot index or the password currently contained in them must "
        "be "
        "given");
  const std::string password = by_password ? TRY(password_of(values.text(prefix + "old-secret"))) : "";
  const auto holds = [&](const KeySlot& slot) -> Result<bool> {
    return slot.active && !TRY(open_slot(file, base, slot, bytes_of(password))).empty();
  };
  if (values.has(prefix + "keyslot")) {
    const auto number = static_cast<size_t>(values.number(prefix + "keyslot", 0));
    KeySlot& slot = slots_[number];
    if (!slot.active)
      return failf(ErrorKind::Invalid, "Given keyslot {} is already erased (inactive) ", number);
    if (active_slots() == 1 && !force)
      return failf(ErrorKind::Invalid,
                   "Attempt to erase the only active keyslot {} which will erase all the data in the image "
                   "irreversibly - refusing operation",
                   number);
    if (by_password && !TRY(holds(slot)))
      return failf(ErrorKind::Invalid, "This keyslot {} doesn't contain the expected password", number);
    return erase_slot(file, base, slot);
  }
  std::vector<KeySlot*> found;
  for (KeySlot& slot : slots_) {
    if (TRY(holds(slot))) found.push_back(&slot);
  }
  if (found.empty()) return invalid("No keyslots match given (old) password for erase operation");
  if (found.size() == active_slots() && !force)
    return invalid(
        "All the active keyslots match the (old) password that was given and erasing them will erase all the "
        "data "
        "in the image irreversibly - refusing operation");
  for (KeySlot* slot : found) TRY(erase_slot(file, base, *slot));
  return {};
}

}  // namespace rhea::block::crypto
