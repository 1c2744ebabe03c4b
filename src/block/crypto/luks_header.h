// The LUKS1 header (LUKS On-Disk Format Specification 1.2.3): cipher, eight key slots, each with the master
// key under a password. Files: luks_header.cc the bytes, luks_keys.cc passwords and keys. Missing: LUKS2,
// ciphers other than AES, which are refused by name. One thread.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "block/create_options.h"
#include "block/crypto/library.h"
#include "block/node.h"
#include "block/value.h"

namespace rhea::block::crypto {

inline constexpr uint32_t kStripes = 4000;
inline constexpr uint32_t kLeastIterations = 1000;
inline constexpr uint32_t kMostIterations =
    1u << 26;  // half a minute of work: nobody asks for that but to stop us

struct KeySlot {
  bool active = false;
  uint32_t iterations = 0;
  std::array<uint8_t, 32> salt{};
  uint32_t offset = 0;  // of the key material, in sectors
  uint32_t stripes = 0;
};

class LuksHeader {
 public:
  static bool looks_like(std::span<const uint8_t> head);
  // The header begins at `base` of `file`.
  static Result<LuksHeader> read(BlockNode& file, uint64_t base);
  // A new one with a random key, by the options of the format "luks", each behind `prefix`.
  static Result<LuksHeader> make(const CreateValues& values, const std::string& prefix);
  // Of what make() would make; derives no key.
  static Result<uint64_t> payload_offset_of(const CreateValues& values, const std::string& prefix);
  // What make() made: the key material of its only slot, then the header.
  Result<> write(BlockNode& file, uint64_t base) const;

  // Finds the master key under the password of the secret of that name.
  Result<> unlock(BlockNode& file, uint64_t base, const std::string& secret_id);
  // After unlock() or make().
  Result<std::unique_ptr<SectorCipher>> cipher() const { return SectorCipher::make(mode_, key_); }
  // Adds or erases passwords; after unlock(). `force`: the last one too, after which nothing opens the image.
  Result<> amend(BlockNode& file, uint64_t base, const CreateValues& values, const std::string& prefix,
                 bool force);

  uint64_t payload_offset() const { return uint64_t{payload_sector_} * 512; }
  // What `info` says; `inside`: of the format that the header is a part of.
  Value::Dict info(const std::string& inside) const;

 private:
  Result<> set_cipher(const CreateValues& values, const std::string& prefix);
  Result<> check() const;
  // The key slot's new material for that password; the slot is set to be active.
  Result<Bytes> fill_slot(KeySlot& slot, std::span<const uint8_t> password, uint64_t milliseconds) const;
  // The master key that the slot holds under that password; empty: another one.
  Result<Bytes> open_slot(BlockNode& file, uint64_t base, const KeySlot& slot,
                          std::span<const uint8_t> password) const;
  Result<> diffuse(std::span<uint8_t> block) const;
  Result<size_t> slot_to_fill(const CreateValues& values, const std::string& prefix) const;
  Result<> add_password(BlockNode& file, uint64_t base, const CreateValues& values,
                        const std::string& prefix);
  Result<> erase_passwords(BlockNode& file, uint64_t base, const CreateValues& values,
                           const std::string& prefix, bool force);
  Result<> erase_slot(BlockNode& file, uint64_t base, KeySlot& slot);
  Result<> write_header(BlockNode& file, uint64_t base) const;
  size_t active_slots() const;

  std::string cipher_ = "aes";
  std::string mode_ = "xts-plain64";
  std::string hash_ = "sha256";
  uint32_t payload_sector_ = 0;
  uint32_t key_bytes_ = 64;
  std::array<uint8_t, 20> digest_{};
  std::array<uint8_t, 32> digest_salt_{};
  uint32_t digest_iterations_ = 0;
  std::string uuid_;
  std::array<KeySlot, 8> slots_;
  Bytes key_;       // the master key, once it is known
  Bytes material_;  // of slot 0 of a header that was just made
};

}  // namespace rhea::block::crypto
