#include "machine/smbios/smbios.h"

#include <gtest/gtest.h>

#include <vector>

namespace rhea::machine::smbios {
namespace {

struct Parsed {
  uint8_t type;
  uint8_t length;
  std::vector<std::string> strings;
};

std::vector<Parsed> parse(const std::vector<uint8_t>& t) {
  std::vector<Parsed> all;
  for (size_t at = 0; at + 4 <= t.size();) {
    Parsed p{t[at], t[at + 1], {}};
    at += p.length;
    while (t.at(at) != 0) {
      p.strings.emplace_back(reinterpret_cast<const char*>(&t[at]));
      at += p.strings.back().size() + 1;
    }
    at += p.strings.empty() ? 2 : 1;
    all.push_back(p);
  }
  return all;
}

Config sample() {
  Config c;
  c.ram_bytes = uint64_t{40} << 30;
  c.low_ram_end = 0xc0000000;
  c.sockets = 2;
  c.cores_per_socket = 4;
  return c;
}

TEST(Smbios, structures_have_the_lengths_of_version_2_8) {
  std::vector<Parsed> all = parse(build(sample()).tables);
  std::vector<std::pair<int, int>> seen;
  for (const Parsed& p : all) seen.emplace_back(p.type, p.length);
  std::vector<std::pair<int, int>> expected{{1, 27},  {3, 22},  {4, 48},  {4, 48},  {16, 23}, {17, 40},
                                            {17, 40}, {17, 40}, {19, 31}, {19, 31}, {32, 11}, {127, 4}};
  EXPECT_EQ(seen, expected);
}

TEST(Smbios, anchor_counts_the_structures) {
  Blobs b = build(sample());
  EXPECT_EQ(b.anchor.size(), 31u);
  EXPECT_EQ(b.anchor[28], parse(b.tables).size());
  EXPECT_EQ(b.anchor[22] | b.anchor[23] << 8, static_cast<int>(b.tables.size()));
}

TEST(Smbios, strings_end_with_a_double_null) {
  Blobs b = build(sample());
  EXPECT_EQ(b.tables[b.tables.size() - 1], 0);
  EXPECT_EQ(b.tables[b.tables.size() - 2], 0);
}

}  // namespace
}  // namespace rhea::machine::smbios
