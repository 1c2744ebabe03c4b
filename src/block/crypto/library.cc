#include "block/crypto/library.h"

#include <dlfcn.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/endian.h"
#include "base/failf.h"

namespace rhea::block::crypto {
namespace {

constexpr size_t kSector = 512;

// The functions used, with the prototypes of openssl/evp.h (OpenSSL 3.0).
struct Functions {
  void* (*cipher_ctx_new)();
  void (*cipher_ctx_free)(void*);
  int (*cipher_init)(void*, const void* cipher, void* engine, const uint8_t* key, const uint8_t* iv,
                     int encrypt);
  int (*cipher_update)(void*, uint8_t* out, int* out_length, const uint8_t* in, int length);
  int (*set_padding)(void*, int);
  const void* (*cipher_by_name)(const char*);
  const void* (*digest_by_name)(const char*);
  int (*digest)(const void* data, size_t length, uint8_t* out, unsigned* out_length, const void* type,
                void* engine);
  int (*pbkdf2)(const char* password, int password_length, const uint8_t* salt, int salt_length,
                int iterations, const void* type, int length, uint8_t* out);
};

template <class F>
bool find(void* library, const char* name, F& function) {
  // SAFETY: dlsym's way to give a function; the prototype is the library's documented one.
  function = reinterpret_cast<F>(::dlsym(library, name));
  return function != nullptr;
}

Result<Functions> load() {
  void* library = ::dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return failf(ErrorKind::Unsupported, "encrypted images need libcrypto (package libssl3): {}",
                 ::dlerror());
  Functions f{};
  const bool complete = find(library, "EVP_CIPHER_CTX_new", f.cipher_ctx_new) &&
                        find(library, "EVP_CIPHER_CTX_free", f.cipher_ctx_free) &&
                        find(library, "EVP_CipherInit_ex", f.cipher_init) &&
                        find(library, "EVP_CipherUpdate", f.cipher_update) &&
                        find(library, "EVP_CIPHER_CTX_set_padding", f.set_padding) &&
                        find(library, "EVP_get_cipherbyname", f.cipher_by_name) &&
                        find(library, "EVP_get_digestbyname", f.digest_by_name) &&
                        find(library, "EVP_Digest", f.digest) && find(library, "PKCS5_PBKDF2_HMAC", f.pbkdf2);
  if (!complete) return fail(ErrorKind::Unsupported, "libcrypto.so.3 lacks a function that is needed");
  return f;
}

Result<const Functions*> functions() {
  static const Result<Functions> loaded = load();
  if (!loaded) return std::unexpected(loaded.error());
  return &*loaded;
}

Result<const void*> digest_type(const Functions& f, std::string_view hash) {
  const void* type = digest_size(hash) != 0 ? f.digest_by_name(std::string(hash).c_str()) : nullptr;
  if (type == nullptr) return failf(ErrorKind::Unsupported, "Hash algorithm '{}' is not supported", hash);
  return type;
}

// What IEEE 1619 (XTS) adds to each block before and after AES: the tweak, doubled from block to block.
void add_tweaks(std::array<uint8_t, 16> tweak, std::span<uint8_t> data) {
  for (size_t at = 0; at + 16 <= data.size(); at += 16) {
    for (size_t i = 0; i < 16; ++i) data[at + i] ^= tweak[i];
    unsigned carry = 0;
    for (uint8_t& byte : tweak) {
      const unsigned doubled = unsigned{byte} << 1 | carry;
      byte = static_cast<uint8_t>(doubled);
      carry = doubled >> 8;
    }
    if (carry != 0) tweak[0] ^= 0x87;
  }
}

}  // namespace

size_t digest_size(std::string_view hash) {
  struct Known {
    std::string_view name;
    size_t size;
  };
  for (const Known& one : {Known{"sha1", 20}, Known{"sha224", 28}, Known{"sha256", 32}, Known{"sha384", 48},
                           Known{"sha512", 64}, Known{"ripemd160", 20}}) {
    if (one.name == hash) return one.size;
  }
  return 0;
}

Result<Bytes> digest(std::string_view hash, std::span<const uint8_t> data) {
  const Functions& f = *TRY(functions());
  const void* type = TRY(digest_type(f, hash));
  Bytes out(64);
  unsigned length = 0;
  if (f.digest(data.data(), data.size(), out.data(), &length, type, nullptr) != 1)
    return fail(ErrorKind::Io, "libcrypto cannot hash");
  out.resize(length);
  return out;
}

Result<> pbkdf2(std::string_view hash, std::span<const uint8_t> password, std::span<const uint8_t> salt,
                uint32_t iterations, std::span<uint8_t> out) {
  const Functions& f = *TRY(functions());
  const void* type = TRY(digest_type(f, hash));
  // SAFETY: bytes as characters.
  const auto* text = reinterpret_cast<const char*>(password.data());
  if (f.pbkdf2(text, static_cast<int>(password.size()), salt.data(), static_cast<int>(salt.size()),
               static_cast<int>(iterations), type, static_cast<int>(out.size()), out.data()) != 1)
    return fail(ErrorKind::Io, "libcrypto cannot derive a key");
  return {};
}

Result<> random_bytes(std::span<uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = ::getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail(ErrorKind::Io, "no random bytes from the host");
    out = out.subspan(static_cast<size_t>(got));
  }
  return {};
}

Result<std::unique_ptr<SectorCipher>> SectorCipher::make(std::string_view mode,
                                                         std::span<const uint8_t> key) {
  const Functions& f = *TRY(functions());
  const size_t dash = mode.find('-');
  const std::string_view chaining = mode.substr(0, dash);
  const std::string_view vector = dash == std::string_view::npos ? "" : mode.substr(dash + 1);
  std::unique_ptr<SectorCipher> out(new SectorCipher);
  if (chaining == "xts" || chaining == "cbc") {
    const size_t bits = key.size() * (chaining == "xts" ? 4 : 8);
    out->own_xts_ = chaining == "xts" && bits == 192;
    const std::string_view name = out->own_xts_ ? "ecb" : chaining;
    out->cipher_ = f.cipher_by_name(fmt::format("aes-{}-{}", bits, name).c_str());
  }
  const bool essiv = vector == "essiv:sha256";
  const std::string_view generator = vector.substr(0, vector.find(':'));  // of the others a hash says nothing
  if (out->cipher_ == nullptr || (generator != "plain" && generator != "plain64" && !essiv))
    return failf(ErrorKind::Unsupported, "Cipher aes-{} with a key of {} bytes is not supported", mode,
                 key.size());
  out->key_.assign(key.begin(), key.end());
  out->short_ = generator == "plain";
  if (out->own_xts_ && essiv)
    return failf(ErrorKind::Unsupported, "Cipher aes-192 in the mode {} is not supported", mode);
  if (essiv) out->vector_key_ = TRY(digest("sha256", key));
  if (out->own_xts_) {
    out->vector_key_.assign(key.begin() + 24, key.end());
    out->key_.resize(24);
  }
  return out;
}

SectorCipher::~SectorCipher() {
  for (Contexts& contexts : idle_) drop(contexts);
  std::ranges::fill(key_, uint8_t{0});
}

void SectorCipher::drop(Contexts& contexts) {
  const auto f = functions();
  if (!f) return;
  for (void* context : {contexts.encrypt, contexts.decrypt, contexts.vector}) {
    if (context != nullptr) (*f)->cipher_ctx_free(context);
  }
}

Result<SectorCipher::Contexts> SectorCipher::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      const Contexts out = idle_.back();
      idle_.pop_back();
      return out;
    }
  }
  const Functions& f = *TRY(functions());
  Contexts out{.encrypt = f.cipher_ctx_new(), .decrypt = f.cipher_ctx_new(), .vector = f.cipher_ctx_new()};
  const void* plain = f.cipher_by_name(vector_cipher());
  const bool good =
      f.cipher_init(out.encrypt, cipher_, nullptr, key_.data(), nullptr, 1) == 1 &&
      f.cipher_init(out.decrypt, cipher_, nullptr, key_.data(), nullptr, 0) == 1 &&
      (vector_key_.empty() || f.cipher_init(out.vector, plain, nullptr, vector_key_.data(), nullptr, 1) == 1);
  if (!good) {
    drop(out);
    return fail(ErrorKind::Io, "libcrypto refuses the key");
  }
  f.set_padding(out.encrypt, 0);
  f.set_padding(out.decrypt, 0);
  if (!vector_key_.empty()) f.set_padding(out.vector, 0);
  return out;
}

Result<> SectorCipher::run(bool encrypting, uint64_t sector, std::span<uint8_t> data) {
  const Functions& f = *TRY(functions());
  Contexts contexts = TRY(take());
  void* context = encrypting ? contexts.encrypt : contexts.decrypt;
  bool good = true;
  for (; !data.empty() && good; ++sector) {
    const auto part = data.first(std::min(data.size(), kSector));
    std::array<uint8_t, 16> vector{};
    store_le(vector.data(), short_ ? sector & UINT32_MAX : sector);
    int length = 0;
    if (!vector_key_.empty())
      good = f.cipher_update(contexts.vector, vector.data(), &length, vector.data(), 16) == 1;
    if (own_xts_) add_tweaks(vector, part);
    good = good &&
           f.cipher_init(context, nullptr, nullptr, nullptr, vector.data(), encrypting ? 1 : 0) == 1 &&
           f.cipher_update(context, part.data(), &length, part.data(), static_cast<int>(part.size())) == 1 &&
           static_cast<size_t>(length) == part.size();
    if (own_xts_) add_tweaks(vector, part);
    data = data.subspan(part.size());
  }
  const std::lock_guard lock(mutex_);
  idle_.push_back(contexts);
  if (!good) return fail(ErrorKind::Io, "libcrypto cannot encrypt or decrypt a sector");
  return {};
}

}  // namespace rhea::block::crypto
