#include "net/endpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "net/dump.h"
#include "net/hub.h"
#include "net/testing/frames.h"

namespace rhea::net {
namespace {

using testing::Sink;
using testing::tcp4_frame;

TEST(Endpoint, frames_wait_while_there_is_no_room) {
  Sink a, b;
  Endpoint::connect(a, b);
  b.room = 1;
  EXPECT_TRUE(a.send(tcp4_frame(1)));
  EXPECT_FALSE(a.send(tcp4_frame(2)));
  EXPECT_FALSE(a.send(tcp4_frame(3)));
  EXPECT_EQ(b.got.size(), 1u);
  b.room = 1;
  b.flush_queued();
  EXPECT_EQ(b.got.size(), 2u);
  EXPECT_EQ(a.rooms, 0);
  b.room = -1;
  b.flush_queued();
  ASSERT_EQ(b.got.size(), 3u);
  EXPECT_EQ(b.got[2].size(), tcp4_frame(3).size());
  EXPECT_EQ(a.rooms, 1);
}

TEST(Endpoint, a_flood_that_nobody_takes_is_bounded) {
  Sink a, b;
  Endpoint::connect(a, b);
  b.room = 0;
  const std::vector<uint8_t> frame = tcp4_frame(60000);
  for (int i = 0; i < 1000; ++i) a.send(frame);
  EXPECT_LE(b.queued() * frame.size(), size_t{16} << 20);
}

TEST(Endpoint, nothing_passes_a_link_that_is_down) {
  Sink a, b;
  Endpoint::connect(a, b);
  b.set_link(false);
  EXPECT_TRUE(a.send(tcp4_frame(1)));
  a.set_link(false);
  b.set_link(true);
  a.send(tcp4_frame(1));
  EXPECT_TRUE(b.got.empty());
  a.set_link(true);
  a.send(tcp4_frame(1));
  EXPECT_EQ(b.got.size(), 1u);
  EXPECT_EQ(a.changes, 5);
}

TEST(Endpoint, held_frames_come_when_the_machine_goes_on) {
  Sink a, b;
  Endpoint::connect(a, b);
  b.set_held(true);
  a.send(tcp4_frame(1));
  EXPECT_TRUE(b.got.empty());
  b.set_held(false);
  EXPECT_EQ(b.got.size(), 1u);
}

TEST(Endpoint, a_pulled_cable_is_noticed) {
  Sink a;
  {
    Sink b;
    Endpoint::connect(a, b);
    EXPECT_TRUE(a.carrier());
  }
  EXPECT_FALSE(a.carrier());
  EXPECT_TRUE(a.send(tcp4_frame(1)));
}

TEST(Endpoint, what_the_peer_cannot_take_is_done_for_it) {
  Sink a, b;
  Endpoint::connect(a, b);
  a.send(tcp4_frame(3000), {.gso = Gso::Tcp4, .segment_size = 1000});
  EXPECT_EQ(b.got.size(), 3u);
  b.what = {.partial_checksum = true, .large = true};
  a.send(tcp4_frame(3000), {.gso = Gso::Tcp4, .segment_size = 1000});
  EXPECT_EQ(b.got.size(), 4u);
}

TEST(Endpoint, frames_that_are_no_frames_are_lost) {
  Sink a, b;
  Endpoint::connect(a, b);
  a.send(std::vector<uint8_t>(13));
  a.send(std::vector<uint8_t>(kLargestFrame + 1));
  EXPECT_TRUE(b.got.empty());
}

TEST(Hub, every_other_port_hears_a_frame) {
  Sink ends[3];
  Hub hub(0);
  std::vector<std::unique_ptr<Endpoint>> ports;
  for (Sink& end : ends) {
    ports.push_back(hub.make_port(""));
    Endpoint::connect(*ports.back(), end);
  }
  EXPECT_EQ(ports[2]->name(), "hub0port2");
  ends[0].send(tcp4_frame(1));
  EXPECT_EQ(ends[0].got.size(), 0u);
  EXPECT_EQ(ends[1].got.size(), 1u);
  EXPECT_EQ(ends[2].got.size(), 1u);
}

TEST(Dump, records_have_the_frames_of_both_directions) {
  const std::string path = ::testing::TempDir() + "rhea_dump_" + std::to_string(::getpid());
  {
    Sink a, b;
    Endpoint::connect(a, b);
    auto dump = Dump::create(a, {.id = "d", .netdev = "a", .file = path, .maxlen = 60}).value();
    a.send(tcp4_frame(100));
    b.send(tcp4_frame(1));
  }
  std::ifstream in(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
  EXPECT_EQ(bytes.size(), 24u + 16 + 60 + 16 + 55);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace rhea::net
