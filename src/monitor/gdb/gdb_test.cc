#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "monitor/gdb/packet.h"
#include "monitor/gdb/registers.h"
#include "monitor/gdb/session.h"

namespace rhea::gdb {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::span<const uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

TEST(PacketReader, packet_may_come_in_pieces) {
  PacketReader reader;
  EXPECT_TRUE(reader.feed(bytes("+$m1")).at(0).kind == PacketReader::Event::Kind::Ack);
  auto events = reader.feed(bytes("0,4#2e"));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].payload, "m10,4");
}

TEST(PacketReader, wrong_sum_and_overlong_packets_are_bad) {
  PacketReader reader;
  EXPECT_EQ(reader.feed(bytes("$g#00")).at(0).kind, PacketReader::Event::Kind::Bad);
  EXPECT_EQ(reader.feed(bytes("$g#zz")).at(0).kind, PacketReader::Event::Kind::Bad);
  EXPECT_EQ(reader.feed(bytes(frame(std::string(kLargestPacket + 1, 'a')))).at(0).kind,
            PacketReader::Event::Kind::Bad);
}

TEST(PacketReader, escapes_survive_a_round_trip) {
  PacketReader reader;
  std::string payload = "a$b#c}d*e\x03";
  EXPECT_EQ(reader.feed(bytes(frame(payload))).at(0).payload, payload);
}

TEST(PacketReader, interrupt_is_seen_between_packets_only) {
  PacketReader reader;
  EXPECT_EQ(reader.feed(bytes("\x03")).at(0).kind, PacketReader::Event::Kind::Interrupt);
}

TEST(Registers, every_register_survives_a_round_trip) {
  for (unsigned i = 0; i < register_count(); ++i) {
    cpu::CpuState s{};
    std::vector<uint8_t> value(register_bytes(i), 0);
    value[0] = 0x2;
    if (i >= 18 && i < 24) continue;  // selectors are read-only
    if (i >= 59) continue;            // control registers too
    if (i == 34) continue;            // the tag word depends on the registers
    EXPECT_TRUE(write_register(s, i, value)) << i;
    EXPECT_EQ(read_register(s, i), value) << i;
  }
  EXPECT_EQ(register_bytes(register_count()), 0u);
}

TEST(Registers, empty_stack_has_all_tags_empty) {
  cpu::CpuState s{};
  EXPECT_EQ(read_register(s, 34), (std::vector<uint8_t>{0xff, 0xff, 0, 0}));
}

class FakeTarget final : public Target {
 public:
  unsigned cpus() const override { return 2; }
  const cpu::CpuState& state(unsigned cpu) override { return states[cpu]; }
  cpu::CpuState& change(unsigned cpu) override { return states[cpu]; }
  size_t read_memory(unsigned, uint64_t linear, std::span<uint8_t> to) override {
    size_t n = linear >= sizeof memory ? 0 : std::min<size_t>(to.size(), sizeof memory - linear);
    if (n != 0) std::memcpy(to.data(), memory + std::min<uint64_t>(linear, sizeof memory), n);
    return n;
  }
  size_t write_memory(unsigned, uint64_t linear, std::span<const uint8_t> from) override {
    size_t n = linear >= sizeof memory ? 0 : std::min<size_t>(from.size(), sizeof memory - linear);
    if (n != 0) std::memcpy(memory + std::min<uint64_t>(linear, sizeof memory), from.data(), n);
    return n;
  }
  void use_physical_addresses(bool on) override { physical = on; }
  bool set_points(const std::vector<Point>& p) override {
    points = p;
    return p.size() <= 4;
  }
  void resume(const std::vector<Action>& a) override { actions = a; }
  void interrupt() override { ++interrupts; }
  void detach() override { ++detached; }
  void kill() override { ++killed; }
  std::optional<std::string> command(std::string_view line) override {
    return line == "hello" ? std::optional<std::string>("hi\n") : std::nullopt;
  }

  cpu::CpuState states[2] = {};
  uint8_t memory[64] = {1, 2, 3, 4};
  std::vector<Point> points;
  std::vector<Action> actions;
  bool physical = false;
  int interrupts = 0, detached = 0, killed = 0;
};

struct SessionTest : testing::Test {
  // What the session says to one packet, without framing and acknowledgment.
  std::string ask(std::string_view packet) {
    sent.clear();
    session.receive(bytes(frame(packet)));
    auto start = sent.rfind('$'), end = sent.rfind('#');
    return start == std::string::npos ? "none" : sent.substr(start + 1, end - start - 1);
  }
  FakeTarget target;
  std::string sent;
  Session session{target, [this](std::string_view text) { sent += text; }};
};

TEST_F(SessionTest, packets_wait_until_the_machine_has_stopped) {
  EXPECT_EQ(ask("?"), "none");
  session.interrupted();
  EXPECT_THAT(sent, HasSubstr("T05thread:1;"));
}

TEST_F(SessionTest, registers_and_memory_are_read_and_written) {
  session.interrupted();
  target.states[0].rip = 0x1234;
  EXPECT_EQ(ask("p10"), "3412000000000000");
  EXPECT_EQ(ask("P0=8877665544332211"), "OK");
  EXPECT_EQ(target.states[0].gpr[cpu::RAX], 0x1122334455667788u);
  EXPECT_THAT(ask("g"), StartsWith("8877665544332211"));
  EXPECT_EQ(ask("m1,3"), "020304");
  EXPECT_EQ(ask("M2,2:aabb"), "OK");
  EXPECT_EQ(target.memory[3], 0xbb);
  EXPECT_EQ(ask("m1000,4"), "E14");
  EXPECT_EQ(ask("M2,3:aabb"), "E22");
}

TEST_F(SessionTest, threads_are_vcpus) {
  session.interrupted();
  EXPECT_EQ(ask("qfThreadInfo"), "m1,2");
  EXPECT_EQ(ask("Hg2"), "OK");
  target.states[1].rip = 0x77;
  EXPECT_EQ(ask("p10"), "7700000000000000");
  EXPECT_EQ(ask("Hg3"), "E22");
  EXPECT_EQ(ask("T2"), "OK");
  EXPECT_EQ(ask("T9"), "E22");
}

TEST_F(SessionTest, step_of_one_thread_leaves_the_others) {
  session.interrupted();
  EXPECT_EQ(ask("vCont;s:2"), "none");
  EXPECT_EQ(target.actions, (std::vector<Action>{Action::Stay, Action::Step}));
  session.machine_stopped(1, {});
  EXPECT_THAT(sent, HasSubstr("T05thread:2;"));
  EXPECT_EQ(ask("vCont;s:1;c"), "none");
  EXPECT_EQ(target.actions, (std::vector<Action>{Action::Step, Action::Run}));
}

TEST_F(SessionTest, interrupt_stops_and_says_so) {
  session.interrupted();
  EXPECT_EQ(ask("c"), "none");
  session.receive(bytes("\x03"));
  EXPECT_EQ(target.interrupts, 1);
  session.interrupted();
  EXPECT_THAT(sent, HasSubstr("T02thread:1;"));
}

TEST_F(SessionTest, points_are_kept_and_watch_hits_named) {
  session.interrupted();
  EXPECT_EQ(ask("Z0,1000,1"), "OK");
  EXPECT_EQ(ask("Z4,2000,4"), "OK");
  EXPECT_EQ(target.points.size(), 2u);
  EXPECT_EQ(ask("z0,1000,1"), "OK");
  EXPECT_EQ(target.points.size(), 1u);
  ask("c");
  session.machine_stopped(0, {.kind = cpu::DebugHit::Kind::Watch, .linear = 0x2002});
  EXPECT_THAT(sent, HasSubstr("awatch:2002;"));
  EXPECT_EQ(ask("Z9,1,1"), "");
  EXPECT_EQ(ask("Z2,1,0"), "E22");
}

TEST_F(SessionTest, target_description_comes_whole) {
  session.interrupted();
  std::string xml, part;
  do {
    part = ask("qXfer:features:read:target.xml:" + [&] {
      char text[20];
      std::snprintf(text, sizeof text, "%zx", xml.size());
      return std::string(text);
    }() + ",400");
    PacketReader reader;
    part = reader.feed(bytes("$" + part + sent.substr(sent.rfind('#')))).at(0).payload;
    xml += part.substr(1);
  } while (part[0] == 'm');
  EXPECT_EQ(xml, target_xml());
}

TEST_F(SessionTest, monitor_commands_are_answered_in_hex) {
  session.interrupted();
  EXPECT_EQ(ask("qRcmd,68656c6c6f"), "68690a");
  EXPECT_EQ(ask("qqemu.PhyMemMode"), "0");
  EXPECT_EQ(ask("Qqemu.PhyMemMode:1"), "OK");
  EXPECT_EQ(ask("qqemu.PhyMemMode"), "1");
  EXPECT_TRUE(target.physical);
  EXPECT_EQ(ask("qRcmd,zz"), "E22");
  EXPECT_THAT(ask("qRcmd,00"), StartsWith("636f6d"));
}

TEST_F(SessionTest, detach_and_kill_end_the_session) {
  session.interrupted();
  EXPECT_EQ(ask("D"), "OK");
  EXPECT_TRUE(session.done());
  EXPECT_EQ(target.detached, 1);
}

TEST_F(SessionTest, random_packets_are_survived) {
  session.interrupted();
  std::mt19937 random(1);
  constexpr std::string_view kStarts = "?qQHTgGpPmMXZzcsCSvDR!b";
  constexpr std::string_view kChars = "0123456789abcdef,:;=-#$}*g\x03";
  for (int i = 0; i < 20000; ++i) {
    std::string packet(1, kStarts[random() % kStarts.size()]);
    if (packet == "v") packet = "vCont;";
    if (packet == "D") continue;
    for (size_t n = random() % 24; n > 0; --n) packet += kChars[random() % kChars.size()];
    ask(packet);
    session.interrupted();
  }
  EXPECT_FALSE(session.done());
}

}  // namespace
}  // namespace rhea::gdb
