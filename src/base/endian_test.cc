#include "base/endian.h"

#include <gtest/gtest.h>

#include <cstring>

namespace rhea {
namespace {

struct Header {
  be32 magic;
  le16 version;
  be64 size;
};
static_assert(sizeof(Header) == 14);

TEST(Endian, fields_lie_in_their_byte_order) {
  const Header header{.magic = 0x514649fb, .version = 0x0102, .size = 0x0102030405060708};
  uint8_t bytes[sizeof header];
  std::memcpy(bytes, &header, sizeof header);
  const uint8_t expected[] = {0x51, 0x46, 0x49, 0xfb, 2, 1, 1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(std::memcmp(bytes, expected, sizeof expected), 0);
  EXPECT_EQ(header.size, 0x0102030405060708u);
}

TEST(Endian, loads_and_stores_are_inverse) {
  uint8_t bytes[8] = {};
  store_be<uint32_t>(bytes + 1, 0x12345678);
  EXPECT_EQ(bytes[1], 0x12);
  EXPECT_EQ(load_be<uint32_t>(bytes + 1), 0x12345678u);
  EXPECT_EQ(load_le<uint32_t>(bytes + 1), 0x78563412u);
  store_le<uint16_t>(bytes, 0xabcd);
  EXPECT_EQ(load_le<uint16_t>(bytes), 0xabcd);
}

TEST(Endian, usable_in_constant_expressions) {
  constexpr be16 field = 0x0102;
  static_assert(field == 0x0102);
  static_assert(to_bytes<uint16_t, std::endian::big>(0x0102)[0] == 1);
  be32 flags = 1;
  flags |= 4;
  EXPECT_EQ(flags.get(), 5u);
}

}  // namespace
}  // namespace rhea
