#include "chardev/socket_chardev.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "base/failf.h"
#include "base/log.h"

namespace rhea::chardev {

SocketChardev::SocketChardev(async::EventLoop& loop, Options options)
    : FdChardev(loop), options_(std::move(options)) {
  if (options_.reconnect_s != 0) retry_ = loop.monotonic_clock().make_timer([this] { try_to_connect(); });
}

Result<std::unique_ptr<SocketChardev>> SocketChardev::create(async::EventLoop& loop, Options options) {
  std::unique_ptr<SocketChardev> chardev(new SocketChardev(loop, std::move(options)));
  TRY(chardev->start());
  return chardev;
}

Result<> SocketChardev::start() {
  if (options_.server) return listen();
  if (options_.fd) return use(*options_.fd);
  if (retry_) {
    try_to_connect();
    return {};
  }
  return use(TRY(connect_to(options_.address)));
}

Result<> SocketChardev::listen() {
  listener_ = options_.fd ? *options_.fd : TRY(listen_on(options_.address));
  // Port 0 is any, and "to" the first free one.
  std::string real = local_name(listener_);
  if (!real.empty()) options_.address.port = real.substr(real.rfind(':') + 1);
  if (options_.wait) {
    log_info("QEMU waiting for connection on: {}", description());
    pollfd entry{listener_, POLLIN, 0};
    while (::poll(&entry, 1, -1) < 0 && errno == EINTR) {
    }
    accept_client();
  }
  listener_watch_ = TRY(loop_.watch(listener_, EPOLLIN, [this](uint32_t) { accept_client(); }));
  listener_watch_->set_events(peer_ < 0 ? uint32_t{EPOLLIN} : 0);
  return {};
}

SocketChardev::~SocketChardev() {
  frontend_ = nullptr;
  retry_.reset();
  drain(500);
  listener_watch_.reset();
  connecting_watch_.reset();
  close();
  if (peer_ >= 0) ::close(peer_);
  if (connecting_ >= 0) ::close(connecting_);
  if (listener_ >= 0) {
    ::close(listener_);
    const SocketAddress& address = options_.address;
    if (!address.path.empty() && !address.abstract) ::unlink(address.path.c_str());
  }
}

std::string SocketChardev::description() const {
  std::string text = options_.address.text();
  if (options_.telnet && options_.address.path.empty()) text = "telnet" + text.substr(3);
  if (options_.server) text += ",server=on";
  if (peer_ < 0) return "disconnected:" + text;
  std::string other = peer_name(peer_);
  return other.empty() ? text : text + " <-> " + other;
}

Result<> SocketChardev::use(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  int on = 1;
  if (options_.no_delay) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  peer_ = fd;
  if (options_.telnet) {
    telnet_.restart();
    std::string_view words = TelnetFilter::greeting();
    static_cast<void>(::send(fd, words.data(), words.size(), MSG_NOSIGNAL));
  }
  return open(fd, fd);
}

void SocketChardev::accept_client() {
  int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  if (listener_watch_) listener_watch_->set_events(0);
  if (auto used = use(fd); !used) {
    log_warn("{}: {}", options_.address.text(), used.error().message());
    hung_up(Side::Input);
  }
}

void SocketChardev::input(std::span<const uint8_t> bytes) {
  if (!options_.telnet) return queue_input(bytes);
  TelnetFilter::Input found = telnet_.take(bytes);
  queue_input(found.bytes);
  for (unsigned i = 0; i < found.breaks; ++i) receive_break();
}

void SocketChardev::hung_up(Side) {
  close();
  if (peer_ >= 0) ::close(peer_);
  peer_ = -1;
  if (listener_watch_) listener_watch_->set_events(EPOLLIN);
  if (retry_) later();
}

void SocketChardev::later() {
  retry_->arm(loop_.monotonic_clock().now_ns() + int64_t{options_.reconnect_s} * 1'000'000'000);
}

void SocketChardev::try_to_connect() {
  auto fd = begin_to_connect(options_.address);
  if (!fd) return later();
  connecting_ = *fd;
  auto watch = loop_.watch(connecting_, EPOLLOUT, [this](uint32_t) { connect_ended(); });
  if (watch) {
    connecting_watch_ = std::move(*watch);
  } else {
    ::close(std::exchange(connecting_, -1));
    later();
  }
}

void SocketChardev::connect_ended() {
  connecting_watch_.reset();
  int fd = std::exchange(connecting_, -1);
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    ::close(fd);
    return later();
  }
  if (!use(fd)) hung_up(Side::Input);
}

}  // namespace rhea::chardev
