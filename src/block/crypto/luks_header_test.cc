#include "block/crypto/luks_header.h"

#include <gtest/gtest.h>

#include "block/crypto/encrypted_io.h"
#include "block/secrets.h"
#include "block/testing/memory_node.h"

namespace rhea::block::crypto {
namespace {

constexpr uint64_t kBase = 4096;

void put_secrets() {
  ASSERT_TRUE(add_secret("right", {{"data", "abc"}}));
  ASSERT_TRUE(add_secret("wrong", {{"data", "abd"}}));
}

LuksHeader make_header(BlockNode& file) {
  CreateValues values;
  values.put("key-secret", "right");
  values.put("iter-time", "1");
  values.put("cipher-alg", "aes-128");
  auto header = LuksHeader::make(values, "");
  EXPECT_TRUE(header) << header.error().message();
  EXPECT_TRUE(header->write(file, kBase));
  return *std::move(header);
}

TEST(luks_header, opens_with_the_password_it_was_made_with) {
  put_secrets();
  MemoryNode file({});
  LuksHeader made = make_header(file);
  auto header = LuksHeader::read(file, kBase);
  ASSERT_TRUE(header) << header.error().message();
  EXPECT_EQ(header->payload_offset(), made.payload_offset());
  const auto refused = header->unlock(file, kBase, "wrong");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "Invalid password, cannot unlock any keyslot");
  ASSERT_TRUE(header->unlock(file, kBase, "right"));
  Bytes sectors(1024, 7);
  ASSERT_TRUE((*made.cipher())->encrypt(5, sectors));
  EXPECT_NE(sectors, Bytes(1024, 7));
  ASSERT_TRUE((*header->cipher())->decrypt(5, sectors));
  EXPECT_EQ(sectors, Bytes(1024, 7));
}

TEST(luks_header, no_changed_byte_does_harm) {
  put_secrets();
  MemoryNode file({});
  make_header(file);
  Bytes good(592);
  ASSERT_TRUE(file.read(kBase, good));
  for (size_t at = 0; at < 256; ++at) {
    for (const uint8_t value : {uint8_t{0}, uint8_t{0x7f}, uint8_t{0xff}}) {
      Bytes bad = good;
      bad[at] = value;
      // Large counts of iterations are only slow.
      if ((at >= 164 && at < 168) || (at >= 212 && at < 216)) continue;
      ASSERT_TRUE(file.write(kBase, bad));
      auto header = LuksHeader::read(file, kBase);
      if (header && at % 8 == 0) (void)header->unlock(file, kBase, "right");
    }
  }
}

TEST(luks_header, the_last_password_stays_unless_forced) {
  put_secrets();
  MemoryNode file({});
  LuksHeader header = make_header(file);
  CreateValues values;
  values.put("state", "inactive");
  values.put("old-secret", "right");
  EXPECT_FALSE(header.amend(file, kBase, values, "", false));
  EXPECT_TRUE(header.unlock(file, kBase, "right"));
  EXPECT_TRUE(header.amend(file, kBase, values, "", true));
  EXPECT_FALSE(header.unlock(file, kBase, "right"));
}

TEST(encrypted_io, parts_of_sectors_keep_what_is_around_them) {
  put_secrets();
  MemoryNode file({});
  EncryptedIo io(*make_header(file).cipher());
  const uint64_t place = uint64_t{4} << 20;
  Bytes all(5000, 1);
  ASSERT_TRUE(io.write(file, place, 0, std::span(all).first(4608)));
  const Bytes piece(2000, 2);
  ASSERT_TRUE(io.write(file, place + 300, 300, piece));
  std::copy(piece.begin(), piece.end(), all.begin() + 300);
  Bytes back(4000);
  ASSERT_TRUE(io.read(file, place + 100, 100, back));
  EXPECT_TRUE(std::equal(back.begin(), back.end(), all.begin() + 100));
}

}  // namespace
}  // namespace rhea::block::crypto
