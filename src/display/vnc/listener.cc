#include "display/vnc/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/failf.h"

namespace rhea::display::vnc {

namespace {

// SAFETY: every socket address begins with the generic one.
template <class T>
const sockaddr* generic(const T& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}
template <class T>
sockaddr* generic(T& address) {
  return reinterpret_cast<sockaddr*>(&address);
}

std::string unix_path(const sockaddr_storage& address, socklen_t size) {
  sockaddr_un un{};
  std::memcpy(&un, &address, std::min<size_t>(size, sizeof un - 1));
  return un.sun_path;
}

Endpoint described(const sockaddr_storage& address, socklen_t size) {
  if (address.ss_family == AF_UNIX) return {"", unix_path(address, size), "unix"};
  char host[NI_MAXHOST] = "", service[NI_MAXSERV] = "";
  ::getnameinfo(generic(address), size, host, sizeof host, service, sizeof service,
                NI_NUMERICHOST | NI_NUMERICSERV);
  return {host, service, address.ss_family == AF_INET6 ? "ipv6" : "ipv4"};
}

std::string text_of(const Address& address) {
  return address.path.empty() ? fmt::format("{}:{}", address.host, address.port) : address.path;
}

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return failf(ErrorKind::Invalid, "UNIX socket path '{}' is too long", path);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<AddressList> resolve(const Address& where, uint16_t port, bool passive) {
  addrinfo hints{};
  hints.ai_family = !where.ipv6 ? AF_INET : !where.ipv4 ? AF_INET6 : AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = passive ? AI_PASSIVE : 0;
  addrinfo* list = nullptr;
  const std::string service = std::to_string(port);
  const int error =
      ::getaddrinfo(where.host.empty() ? nullptr : where.host.c_str(), service.c_str(), &hints, &list);
  if (error != 0) {
    return failf(ErrorKind::Invalid, "address resolution failed for {}:{}: {}", where.host, port,
                 ::gai_strerror(error));
  }
  return AddressList(list, &::freeaddrinfo);
}

void close_all(std::vector<int>& sockets) {
  for (const int fd : sockets) ::close(fd);
  sockets.clear();
}

// A socket for each address of the host, or 0 sockets and errno.
Result<std::vector<int>> listen_on_port(const Address& where, uint16_t port, int& error) {
  const AddressList list = TRY(resolve(where, port, true));
  std::vector<int> sockets;
  error = 0;
  for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
    const int fd = ::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0) {
      error = errno;  // a host without IPv6
      continue;
    }
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->ai_family == AF_INET6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (::bind(fd, at->ai_addr, at->ai_addrlen) == 0 && ::listen(fd, 16) == 0) {
      sockets.push_back(fd);
      continue;
    }
    error = errno;
    ::close(fd);
    if (error != EADDRINUSE) continue;
    close_all(sockets);
    break;
  }
  return sockets;
}

Result<std::vector<int>> listen_tcp(const Address& address) {
  const unsigned last = std::max(address.port, address.last_port);
  int error = 0;
  for (unsigned port = address.port; port <= last; ++port) {
    auto sockets = TRY(listen_on_port(address, static_cast<uint16_t>(port), error));
    if (!sockets.empty()) return sockets;
    if (error != EADDRINUSE) break;
  }
  return failf(ErrorKind::Busy, "Failed to bind socket to {}: {}", text_of(address), errno_text(error));
}

Result<std::vector<int>> listen_unix(const std::string& path) {
  const sockaddr_un address = TRY(unix_address(path));
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_errno(errno, path);
  ::unlink(path.c_str());
  if (::bind(fd, generic(address), sizeof address) == 0 && ::listen(fd, 16) == 0) return std::vector{fd};
  const int error = errno;
  ::close(fd);
  return failf(ErrorKind::Io, "Failed to bind socket to {}: {}", path, errno_text(error));
}

}  // namespace

Endpoint peer_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(fd, generic(address), &size) != 0) return {"", "", "unknown"};
  return described(address, size);
}

Endpoint local_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, generic(address), &size) != 0) return {"", "", "unknown"};
  return described(address, size);
}

Result<int> connect_to(const Address& address) {
  int error = 0;
  if (!address.path.empty()) {
    const sockaddr_un to = TRY(unix_address(address.path));
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && ::connect(fd, generic(to), sizeof to) == 0) return fd;
    error = errno;
    if (fd >= 0) ::close(fd);
  } else {
    const AddressList list = TRY(resolve(address, address.port, false));
    for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
      const int fd = ::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
      if (fd >= 0 && ::connect(fd, at->ai_addr, at->ai_addrlen) == 0) return fd;
      error = errno;
      if (fd >= 0) ::close(fd);
    }
  }
  return failf(ErrorKind::Io, "Failed to connect to '{}': {}", text_of(address), errno_text(error));
}

ListeningSocket::ListeningSocket(int fd, std::string path, Accepted accepted)
    : fd_(fd), path_(std::move(path)), accepted_(std::move(accepted)), endpoint_(local_of(fd)) {}

ListeningSocket::~ListeningSocket() {
  watch_.reset();
  ::close(fd_);
  if (!path_.empty()) ::unlink(path_.c_str());
}

Result<std::vector<std::unique_ptr<ListeningSocket>>> ListeningSocket::open(async::EventLoop& loop,
                                                                            const Address& address,
                                                                            Accepted accepted) {
  const std::vector<int> fds = TRY(address.path.empty() ? listen_tcp(address) : listen_unix(address.path));
  std::vector<std::unique_ptr<ListeningSocket>> sockets;
  for (const int fd : fds) sockets.emplace_back(new ListeningSocket(fd, address.path, accepted));
  for (const auto& socket : sockets) TRY(socket->watch(loop));
  return sockets;
}

Result<> ListeningSocket::watch(async::EventLoop& loop) {
  watch_ = TRY(loop.watch(fd_, EPOLLIN, [this](uint32_t) { accept_one(); }));
  return {};
}

void ListeningSocket::accept_one() {
  const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) accepted_(fd);
}

}  // namespace rhea::display::vnc
