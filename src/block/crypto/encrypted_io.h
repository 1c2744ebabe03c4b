// Reading and writing what lies encrypted in a node, at any alignment: the ends of a write that are not whole
// sectors are read, changed and written back. Any thread.
#pragma once

#include <memory>
#include <mutex>

#include "block/crypto/library.h"
#include "block/node.h"

namespace rhea::block::crypto {

class EncryptedIo {
 public:
  explicit EncryptedIo(std::unique_ptr<SectorCipher> cipher) : cipher_(std::move(cipher)) {}

  // The bytes lie at `place` of `below`. Their sectors are numbered as if the first byte were at `number_at`;
  // the two differ by whole sectors.
  Result<> read(BlockNode& below, uint64_t place, uint64_t number_at, std::span<uint8_t> into);
  Result<> write(BlockNode& below, uint64_t place, uint64_t number_at, std::span<const uint8_t> from);

 private:
  Result<> write_sectors(BlockNode& below, uint64_t place, uint64_t number_at, std::span<const uint8_t> from);

  std::unique_ptr<SectorCipher> cipher_;
  std::mutex edges_;  // for sectors that are written in part
};

}  // namespace rhea::block::crypto
