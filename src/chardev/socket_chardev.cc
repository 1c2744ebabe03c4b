#include "chardev/socket_chardev.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/failf.h"
#include "base/log.h"

namespace rhea::chardev {

namespace {

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return failf(ErrorKind::Invalid, "UNIX socket path '{}' is too long", path);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

// SAFETY: every socket address begins with the generic one.
template <class T>
const sockaddr* generic(const T& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

Result<int> unix_socket(const std::string& path, bool server) {
  sockaddr_un address = TRY(unix_address(path));
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_errno(errno, path);
  if (server) ::unlink(path.c_str());
  bool ok = server ? ::bind(fd, generic(address), sizeof address) == 0 && ::listen(fd, 1) == 0
                   : ::connect(fd, generic(address), sizeof address) == 0;
  if (ok) return fd;
  int error = errno;
  ::close(fd);
  return fail_errno(error, path);
}

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<AddressList> resolve(const SocketAddress& where, bool server) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = server ? AI_PASSIVE : 0;
  addrinfo* list = nullptr;
  int error =
      ::getaddrinfo(where.host.empty() ? nullptr : where.host.c_str(), where.port.c_str(), &hints, &list);
  if (error != 0) return failf(ErrorKind::Invalid, "{}: {}", where.text(), ::gai_strerror(error));
  return AddressList(list, &::freeaddrinfo);
}

Result<int> tcp_socket(const SocketAddress& where, bool server) {
  AddressList list = TRY(resolve(where, server));
  int error = 0;
  for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
    int fd = ::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0) {
      error = errno;
      continue;
    }
    int on = 1;
    if (server) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool ok = server ? ::bind(fd, at->ai_addr, at->ai_addrlen) == 0 && ::listen(fd, 1) == 0
                     : ::connect(fd, at->ai_addr, at->ai_addrlen) == 0;
    if (ok) return fd;
    error = errno;
    ::close(fd);
  }
  return fail_errno(error, where.text());
}

}  // namespace

std::string SocketAddress::text() const {
  return path.empty() ? host + ":" + port : path;
}

Result<int> listen_on(const SocketAddress& address) {
  return address.path.empty() ? tcp_socket(address, true) : unix_socket(address.path, true);
}

Result<int> connect_to(const SocketAddress& address) {
  return address.path.empty() ? tcp_socket(address, false) : unix_socket(address.path, false);
}

Result<std::unique_ptr<SocketChardev>> SocketChardev::create(async::EventLoop& loop, Options options) {
  std::unique_ptr<SocketChardev> chardev(new SocketChardev(loop, std::move(options)));
  TRY(chardev->start());
  return chardev;
}

Result<> SocketChardev::start() {
  if (!options_.server) return use(TRY(connect_to(options_.address)));
  listener_ = TRY(listen_on(options_.address));
  if (options_.wait) {
    log_info("waiting for connection on: {}", options_.address.text());
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
  drain(500);
  listener_watch_.reset();
  close();
  if (peer_ >= 0) ::close(peer_);
  if (listener_ >= 0) {
    ::close(listener_);
    if (!options_.address.path.empty()) ::unlink(options_.address.path.c_str());
  }
}

Result<> SocketChardev::use(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  int on = 1;
  if (options_.no_delay) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  peer_ = fd;
  return open(fd, fd);
}

void SocketChardev::accept_client() {
  int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  if (auto used = use(fd); !used) {
    log_warn("{}: {}", options_.address.text(), used.error().message());
    return hung_up(Side::Input);
  }
  if (listener_watch_) listener_watch_->set_events(0);
}

void SocketChardev::hung_up(Side) {
  close();
  if (peer_ >= 0) ::close(peer_);
  peer_ = -1;
  if (listener_watch_) listener_watch_->set_events(EPOLLIN);
}

}  // namespace rhea::chardev
