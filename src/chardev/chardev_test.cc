#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "chardev/chardevs.h"
#include "chardev/fd_chardev.h"
#include "chardev/pty_chardev.h"
#include "chardev/ringbuf_chardev.h"
#include "chardev/telnet.h"

namespace rhea::chardev {
namespace {

class Device final : public Frontend {
 public:
  size_t can_receive() override { return room; }
  void receive(std::span<const uint8_t> bytes) override {
    got.append(bytes.begin(), bytes.end());
    room -= bytes.size();
  }
  void output_ready() override { ++ready; }
  void receive_break() override { got += "<break>"; }
  void connected() override { events += "+"; }
  void disconnected() override { events += "-"; }
  void focus_changed(bool has_it) override { events += has_it ? "F" : "f"; }
  size_t room = 100;
  std::string events;
  std::string got;
  int ready = 0;
};

std::span<const uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class Pair final : public FdChardev {
 public:
  explicit Pair(async::EventLoop& loop) : FdChardev(loop) {
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    EXPECT_TRUE(open(fds[0], fds[0]));
  }
  ~Pair() override {
    close();
    ::close(fds[0]);
    if (fds[1] >= 0) ::close(fds[1]);
  }
  using FdChardev::is_open;
  int fds[2];
};

struct ChardevTest : testing::Test {
  void turn() {
    for (int i = 0; i < 4; ++i) loop.run_once(0);
  }
  std::string path = testing::TempDir() + "rhea_chardev_" + std::to_string(::getpid());
  std::recursive_mutex lock;
  async::EventLoop loop{lock};
  Device device;
};

TEST_F(ChardevTest, input_waits_for_the_device) {
  Pair pair(loop);
  pair.attach(&device);
  device.room = 3;
  ASSERT_EQ(::write(pair.fds[1], "hello", 5), 5);
  turn();
  EXPECT_EQ(device.got, "hel");
  device.room = 100;
  pair.resume_input();
  EXPECT_EQ(device.got, "hello");
}

TEST_F(ChardevTest, full_output_is_refused_and_announced_later) {
  Pair pair(loop);
  pair.attach(&device);
  std::string block(4096, 'x');
  size_t sent = 0;
  for (;;) {
    size_t n = pair.write(bytes(block));
    sent += n;
    if (n < block.size()) break;
  }
  EXPECT_EQ(device.ready, 0);
  size_t read = 0;
  char buffer[65536];
  for (int i = 0; i < 10000 && read < sent; ++i) {
    ssize_t n = ::read(pair.fds[1], buffer, sizeof buffer);
    if (n > 0) read += static_cast<size_t>(n);
    turn();
  }
  EXPECT_EQ(read, sent);
  EXPECT_EQ(device.ready, 1);
}

TEST_F(ChardevTest, peer_that_closes_ends_the_connection) {
  Pair pair(loop);
  pair.attach(&device);
  ::close(std::exchange(pair.fds[1], -1));
  turn();
  EXPECT_FALSE(pair.is_open());
  EXPECT_EQ(pair.write(bytes("lost")), 4u);
}

TEST_F(ChardevTest, last_words_are_heard) {
  Pair pair(loop);
  pair.attach(&device);
  device.room = 2;
  ASSERT_EQ(::write(pair.fds[1], "hello", 5), 5);
  ::close(std::exchange(pair.fds[1], -1));
  turn();
  EXPECT_TRUE(pair.is_open());
  device.room = 100;
  pair.resume_input();
  EXPECT_EQ(device.got, "hello");
  EXPECT_FALSE(pair.is_open());
  EXPECT_EQ(device.events, "+-");
}

TEST_F(ChardevTest, nobody_waits_long_for_a_device_that_takes_nothing) {
  Pair pair(loop);
  pair.attach(&device);
  device.room = 0;
  ASSERT_EQ(::write(pair.fds[1], "hello", 5), 5);
  ::close(std::exchange(pair.fds[1], -1));
  for (int i = 0; i < 300 && pair.is_open(); ++i) loop.run_once(10'000'000);
  EXPECT_FALSE(pair.is_open());
}

TEST_F(ChardevTest, file_gets_the_output) {
  for (const char* text : {"abc", "de"}) {
    Chardevs all(loop);
    ASSERT_TRUE(all.add(
        parse_chardev({{"backend", "file"}, {"id", "f"}, {"path", path}, {"append", "on"}}).value(), ""));
    EXPECT_EQ(all.take("f").value()->write(bytes(text)), std::strlen(text));
    EXPECT_EQ(all.take("f").error().kind(), ErrorKind::Busy);
  }
  std::ifstream in(path);
  std::string text;
  in >> text;
  EXPECT_EQ(text, "abcde");
  std::filesystem::remove(path);
}

TEST_F(ChardevTest, unix_server_serves_one_client_after_another) {
  Chardevs all(loop);
  Chardev* server = all.open("unix:" + path + ",server=on,wait=off", "s").value();
  server->attach(&device);
  for (int round = 0; round < 2; ++round) {
    int fd = connect_to({.host = "", .port = "", .path = path}).value();
    ASSERT_EQ(::write(fd, "hi", 2), 2);
    turn();
    EXPECT_EQ(server->write(bytes("yo")), 2u);
    char buffer[8];
    EXPECT_EQ(::read(fd, buffer, sizeof buffer), 2);
    ::close(fd);
    turn();
  }
  EXPECT_EQ(device.got, "hihi");
  EXPECT_EQ(device.events, "+-+-");
  EXPECT_EQ(server->description(), "disconnected:unix:" + path + ",server=on");
}

TEST_F(ChardevTest, client_connects_again) {
  Chardevs all(loop);
  SocketAddress abstract{.host = "", .port = "", .path = path, .abstract = true};
  ASSERT_TRUE(all.add(
      parse_chardev(
          {{"backend", "socket"}, {"id", "c"}, {"path", path}, {"abstract", "on"}, {"reconnect", "1"}})
          .value(),
      ""));
  Chardev* client = all.take("c").value();
  client->attach(&device);
  turn();
  EXPECT_EQ(device.events, "");
  int listener = listen_on(abstract).value();
  for (int i = 0; i < 300 && device.events.empty(); ++i) loop.run_once(10'000'000);
  EXPECT_EQ(device.events, "+");
  ::close(listener);
}

TEST_F(ChardevTest, pty_drops_output_until_opened) {
  auto pty = PtyChardev::create(loop).value();
  pty->attach(&device);
  std::string block(100000, 'x');
  EXPECT_EQ(pty->write(bytes(block)), block.size());
}

TEST_F(ChardevTest, ring_keeps_the_newest) {
  RingbufChardev ring(4);
  ring.write(bytes("abcdef"));
  EXPECT_EQ(ring.read(2), "cd");
  EXPECT_EQ(ring.read(9), "ef");
}

TEST_F(ChardevTest, pipe_goes_both_ways) {
  ASSERT_EQ(::mkfifo((path + ".in").c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo((path + ".out").c_str(), 0600), 0);
  Chardevs all(loop);
  Chardev* pipe = all.open("pipe:" + path, "p").value();
  pipe->attach(&device);
  int in = ::open((path + ".in").c_str(), O_RDWR | O_NONBLOCK);
  int out = ::open((path + ".out").c_str(), O_RDWR | O_NONBLOCK);
  ASSERT_EQ(::write(in, "hi", 2), 2);
  turn();
  EXPECT_EQ(device.got, "hi");
  pipe->write(bytes("yo"));
  char buffer[8];
  EXPECT_EQ(::read(out, buffer, sizeof buffer), 2);
  ::close(in);
  ::close(out);
  std::filesystem::remove(path + ".in");
  std::filesystem::remove(path + ".out");
}

TEST_F(ChardevTest, datagrams_go_both_ways) {
  SocketAddress any{.host = "127.0.0.1", .port = "", .path = ""};
  int probe = open_udp({.host = "127.0.0.1", .port = "9", .path = ""}, any).value();
  std::string ours = local_name(probe);
  ::close(probe);
  int peer =
      open_udp({.host = "127.0.0.1", .port = ours.substr(ours.rfind(':') + 1), .path = ""}, any).value();
  Chardevs all(loop);
  Chardev* udp = all.open("udp:" + local_name(peer) + "@" + ours, "u").value();
  udp->attach(&device);
  EXPECT_EQ(udp->write(bytes("yo")), 2u);
  char buffer[8];
  EXPECT_EQ(::recv(peer, buffer, sizeof buffer, 0), 2);
  ASSERT_EQ(::send(peer, "hi", 2, 0), 2);
  turn();
  EXPECT_EQ(device.got, "hi");
  ::close(peer);
}

TEST_F(ChardevTest, mux_switches_between_its_devices) {
  Pair pair(loop);
  int quits = 0;
  MuxChardev::Hooks hooks{.quit = [&] { ++quits; }, .commit = {}};
  Device monitor;
  {
    MuxChardev mux(loop, pair, 1, hooks);
    mux.add_port()->attach(&monitor);
    mux.add_port()->attach(&device);
    turn();
    EXPECT_EQ(device.events, "F+");
    EXPECT_EQ(monitor.events, "f+");
    ASSERT_EQ(::write(pair.fds[1], "a\001cb\001c\001\001\001b\001x", 12), 12);
    turn();
    EXPECT_EQ(device.got, "a\001<break>");
    EXPECT_EQ(monitor.got, "b");
    EXPECT_EQ(quits, 1);
    // A device that takes nothing does not hold up the prefix.
    device.room = 0;
    ASSERT_EQ(::write(pair.fds[1], "zzz\001x", 5), 5);
    turn();
    EXPECT_EQ(quits, 2);
    EXPECT_NE(mux.add_port(), nullptr);
    EXPECT_NE(mux.add_port(), nullptr);
    EXPECT_EQ(mux.add_port(), nullptr);
  }
}

TEST_F(ChardevTest, bad_words_are_refused_by_name) {
  Chardevs all(loop);
  EXPECT_EQ(all.open("flie:x", "s").error().kind(), ErrorKind::Invalid);
  EXPECT_EQ(all.open("chardev:x", "s").error().kind(), ErrorKind::NotFound);
  EXPECT_EQ(all.open("vc", "s").error().kind(), ErrorKind::Unsupported);
  EXPECT_FALSE(all.open("tcp:nowhere", "s"));
  EXPECT_FALSE(all.open("file:/nonexistent/x", "s"));
  EXPECT_TRUE(all.open("null", "s"));
  EXPECT_EQ(all.open("null", "s").error().kind(), ErrorKind::Busy);
  EXPECT_EQ(all.remove("s").error().kind(), ErrorKind::Busy);
  all.give_back("s");
  EXPECT_TRUE(all.remove("s"));
}

TEST(ChardevSpec, both_spellings_of_switches) {
  auto options = socket_options(parse_words("tcp:localhost:4444,server,nowait").value()).value();
  EXPECT_TRUE(options.server);
  EXPECT_FALSE(options.wait);
  EXPECT_EQ(options.address.host, "localhost");
  EXPECT_EQ(options.address.port, "4444");
  EXPECT_EQ(parse_words("tcp:[::1]:80").value().host, "::1");
  EXPECT_EQ(parse_words("unix:/a/b").value().path, "/a/b");
  EXPECT_TRUE(parse_words("telnet::1,server,nowait").value().telnet);
  EXPECT_TRUE(parse_words("mon:stdio").value().mux.value());
  EXPECT_EQ(parse_words("vc:80Cx24C").value().rows, 24u);
  EXPECT_EQ(parse_words("vc:640x480").value().height, 480u);
  EXPECT_EQ(parse_words("udp:h:1@:2").value().localport, "2");
  for (const char* words : {"tcp:a:1,wait=off", "tcp:a:70000", "unix:", "vc:80Cx24", "vc:0x1",
                            "udp:", "stdio:", "tcp:a:1,foo=1", "tcp:a:1,server=on,reconnect=3"})
    EXPECT_FALSE(parse_words(words)) << words;
}

TEST(ChardevSpec, contradictions_are_refused) {
  auto text = [](config::KeyValues values) { return parse_chardev(std::move(values)).error().text(); };
  EXPECT_EQ(text({{"backend", "null"}}), "chardev: no id specified");
  EXPECT_EQ(text({{"backend", "foo"}, {"id", "x"}}), "'foo' is not a valid char driver name");
  EXPECT_EQ(text({{"backend", "file"}, {"id", "x"}}), "chardev: file: no filename given");
  EXPECT_EQ(text({{"backend", "ringbuf"}, {"id", "x"}, {"size", "3"}}),
            "size of ringbuf chardev must be power of two");
  EXPECT_FALSE(parse_chardev({{"backend", "null"}, {"id", "1x"}}));
  EXPECT_FALSE(parse_chardev({{"backend", "null"}, {"id", "x"}, {"path", "y"}}));
  EXPECT_FALSE(parse_chardev({{"backend", "socket"}, {"id", "x"}, {"path", "y"}, {"port", "1"}}));
}

TEST(Telnet, commands_are_taken_out) {
  TelnetFilter filter;
  std::string got;
  unsigned breaks = 0;
  std::string_view sent(
      "a\xff\xfd\x03z\xff\xff\xff\xf3\xff\xfa\x18\xff\xff"
      "1\xff\xf0"
      "b\r\0c\r\n",
      23);
  for (char c : sent) {  // each byte alone
    auto part = filter.take(bytes({&c, 1}));
    got.append(part.bytes.begin(), part.bytes.end());
    breaks += part.breaks;
  }
  EXPECT_EQ(got,
            "az\xff"
            "b\rc\r\n");
  EXPECT_EQ(breaks, 1u);
}

}  // namespace
}  // namespace rhea::chardev
