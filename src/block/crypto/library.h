// Hashes, key derivation and sector ciphers of OpenSSL's libcrypto (Debian's libssl3), which is loaded when
// the first encrypted image needs it. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rhea::block::crypto {

using Bytes = std::vector<uint8_t>;

// `hash` is "sha1", "sha224", "sha256", "sha384", "sha512" or "ripemd160"; 0: is none of them.
size_t digest_size(std::string_view hash);
Result<Bytes> digest(std::string_view hash, std::span<const uint8_t> data);
Result<> pbkdf2(std::string_view hash, std::span<const uint8_t> password, std::span<const uint8_t> salt,
                uint32_t iterations, std::span<uint8_t> out);
Result<> random_bytes(std::span<uint8_t> out);

// AES over sectors of 512 bytes, each with an initial vector made of its number.
class SectorCipher {
 public:
  // `mode` as LUKS spells it: "xts-plain64", "cbc-plain", "cbc-essiv:sha256", ...
  static Result<std::unique_ptr<SectorCipher>> make(std::string_view mode, std::span<const uint8_t> key);
  ~SectorCipher();
  SectorCipher(const SectorCipher&) = delete;
  SectorCipher& operator=(const SectorCipher&) = delete;

  // In place; the first byte is the first of `sector`.
  Result<> encrypt(uint64_t sector, std::span<uint8_t> data) { return run(true, sector, data); }
  Result<> decrypt(uint64_t sector, std::span<uint8_t> data) { return run(false, sector, data); }

 private:
  struct Contexts {
    void* encrypt = nullptr;
    void* decrypt = nullptr;
    void* vector = nullptr;  // essiv, and the tweak of our own XTS
  };
  SectorCipher() = default;
  Result<> run(bool encrypting, uint64_t sector, std::span<uint8_t> data);
  Result<Contexts> take();
  static void drop(Contexts& contexts);
  const char* vector_cipher() const { return own_xts_ ? "aes-192-ecb" : "aes-256-ecb"; }

  const void* cipher_ = nullptr;
  Bytes key_;
  Bytes vector_key_;      // essiv, and the tweak of our own XTS
  bool own_xts_ = false;  // with 192 bits, which libcrypto has not: made of its ECB
  bool short_ = false;    // plain: 32 bits of the number
  std::mutex mutex_;
  std::vector<Contexts> idle_;  // for as many threads as ever worked at once
};

}  // namespace rhea::block::crypto
