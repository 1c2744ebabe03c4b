// The cache must say what the decoder says, whatever the bytes.
#include "engine/dbt/decode_cache.h"

#include <gtest/gtest.h>

#include <random>

namespace rhea::dbt {
namespace {

constexpr unsigned kBytes = 64;

class Bytes {
 public:
  explicit Bytes(uint32_t seed) : random_(seed) {}

  // A few prefixes, REX or VEX, one of the opcode maps, and then anything.
  void instruction(unsigned code_bits) {
    n_ = 0;
    while (chance(3)) put(kPrefixes[next() % std::size(kPrefixes)]);
    if (code_bits == 64 && chance(2)) put(0x40 | next() % 16);
    switch (next() % 8) {
      case 0: put(0xc5), put(next()), put(next()); break;
      case 1: put(0xc4), put((next() & 0xe0) | (1 + next() % 3)), put(next()), put(next()); break;
      case 2: put(0x0f), put(next()); break;
      case 3: put(0x0f), put(chance(2) ? 0x38 : 0x3a), put(next()); break;
      default: put(next()); break;
    }
    put(next());
    put(next());
    values();
  }
  // The same instruction, most likely, with other values.
  void values() {
    for (unsigned n = n_; n < kBytes; ++n) at[n] = chance(4) ? 0 : static_cast<uint8_t>(next());
  }
  uint32_t next() { return static_cast<uint32_t>(random_()); }
  bool chance(unsigned of) { return next() % of == 0; }

  uint8_t at[kBytes];

 private:
  static constexpr uint8_t kPrefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
                                          0x66, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
  void put(uint32_t v) { at[n_++] = static_cast<uint8_t>(v); }
  std::mt19937 random_;
  unsigned n_ = 0;
};

void compare(DecodeCache& cache, const uint8_t* bytes, size_t available, unsigned code_bits) {
  Insn expected{}, got{};
  DecodeStatus wanted = decode(bytes, available, code_bits, 5, expected);
  ASSERT_EQ(cache.decode(bytes, available, code_bits, 5, got), wanted);
  if (wanted == DecodeStatus::Ok) {
    std::string text;
    for (unsigned n = 0; n < expected.length; ++n) text += " " + std::to_string(bytes[n]);
    ASSERT_TRUE(expected == got) << code_bits << " bits:" << text;
  }
}

TEST(DecodeCache, equals_the_decoder_on_random_bytes) {
  Bytes bytes(1);
  DecodeCache cache;
  for (unsigned n = 0; n < 300000; ++n) {
    unsigned code_bits = 16u << n % 3;
    bytes.instruction(code_bits);
    for (unsigned again = 0; again < 3; ++again) {
      compare(cache, bytes.at, kBytes, code_bits);
      if (HasFatalFailure()) return;
      bytes.values();
    }
  }
}

TEST(DecodeCache, instruction_that_the_page_cuts_off_needs_more) {
  DecodeCache cache;
  uint8_t code[kBytes] = {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8};  // mov rax, imm64
  compare(cache, code, kBytes, 64);
  for (size_t available = 1; available < 16; ++available) compare(cache, code, available, 64);
}

TEST(DecodeCache, count_of_zero_writes_no_flags) {
  DecodeCache cache;
  uint8_t code[kBytes] = {0xc1, 0xe0, 0};  // shl eax, imm8
  for (unsigned count : {0u, 1u, 0u, 32u, 33u}) {
    code[2] = static_cast<uint8_t>(count);
    compare(cache, code, kBytes, 32);
  }
}

}  // namespace
}  // namespace rhea::dbt
