#include <gtest/gtest.h>

#include "machine/script_engine.h"
#include "monitor/monitor.h"

namespace rhea::monitor {
namespace {

class BareBoard final : public machine::Board {
 public:
  void reset() override {}
};

// A client: what it was told, and what it says next.
class Client final : public chardev::Chardev {
 public:
  void attach(chardev::Frontend* frontend) override {
    frontend_ = frontend;
    if (frontend != nullptr) frontend->connected();
  }
  size_t write(std::span<const uint8_t> bytes) override {
    size_t n = std::min(bytes.size(), room);
    room -= n;
    heard.append(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
    return n;
  }
  void resume_input() override { feed(); }
  void say(std::string_view text) {
    waiting_ += text;
    feed();
  }
  bool all_said() const { return waiting_.empty(); }
  void leave() { frontend_->disconnected(); }
  void come() { frontend_->connected(); }
  void read_more(size_t bytes) {
    room += bytes;
    frontend_->output_ready();
  }
  std::string heard;
  size_t room = SIZE_MAX;

 private:
  void feed() {
    while (!waiting_.empty()) {
      size_t n = std::min(frontend_->can_receive(), waiting_.size());
      if (n == 0) return;
      std::string part = waiting_.substr(0, n);
      waiting_.erase(0, n);
      frontend_->receive({reinterpret_cast<const uint8_t*>(part.data()), n});
    }
  }
  chardev::Frontend* frontend_ = nullptr;
  std::string waiting_;
};

struct MonitorSessionTest : testing::Test {
  void start() {
    context.accelerator = &accelerator;
    context.board = &board;
    context.version = "7.2.0";
    ASSERT_TRUE(vm.create_vcpus(1, accelerator));
    ASSERT_TRUE(vm.start(board));
  }
  // Runs the machine until somebody ends it, at the latest after a while.
  int run() {
    auto timer =
        vm.loop().monotonic_clock().make_timer([this] { vm.request_exit(99, machine::Cause::HostError); });
    timer->arm(vm.loop().monotonic_clock().now_ns() + int64_t{20} * 1'000'000'000);
    return vm.run();
  }
  machine::Vm vm{{.name_threads = false}};
  BareBoard board;
  machine::ScriptAccelerator accelerator{[](cpu::Core&) { return cpu::Exit::Halted; }, true};
  chardev::Chardevs chardevs{vm.loop()};
  Context context{.vm = vm, .chardevs = chardevs};
  Client client, other;
  Monitor monitor{context};
};

TEST_F(MonitorSessionTest, people_stop_and_go) {
  start();
  monitor.add_hmp(client);
  monitor.add_qmp(other, false);
  other.say("{'execute':'qmp_capabilities'}");
  client.say("info status\nstop\ninfo status\nstop foo\nfoo\ncont\nquit\n");
  EXPECT_EQ(run(), 0);
  EXPECT_TRUE(client.heard.starts_with("QEMU 7.2.0 monitor - type 'help' for more information\r\n(qemu) "));
  EXPECT_NE(
      client.heard.find(
          "info status\r\nVM status: running\r\n(qemu) stop\r\n(qemu) info status\r\nVM status: paused\r\n"),
      std::string::npos)
      << client.heard;
  EXPECT_NE(
      client.heard.find(
          "stop|s: extraneous characters at the end of line\r\nTry \"help stop\" for more information\r\n"),
      std::string::npos);
  EXPECT_NE(client.heard.find("unknown command: 'foo'\r\n"), std::string::npos);
  size_t stop = other.heard.find("\"event\": \"STOP\""), resume = other.heard.find("\"event\": \"RESUME\"");
  size_t end =
      other.heard.find(R"("event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}})");
  EXPECT_LT(stop, resume);
  EXPECT_LT(resume, end);
  EXPECT_NE(end, std::string::npos);
}

TEST_F(MonitorSessionTest, programs_are_answered_in_order) {
  start();
  monitor.add_qmp(client, false);
  client.say(
      R"({"execute":"query-status"} {"execute":"qmp_capabilities","id":1} {"execute":"qmp_capabilities"}
    {"execute":"foo","id":"x"} {"execute":"query-status","arguments":{"x":1}} [] {"execute":1} {"arguments":{}}
    {"execute":"stop","id":[2]} {"execute":"query-status"}
    {"execute":"human-monitor-command","arguments":{"command-line":"info status"}} {"execute":"quit"})");
  EXPECT_EQ(run(), 0);
  const char* expected[] = {
      R"({"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": )",
      R"({"error": {"class": "CommandNotFound", "desc": "Expecting capabilities negotiation with 'qmp_capabilities'"}})",
      R"({"return": {}, "id": 1})",
      R"({"error": {"class": "CommandNotFound", "desc": "Capabilities negotiation is already complete, command ignored"}})",
      R"({"error": {"class": "CommandNotFound", "desc": "The command foo has not been found"}, "id": "x"})",
      R"({"error": {"class": "GenericError", "desc": "Parameter 'x' is unexpected"}})",
      R"({"error": {"class": "GenericError", "desc": "QMP input must be a JSON object"}})",
      R"({"error": {"class": "GenericError", "desc": "QMP input member 'execute' must be a string"}})",
      R"({"error": {"class": "GenericError", "desc": "QMP input lacks member 'execute'"}})",
      R"("event": "STOP"})",
      R"({"return": {}, "id": [2]})",
      R"({"return": {"status": "paused", "singlestep": false, "running": false}})",
      R"({"return": "VM status: paused\r\n"})",
      R"("event": "SHUTDOWN")",
      R"({"return": {}})"};
  size_t at = 0;
  for (const char* text : expected) {
    size_t found = client.heard.find(text, at);
    ASSERT_NE(found, std::string::npos) << text << "\n" << client.heard;
    at = found + 1;
  }
}

TEST_F(MonitorSessionTest, floods_and_garbage_hold_up_nobody) {
  start();
  monitor.add_qmp(client, false);
  monitor.add_hmp(other);
  std::string garbage;
  uint32_t seed = 7;
  for (int i = 0; i < 300'000; ++i) {
    seed = seed * 1664525 + 1013904223;
    garbage += static_cast<char>(seed >> 24);
  }
  client.room = 1000;  // reads next to nothing
  client.say("{'execute':'qmp_capabilities'}");
  for (int i = 0; i < 10'000; ++i) client.say("{'execute':'query-status'}");
  client.say(garbage + std::string(1'000'000, '{'));
  other.say(garbage);
  bool held = false;
  auto timer = vm.loop().monotonic_clock().make_timer([&] {
    held = !client.all_said();
    other.leave();
    other.come();
    other.say("\nquit\n");
  });
  timer->arm(vm.loop().monotonic_clock().now_ns() + 300'000'000);
  EXPECT_EQ(run(), 0);
  EXPECT_TRUE(held);
}

TEST_F(MonitorSessionTest, every_command_says_who_it_is) {
  for (const Command* command : all_commands()) {
    ASSERT_TRUE(command->qmp != nullptr || command->hmp != nullptr);
    if (command->hmp != nullptr) {
      EXPECT_EQ(find_hmp(names_of(*command)[0]), command) << command->hmp;
      EXPECT_NE(std::string_view(command->help), "") << command->hmp;
    }
    if (command->qmp != nullptr) {
      EXPECT_EQ(find_qmp(command->qmp), command) << command->qmp;
    }
  }
}

}  // namespace
}  // namespace rhea::monitor
