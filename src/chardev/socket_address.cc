#include "chardev/socket_address.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include "base/failf.h"

namespace rhea::chardev {

namespace {

enum class Role : uint8_t { Server, Client, LateClient };

// SAFETY: every socket address begins with the generic one.
template <class T>
const sockaddr* generic(const T& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

std::unexpected<Error> failed(const SocketAddress& where, Role role, int error) {
  std::string name = where.path.empty() ? where.host + ":" + where.port : where.path;
  if (role == Role::Server && where.path.empty())
    return failf(ErrorKind::Io, "Failed to find an available port: {} ({})", errno_text(error), name);
  if (role == Role::Server)
    return failf(ErrorKind::Io, "Failed to bind socket to {}: {}", name, errno_text(error));
  return failf(ErrorKind::Io, "Failed to connect to '{}': {}", name, errno_text(error));
}

bool attach_socket(int fd, Role role, const sockaddr* address, socklen_t size) {
  if (role == Role::Server) return ::bind(fd, address, size) == 0 && ::listen(fd, 1) == 0;
  if (role == Role::LateClient) {
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    return ::connect(fd, address, size) == 0 || errno == EINPROGRESS || errno == EAGAIN;
  }
  return ::connect(fd, address, size) == 0;
}

Result<int> unix_socket(const SocketAddress& where, Role role) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  size_t shift = where.abstract ? 1 : 0;
  if (where.path.size() + shift >= sizeof address.sun_path) {
    return failf(ErrorKind::Invalid, "UNIX socket path '{}' is too long", where.path);
  }
  std::memcpy(address.sun_path + shift, where.path.c_str(), where.path.size());
  size_t size = offsetof(sockaddr_un, sun_path) + shift + where.path.size() + (where.abstract ? 0 : 1);
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(where, role, errno);
  if (role == Role::Server && !where.abstract) ::unlink(where.path.c_str());
  if (attach_socket(fd, role, generic(address), static_cast<socklen_t>(size))) return fd;
  int error = errno;
  ::close(fd);
  return failed(where, role, error);
}

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<AddressList> resolve(const SocketAddress& where, const std::string& port, int type, bool server) {
  addrinfo hints{};
  bool four = where.ipv4.value_or(!where.ipv6.value_or(false));
  bool six = where.ipv6.value_or(!where.ipv4.value_or(false));
  hints.ai_family = four && six ? AF_UNSPEC : four ? AF_INET : AF_INET6;
  hints.ai_socktype = type;
  hints.ai_flags = server ? AI_PASSIVE : 0;
  addrinfo* list = nullptr;
  int error = ::getaddrinfo(where.host.empty() ? nullptr : where.host.c_str(), port.c_str(), &hints, &list);
  if (error != 0) {
    return failf(ErrorKind::Invalid, "address resolution failed for {}:{}: {}", where.host, port,
                 ::gai_strerror(error));
  }
  return AddressList(list, &::freeaddrinfo);
}

Result<int> tcp_socket(const SocketAddress& where, const std::string& port, Role role) {
  AddressList list = TRY(resolve(where, port, SOCK_STREAM, role == Role::Server));
  int error = 0;
  for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
    int fd = ::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0) {
      error = errno;
      continue;
    }
    int on = 1;
    if (role == Role::Server) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (attach_socket(fd, role, at->ai_addr, at->ai_addrlen)) return fd;
    error = errno;
    ::close(fd);
  }
  return failed(where, role, error);
}

Result<int> stream(const SocketAddress& where, Role role) {
  if (!where.path.empty()) return unix_socket(where, role);
  unsigned first = 0;
  std::from_chars(where.port.data(), where.port.data() + where.port.size(), first);
  if (role != Role::Server || !where.last_port || *where.last_port <= first)
    return tcp_socket(where, where.port, role);
  for (unsigned port = first;; ++port) {
    auto made = tcp_socket(where, std::to_string(port), role);
    if (made || port == *where.last_port) return made;
  }
}

std::string name_of(const sockaddr_storage& address, socklen_t size) {
  if (address.ss_family != AF_INET && address.ss_family != AF_INET6) return {};
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (::getnameinfo(generic(address), size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return {};
  std::string text = host;
  if (address.ss_family == AF_INET6) text = "[" + text + "]";
  return text + ":" + port;
}

template <class Ask>
std::string ask_name(int fd, Ask ask) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  // SAFETY: every socket address begins with the generic one.
  if (ask(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  return name_of(address, size);
}

}  // namespace

std::string SocketAddress::text() const {
  if (!path.empty()) return "unix:" + path;
  bool bracket = host.find(':') != std::string::npos;
  return "tcp:" + (bracket ? "[" + host + "]" : host) + ":" + port;
}

Result<int> listen_on(const SocketAddress& address) {
  return stream(address, Role::Server);
}
Result<int> connect_to(const SocketAddress& address) {
  return stream(address, Role::Client);
}
Result<int> begin_to_connect(const SocketAddress& address) {
  return stream(address, Role::LateClient);
}

Result<int> open_udp(const SocketAddress& remote, const SocketAddress& local) {
  AddressList to = TRY(resolve(remote, remote.port, SOCK_DGRAM, false));
  SocketAddress from = local;
  from.ipv4 = to->ai_family == AF_INET;
  from.ipv6 = to->ai_family == AF_INET6;
  AddressList at = TRY(resolve(from, local.port.empty() ? "0" : local.port, SOCK_DGRAM, true));
  int fd = ::socket(to->ai_family, to->ai_socktype | SOCK_CLOEXEC, to->ai_protocol);
  if (fd < 0) return failed(remote, Role::Client, errno);
  int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  bool bound = ::bind(fd, at->ai_addr, at->ai_addrlen) == 0;
  if (bound && ::connect(fd, to->ai_addr, to->ai_addrlen) == 0) return fd;
  int error = errno;
  ::close(fd);
  return failed(bound ? remote : local, bound ? Role::Client : Role::Server, error);
}

std::string local_name(int fd) {
  return ask_name(fd, ::getsockname);
}
std::string peer_name(int fd) {
  return ask_name(fd, ::getpeername);
}

}  // namespace rhea::chardev
