#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "chardev/fd_chardev.h"
#include "chardev/open.h"
#include "chardev/pty_chardev.h"
#include "chardev/socket_words.h"

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
  size_t room = 100;
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

TEST_F(ChardevTest, file_gets_the_output) {
  {
    auto file = open_chardev("file:" + path, {.loop = loop, .label = "serial0", .quit = {}}).value();
    EXPECT_EQ(file->write(bytes("abc")), 3u);
  }
  std::ifstream in(path);
  std::string text;
  in >> text;
  EXPECT_EQ(text, "abc");
  std::filesystem::remove(path);
}

TEST_F(ChardevTest, unix_server_serves_one_client_after_another) {
  auto server =
      open_chardev("unix:" + path + ",server=on,wait=off", {.loop = loop, .label = "s", .quit = {}}).value();
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
}

TEST_F(ChardevTest, pty_drops_output_until_opened) {
  auto pty = PtyChardev::create(loop).value();
  pty->attach(&device);
  std::string block(100000, 'x');
  EXPECT_EQ(pty->write(bytes(block)), block.size());
}

TEST_F(ChardevTest, bad_words_are_refused_by_name) {
  OpenContext context{.loop = loop, .label = "serial0", .quit = {}};
  EXPECT_EQ(open_chardev("mon:stdio", context).error().kind(), ErrorKind::Unsupported);
  EXPECT_EQ(open_chardev("flie:x", context).error().kind(), ErrorKind::Invalid);
  EXPECT_FALSE(open_chardev("tcp:nowhere", context));
  EXPECT_FALSE(open_chardev("file:/nonexistent/x", context));
}

TEST(SocketWords, both_spellings_of_switches) {
  auto options = parse_socket_words("tcp:localhost:4444,server,nowait").value();
  EXPECT_TRUE(options.server);
  EXPECT_FALSE(options.wait);
  EXPECT_EQ(options.address.host, "localhost");
  EXPECT_EQ(options.address.port, "4444");
  EXPECT_EQ(parse_socket_words("tcp:[::1]:80").value().address.host, "::1");
  EXPECT_EQ(parse_socket_words("unix:/a/b").value().address.path, "/a/b");
  EXPECT_FALSE(parse_socket_words("tcp:a:1,telnet=on"));
  EXPECT_FALSE(parse_socket_words("tcp:a:1,wait=off"));
}

}  // namespace
}  // namespace rhea::chardev
