#include "display/vnc/server.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <mutex>
#include <random>

namespace rhea::display::vnc {
namespace {

using Bytes = std::vector<uint8_t>;

struct Keyboard : KeyboardSink {
  std::string seen;
  std::string_view input_name() const override { return "keys"; }
  void key(Key key, bool down) override { seen += (down ? "+" : "-") + std::string(key_name(key)); }
};

// A viewer made of a plain socket.
struct Peer {
  explicit Peer(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    // SAFETY: every socket address begins with the generic one.
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Peer() { ::close(fd); }
  void say(const Bytes& bytes) { static_cast<void>(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL)); }
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
};

class ServerTest : public testing::Test {
 protected:
  ServerTest() { hub.add(keyboard); }
  void start(Server::Options options = {}) {
    path = testing::TempDir() + "vnc-" + std::to_string(::getpid());
    options.address.path = path;
    options.key_delay_ns = 0;
    const std::lock_guard guard(lock);
    auto made = Server::create({loop, screen, hub}, std::move(options));
    ASSERT_TRUE(made) << made.error().message();
    server = std::move(*made);
  }
  void TearDown() override {
    const std::lock_guard guard(lock);
    server.reset();
  }
  // Lets the server work until the peer has `count` bytes, or has been hung up on.
  Bytes hear(Peer& peer, size_t count) {
    Bytes got;
    for (int turn = 0; turn < 30000 && got.size() < count; ++turn) {
      loop.run_once(1'000'000);
      uint8_t buffer[65536];
      const ssize_t n = ::recv(peer.fd, buffer, std::min(sizeof buffer, count - got.size()), 0);
      if (n == 0) break;
      if (n > 0) got.insert(got.end(), buffer, buffer + n);
    }
    return got;
  }
  void settle() {
    for (int i = 0; i < 20; ++i) loop.run_once(1'000'000);
  }
  bool hung_up(Peer& peer) {
    uint8_t buffer[4096];
    for (int turn = 0; turn < 20000; ++turn) {
      loop.run_once(1'000'000);
      const ssize_t n = ::recv(peer.fd, buffer, sizeof buffer, 0);
      if (n == 0 || (n < 0 && errno != EAGAIN)) return true;
    }
    return false;
  }
  void handshake(Peer& peer, bool shared = true) {
    EXPECT_EQ(hear(peer, 12).size(), 12u);
    peer.say({'R', 'F', 'B', ' ', '0', '0', '3', '.', '0', '0', '8', '\n'});
    EXPECT_EQ(hear(peer, 2), (Bytes{1, 1}));
    peer.say({1});
    EXPECT_EQ(hear(peer, 4), (Bytes{0, 0, 0, 0}));
    peer.say({static_cast<uint8_t>(shared)});
    const Bytes init = hear(peer, 28);
    ASSERT_EQ(init.size(), 28u);
    EXPECT_EQ(load_be<uint16_t>(init.data()), screen.surface().width());
    EXPECT_EQ(std::string(init.begin() + 24, init.end()), "QEMU");
  }

  std::recursive_mutex lock;
  async::EventLoop loop{lock};
  Screen screen{loop.monotonic_clock(), "test"};
  InputHub hub;
  Keyboard keyboard;
  std::string path;
  std::unique_ptr<Server> server;
};

const Bytes kAskAll{3, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
    kAskNew{3, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};

TEST_F(ServerTest, a_viewer_sees_the_screen_and_types) {
  start();
  screen.resize(32, 16).fill(0xff112233);
  Peer peer(path);
  handshake(peer);
  peer.say(kAskAll);
  const Bytes picture = hear(peer, 4 + 12 + 32 * 16 * 4);
  ASSERT_EQ(picture.size(), 4 + 12 + 32 * 16 * 4u);
  EXPECT_EQ((Bytes(picture.begin(), picture.begin() + 20)),
            (Bytes{0, 0, 0, 1, 0, 0, 0, 0, 0, 32, 0, 16, 0, 0, 0, 0, 0x33, 0x22, 0x11, 0}));
  peer.say(kAskNew);
  settle();
  {
    const std::lock_guard guard(lock);
    screen.surface().row(3)[20] = 0x445566;
    screen.changed({0, 0, 32, 16});
  }
  const Bytes change = hear(peer, 4 + 12 + 16 * 16 * 4);
  ASSERT_EQ(change.size(), 4 + 12 + 16 * 16 * 4u) << "only the tile that differs";
  EXPECT_EQ(change[5], 16) << "x";
  peer.say({4, 1, 0, 0, 0, 0, 0, 'x', 4, 0, 0, 0, 0, 0, 0, 'x', 255, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x1c});
  settle();
  EXPECT_EQ(keyboard.seen, "+x-x+ret");
  ::shutdown(peer.fd, SHUT_RDWR);
  settle();
  EXPECT_EQ(keyboard.seen, "+x-x+ret-ret");
  EXPECT_TRUE(server->clients().empty());
  EXPECT_FALSE(screen.watched());
}

TEST_F(ServerTest, a_new_size_reaches_those_who_understand) {
  start();
  screen.resize(32, 16);
  Peer peer(path);
  handshake(peer);
  peer.say({2, 0, 0, 1, 0xff, 0xff, 0xff, 0x21});  // DesktopSize
  peer.say(kAskAll);
  hear(peer, 4 + 12 + 32 * 16 * 4);
  peer.say(kAskNew);
  settle();
  {
    const std::lock_guard guard(lock);
    screen.resize(64, 48);
  }
  const Bytes news = hear(peer, 4 + 12);
  EXPECT_EQ(news, (Bytes{0, 0, 0, 2, 0, 0, 0, 0, 0, 64, 0, 48, 0xff, 0xff, 0xff, 0x21}));
}

TEST_F(ServerTest, passwords) {
  Server::Options options;
  options.password = true;
  start(std::move(options));
  const auto attempt = [&](std::string_view password) {
    Peer peer(path);
    hear(peer, 12);
    peer.say({'R', 'F', 'B', ' ', '0', '0', '3', '.', '0', '0', '8', '\n'});
    EXPECT_EQ(hear(peer, 2), (Bytes{1, 2}));
    peer.say({2});
    const Bytes challenge = hear(peer, 16);
    EXPECT_EQ(challenge.size(), 16u);
    std::array<uint8_t, 16> fixed{};
    std::copy_n(challenge.begin(), 16, fixed.begin());
    const auto answer = vnc_auth_answer(fixed, password);
    peer.say(Bytes(answer.begin(), answer.end()));
    return hear(peer, 4) == Bytes{0, 0, 0, 0};
  };
  EXPECT_FALSE(attempt("")) << "none was set";
  server->set_password("secret");
  EXPECT_FALSE(attempt("wrong"));
  EXPECT_TRUE(attempt("secret"));
  server->set_password_expiry(1);
  EXPECT_FALSE(attempt("secret"));
}

TEST_F(ServerTest, a_viewer_that_wants_to_be_alone) {
  start();
  Peer first(path), second(path), third(path);
  handshake(first);
  handshake(second, false);
  EXPECT_TRUE(hung_up(first));
  hear(third, 12);
  third.say({'R', 'F', 'B', ' ', '0', '0', '3', '.', '0', '0', '8', '\n', 1, 1});
  EXPECT_TRUE(hung_up(third)) << "the second is alone";
  EXPECT_EQ(server->clients().size(), 1u);
}

TEST_F(ServerTest, garbage_is_hung_up_on) {
  start();
  std::mt19937 random(1);
  for (int round = 0; round < 30; ++round) {
    Peer peer(path);
    if (round % 3 != 0) handshake(peer);
    Bytes noise(200 + random() % 3000);
    for (uint8_t& byte : noise) byte = static_cast<uint8_t>(random());
    if (round % 3 == 2) noise[0] = static_cast<uint8_t>(random() % 7);
    peer.say(noise);
    settle();
  }
  settle();
  EXPECT_TRUE(server->clients().empty());
}

TEST_F(ServerTest, who_never_reads_holds_one_picture) {
  start();
  screen.resize(1024, 768);
  Peer peer(path);
  handshake(peer);
  for (int round = 0; round < 20; ++round) {
    peer.say(kAskAll);
    const std::lock_guard guard(lock);
    screen.surface().fill(static_cast<uint32_t>(round) * 77);
    screen.changed({0, 0, 1024, 768});
    settle();
  }
  Peer other(path);
  handshake(other);
  EXPECT_EQ(server->clients().size(), 2u);
}

// Asks for sound as unsigned bytes of one channel.
TEST_F(ServerTest, a_viewer_hears_the_sound) {
  std::function<void(std::span<const int16_t>)> play;
  Server::Options options;
  options.sound = [&](SoundFormat format, auto heard) {
    EXPECT_EQ(format.rate, 22050u);
    EXPECT_EQ(format.channels, 1u);
    play = std::move(heard);
    return std::make_unique<SoundTap>();
  };
  start(std::move(options));
  screen.resize(16, 16);
  Peer peer(path);
  handshake(peer);
  peer.say({2, 0, 0, 1, 0xff, 0xff, 0xfe, 0xfd});
  peer.say(kAskAll);
  EXPECT_EQ(hear(peer, 16), (Bytes{0, 0, 0, 2, 0, 0, 0, 0, 0, 16, 0, 16, 0xff, 0xff, 0xfe, 0xfd}));
  hear(peer, 12 + 16 * 16 * 4);
  peer.say({255, 1, 0, 2, 0, 1, 0, 0, 0x56, 0x22, 255, 1, 0, 0});
  settle();
  ASSERT_TRUE(play);
  {
    const std::lock_guard guard(lock);
    play(std::vector<int16_t>{0, 0x7fff, -0x8000});
    play({});
    play({});
  }
  EXPECT_EQ(hear(peer, 4 + 11 + 4),
            (Bytes{255, 1, 0, 1, 255, 1, 0, 2, 0, 0, 0, 3, 0x80, 0xff, 0, 255, 1, 0, 0}));
  peer.say({255, 1, 0, 2, 6, 1, 0, 0, 0x56, 0x22});
  EXPECT_TRUE(hung_up(peer)) << "no such format";
}

TEST_F(ServerTest, no_more_viewers_than_allowed) {
  Server::Options options;
  options.connections = 2;
  start(std::move(options));
  Peer first(path), second(path), third(path);
  EXPECT_TRUE(hung_up(third));
  EXPECT_EQ(server->clients().size(), 2u);
}

}  // namespace
}  // namespace rhea::display::vnc
