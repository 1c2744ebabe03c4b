#include "net/offload.h"

#include <gtest/gtest.h>

#include "net/testing/frames.h"

namespace rhea::net {
namespace {

using testing::tcp4_frame;
using testing::tcp6_frame;

TEST(Checksum, example_of_rfc_1071) {
  const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(checksum_add(bytes), 0xddf2);
}

TEST(Checksum, every_length_equals_the_plain_loop) {
  std::vector<uint8_t> bytes(67);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 37 + 200);
  for (size_t length = 0; length <= bytes.size(); ++length) {
    uint32_t sum = 0x1234;
    for (size_t i = 0; i < length; ++i) sum += static_cast<uint32_t>(bytes[i]) << (i % 2 == 0 ? 8 : 0);
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    EXPECT_EQ(checksum_add(std::span(bytes).first(length), 0x1234), sum) << length;
  }
}

TEST(Headers, vlan_tags_are_skipped) {
  std::vector<uint8_t> frame = tcp4_frame(10);
  const uint8_t tag[] = {0x81, 0x00, 0x00, 0x05};
  frame.insert(frame.begin() + 12, tag, tag + 4);
  const Headers h = parse_headers(frame);
  EXPECT_EQ(h.version, 4);
  EXPECT_EQ(h.ip, 18u);
  EXPECT_EQ(h.payload, 58u);
}

TEST(Headers, every_cut_of_a_frame_is_survived) {
  for (const auto& frame : {tcp4_frame(5), tcp6_frame(5)})
    for (size_t size = 0; size <= frame.size(); ++size) {
      const Headers h = parse_headers(Frame(frame).first(size));
      EXPECT_LE(h.end, size);
      EXPECT_LE(h.payload, size);
    }
}

TEST(Headers, extension_headers_that_lead_nowhere_are_no_packet) {
  std::vector<uint8_t> frame = tcp6_frame(0);
  frame[20] = 0;     // hop by hop
  frame[54] = 0;     // and again
  frame[55] = 0xff;  // 2 KiB
  EXPECT_EQ(parse_headers(frame).version, 0);
}

TEST(Resolve, segments_are_whole_packets_in_order) {
  for (const auto& [frame, gso, payload_at] : {std::tuple{tcp4_frame(3000), Gso::Tcp4, size_t{54}},
                                               std::tuple{tcp6_frame(3000), Gso::Tcp6, size_t{74}}}) {
    std::vector<std::vector<uint8_t>> parts;
    ASSERT_TRUE(resolve(frame, {.gso = gso, .segment_size = 1400}, {}, [&](Frame part, const Offload& left) {
      EXPECT_EQ(left.gso, Gso::None);
      EXPECT_FALSE(left.checksum_wanted);
      parts.emplace_back(part.begin(), part.end());
    }));
    ASSERT_EQ(parts.size(), 3u);
    std::vector<uint8_t> payload;
    for (const auto& part : parts) {
      const Headers h = parse_headers(part);
      EXPECT_EQ(h.end, part.size());
      EXPECT_NE(verify_ip_checksum(part, h), ChecksumState::Bad);
      EXPECT_EQ(verify_transport_checksum(part, h), ChecksumState::Good);
      const uint32_t first = load_be<uint32_t>(&frame[h.transport + 4]);
      EXPECT_EQ(load_be<uint32_t>(&part[h.transport + 4]), first + static_cast<uint32_t>(payload.size()));
      payload.insert(payload.end(), part.begin() + static_cast<ptrdiff_t>(payload_at), part.end());
      EXPECT_EQ((part[h.transport + 13] & 8) != 0, payload.size() == 3000) << "PSH in the last only";
    }
    EXPECT_TRUE(
        std::equal(payload.begin(), payload.end(), frame.begin() + static_cast<ptrdiff_t>(payload_at)));
  }
}

TEST(Resolve, large_frames_stay_whole_for_who_takes_them) {
  int parts = 0;
  ASSERT_TRUE(resolve(tcp4_frame(60000), {.gso = Gso::Tcp4, .segment_size = 1460}, {.large = true},
                      [&](Frame part, const Offload& left) {
                        ++parts;
                        EXPECT_EQ(left.gso, Gso::Tcp4);
                        EXPECT_EQ(verify_transport_checksum(part, parse_headers(part)), ChecksumState::Good);
                      }));
  EXPECT_EQ(parts, 1);
}

TEST(Resolve, partial_checksum_is_filled_in) {
  std::vector<uint8_t> frame = tcp4_frame(101);
  const Headers h = parse_headers(frame);
  store_be<uint16_t>(&frame[50], pseudo_header_sum(frame, h, 121));
  ASSERT_TRUE(resolve(frame, {.checksum_wanted = true, .checksum_start = 34, .checksum_offset = 16}, {},
                      [&](Frame part, const Offload&) {
                        EXPECT_EQ(verify_transport_checksum(part, h), ChecksumState::Good);
                      }));
}

TEST(Resolve, descriptions_that_do_not_fit_are_dropped) {
  const auto never = [](Frame, const Offload&) { ADD_FAILURE(); };
  const std::vector<uint8_t> frame = tcp4_frame(3000);
  EXPECT_FALSE(resolve(frame, {.gso = Gso::Tcp6, .segment_size = 100}, {}, never));
  EXPECT_FALSE(resolve(frame, {.gso = Gso::Tcp4, .segment_size = 0}, {}, never));
  EXPECT_FALSE(resolve(Frame(frame).first(40), {.gso = Gso::Tcp4, .segment_size = 10}, {}, never));
  EXPECT_FALSE(resolve(frame, {.checksum_wanted = true, .checksum_start = 65535, .checksum_offset = 65535},
                       {}, never));
  EXPECT_FALSE(
      resolve(frame, {.checksum_wanted = true, .checksum_start = 3000, .checksum_offset = 60}, {}, never));
}

}  // namespace
}  // namespace rhea::net
