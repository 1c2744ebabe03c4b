#include "block/crypto/encrypted_io.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"

namespace rhea::block::crypto {
namespace {

constexpr uint64_t kSector = 512;
constexpr uint64_t kPiece = uint64_t{1} << 20;

}  // namespace

Result<> EncryptedIo::read(BlockNode& below, uint64_t place, uint64_t number_at, std::span<uint8_t> into) {
  if (into.empty()) return {};
  if (is_aligned(place, kSector) && is_aligned(into.size(), kSector)) {
    TRY(below.read(place, into));
    return cipher_->decrypt(number_at / kSector, into);
  }
  const uint64_t before = place % kSector;
  const uint64_t length = align_down(before + into.size() + kSector - 1, kSector);
  Bytes sectors(static_cast<size_t>(length));
  TRY(below.read(place - before, sectors));
  TRY(cipher_->decrypt(number_at / kSector, sectors));
  std::memcpy(into.data(), sectors.data() + before, into.size());
  return {};
}

Result<> EncryptedIo::write_sectors(BlockNode& below, uint64_t place, uint64_t number_at,
                                    std::span<const uint8_t> from) {
  Bytes sectors;
  while (!from.empty()) {
    const auto part = from.first(static_cast<size_t>(std::min<uint64_t>(from.size(), kPiece)));
    sectors.assign(part.begin(), part.end());
    TRY(cipher_->encrypt(number_at / kSector, sectors));
    TRY(below.write(place, sectors));
    place += part.size();
    number_at += part.size();
    from = from.subspan(part.size());
  }
  return {};
}

Result<> EncryptedIo::write(BlockNode& below, uint64_t place, uint64_t number_at,
                            std::span<const uint8_t> from) {
  if (from.empty()) return {};
  if (is_aligned(place, kSector) && is_aligned(from.size(), kSector))
    return write_sectors(below, place, number_at, from);
  const std::lock_guard lock(edges_);
  const uint64_t before = place % kSector;
  const uint64_t length = align_down(before + from.size() + kSector - 1, kSector);
  Bytes sectors(static_cast<size_t>(length));
  const uint64_t tail = length - kSector;
  TRY(read(below, place - before, number_at - before, std::span(sectors).first(kSector)));
  if (tail != 0)
    TRY(read(below, place - before + tail, number_at - before + tail, std::span(sectors).last(kSector)));
  std::memcpy(sectors.data() + before, from.data(), from.size());
  return write_sectors(below, place - before, number_at - before, sectors);
}

}  // namespace rhea::block::crypto
