// Any bytes from a VNC viewer, before and after the handshake, plain and through a WebSocket: it is answered
// or hung up on, and the server is there for the next one.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>

#include "base/check.h"
#include "display/vnc/server.h"

namespace {

using namespace rhea;
using namespace rhea::display;

struct World {
  World() {
    const std::lock_guard guard(lock);
    screen.resize(80, 50).fill(0x123456);
    vnc::Server::Options options;
    options.address.path = path;
    options.websocket.emplace().path = path + "w";
    options.key_delay_ns = 0;
    auto made = vnc::Server::create({loop, screen, hub}, std::move(options));
    CHECK(made.has_value());
    server = std::move(*made);
  }
  int connect(bool websocket) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string& to = websocket ? path + "w" : path;
    std::strncpy(address.sun_path, to.c_str(), sizeof address.sun_path - 1);
    // SAFETY: every socket address begins with the generic one.
    CHECK(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return fd;
  }
  std::recursive_mutex lock;
  async::EventLoop loop{lock};
  Screen screen{loop.monotonic_clock(), "fuzz"};
  InputHub hub;
  const std::string path = "/tmp/vnc-fuzz-" + std::to_string(::getpid());
  std::unique_ptr<vnc::Server> server;
};

void turn(World& world, int fd, unsigned turns) {
  for (unsigned i = 0; i < turns; ++i) {
    world.loop.run_once(0);
    char buffer[65536];
    while (::recv(fd, buffer, sizeof buffer, 0) > 0) continue;
  }
}

void say(int fd, std::string_view bytes) {
  static_cast<void>(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World* world = new World;  // for as long as the program runs
  if (size < 2) return 0;
  const bool websocket = (data[0] & 1) != 0, greeted = (data[0] & 2) != 0, cut = (data[0] & 4) != 0;
  const int fd = world->connect(websocket);
  turn(*world, fd, 2);
  if (websocket && (data[0] & 8) == 0)
    say(fd,
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
        "AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n");
  if (!websocket && greeted) say(fd, std::string_view("RFB 003.008\n\1\1", 14));
  turn(*world, fd, 3);
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);  // SAFETY: bytes as chars
  const size_t half = cut ? rest.size() / 2 : rest.size();
  say(fd, rest.substr(0, half));
  turn(*world, fd, 3);
  say(fd, rest.substr(half));
  if (data[0] & 16) {
    const std::lock_guard guard(world->lock);
    world->screen.resize(data[1] + 1u, 64 - data[0] % 32).fill(data[1] * 77u);
  }
  turn(*world, fd, 4);
  ::close(fd);
  for (int i = 0; i < 50 && !world->server->clients().empty(); ++i) world->loop.run_once(1'000'000);
  CHECK(world->server->clients().empty());
  return 0;
}
