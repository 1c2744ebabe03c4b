#include "block/crypto/luks_header.h"

#include <algorithm>
#include <cstring>

#include "base/endian.h"
#include "base/failf.h"

namespace rhea::block::crypto {
namespace {

constexpr std::array<uint8_t, 6> kMagic = {'L', 'U', 'K', 'S', 0xba, 0xbe};
constexpr size_t kHeaderBytes = 592;
constexpr size_t kSlotsAt = 208;
constexpr size_t kSlotBytes = 48;
constexpr uint32_t kActive = 0x00ac71f3;
constexpr uint32_t kInactive = 0x0000dead;

std::unexpected<Error> invalid(std::string text) {
  return fail(ErrorKind::Invalid, std::move(text));
}

std::string text_at(std::span<const uint8_t> bytes, size_t at, size_t length) {
  const auto field = bytes.subspan(at, length);
  return {field.begin(), std::ranges::find(field, uint8_t{0})};
}

void put_text(std::span<uint8_t> bytes, size_t at, std::string_view text) {
  std::ranges::copy(text, bytes.begin() + static_cast<std::ptrdiff_t>(at));
}

}  // namespace

bool LuksHeader::looks_like(std::span<const uint8_t> head) {
  return head.size() >= 8 && std::ranges::equal(head.first(kMagic.size()), kMagic) &&
         load_be<uint16_t>(&head[6]) == 1;
}

Result<LuksHeader> LuksHeader::read(BlockNode& file, uint64_t base) {
  Bytes raw(kHeaderBytes);
  TRY_IN(file.read(base, raw), "Unable to read LUKS header");
  if (!std::ranges::equal(std::span(raw).first(kMagic.size()), kMagic))
    return invalid("Volume is not in LUKS format");
  if (const uint16_t version = load_be<uint16_t>(&raw[6]); version != 1)
    return failf(ErrorKind::Unsupported, "LUKS version {} is not supported", version);
  LuksHeader out;
  out.cipher_ = text_at(raw, 8, 32);
  out.mode_ = text_at(raw, 40, 32);
  out.hash_ = text_at(raw, 72, 32);
  out.payload_sector_ = load_be<uint32_t>(&raw[104]);
  out.key_bytes_ = load_be<uint32_t>(&raw[108]);
  std::memcpy(out.digest_.data(), &raw[112], out.digest_.size());
  std::memcpy(out.digest_salt_.data(), &raw[132], out.digest_salt_.size());
  out.digest_iterations_ = load_be<uint32_t>(&raw[164]);
  out.uuid_ = text_at(raw, 168, 40);
  for (size_t i = 0; i < out.slots_.size(); ++i) {
    const uint8_t* at = &raw[kSlotsAt + i * kSlotBytes];
    KeySlot& slot = out.slots_[i];
    const uint32_t state = load_be<uint32_t>(at);
    if (state != kActive && state != kInactive)
      return failf(ErrorKind::Invalid, "Keyslot {} state corrupted", i);
    slot.active = state == kActive;
    slot.iterations = load_be<uint32_t>(at + 4);
    std::memcpy(slot.salt.data(), at + 8, slot.salt.size());
    slot.offset = load_be<uint32_t>(at + 40);
    slot.stripes = load_be<uint32_t>(at + 44);
  }
  TRY(out.check());
  return out;
}

Result<> LuksHeader::check() const {
  if (cipher_ != "aes") return failf(ErrorKind::Unsupported, "Cipher '{}' is not supported", cipher_);
  if (key_bytes_ == 0 || key_bytes_ > 64)
    return failf(ErrorKind::Invalid, "LUKS key of {} bytes", key_bytes_);
  if (digest_iterations_ == 0 || digest_iterations_ > kMostIterations)
    return invalid("LUKS key digest iteration count is invalid");
  for (size_t i = 0; i < slots_.size(); ++i) {
    const KeySlot& slot = slots_[i];
    if (!slot.active) continue;
    if (slot.stripes != kStripes)
      return failf(ErrorKind::Invalid, "Keyslot {} is corrupted (stripes {} != {})", i, slot.stripes,
                   kStripes);
    if (slot.iterations == 0 || slot.iterations > kMostIterations)
      return failf(ErrorKind::Invalid, "Keyslot {} iteration count is invalid", i);
    const uint64_t end = uint64_t{slot.offset} + (uint64_t{key_bytes_} * kStripes + 511) / 512;
    if (slot.offset < 2 || (payload_sector_ != 0 && end > payload_sector_))
      return failf(ErrorKind::Invalid, "Keyslot {} is overlapping with the encrypted payload", i);
  }
  return {};
}

Result<> LuksHeader::write_header(BlockNode& file, uint64_t base) const {
  Bytes raw(kHeaderBytes);
  std::ranges::copy(kMagic, raw.begin());
  store_be(&raw[6], uint16_t{1});
  put_text(raw, 8, cipher_);
  put_text(raw, 40, mode_);
  put_text(raw, 72, hash_);
  store_be(&raw[104], payload_sector_);
  store_be(&raw[108], key_bytes_);
  std::memcpy(&raw[112], digest_.data(), digest_.size());
  std::memcpy(&raw[132], digest_salt_.data(), digest_salt_.size());
  store_be(&raw[164], digest_iterations_);
  put_text(raw, 168, uuid_);
  for (size_t i = 0; i < slots_.size(); ++i) {
    uint8_t* at = &raw[kSlotsAt + i * kSlotBytes];
    store_be(at, slots_[i].active ? kActive : kInactive);
    store_be(at + 4, slots_[i].iterations);
    std::memcpy(at + 8, slots_[i].salt.data(), slots_[i].salt.size());
    store_be(at + 40, slots_[i].offset);
    store_be(at + 44, slots_[i].stripes);
  }
  return file.write(base, raw);
}

Value::Dict LuksHeader::info(const std::string& inside) const {
  const size_t dash = mode_.find('-');
  const std::string chaining = mode_.substr(0, dash);
  const std::string vector = dash == std::string::npos ? "" : mode_.substr(dash + 1);
  const size_t colon = vector.find(':');
  Value::Dict out;
  out.emplace_back("ivgen-alg", vector.substr(0, colon));
  out.emplace_back("hash-alg", hash_);
  out.emplace_back("cipher-alg", fmt::format("{}-{}", cipher_, key_bytes_ * (chaining == "xts" ? 4 : 8)));
  out.emplace_back("uuid", uuid_);
  // To the other generators a hash may be given, but means nothing.
  if (vector.starts_with("essiv:")) out.emplace_back("ivgen-hash-alg", vector.substr(colon + 1));
  if (!inside.empty()) out.emplace_back("format", inside);
  out.emplace_back("cipher-mode", chaining);
  Value::List slots;
  for (const KeySlot& slot : slots_) {
    Value::Dict facts;
    facts.emplace_back("active", slot.active);
    if (slot.active) facts.emplace_back("iters", slot.iterations);
    facts.emplace_back("key-offset", uint64_t{slot.offset} * 512);
    if (slot.active) facts.emplace_back("stripes", slot.stripes);
    slots.emplace_back(std::move(facts));
  }
  out.emplace_back("slots", std::move(slots));
  out.emplace_back("payload-offset", payload_offset());
  out.emplace_back("master-key-iters", digest_iterations_);
  return out;
}

}  // namespace rhea::block::crypto
