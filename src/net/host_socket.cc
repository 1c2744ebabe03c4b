#include "net/host_socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/failf.h"
#include "config/schema.h"

namespace rhea::net {

namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<AddressList> look_up(const std::string& text, int family, int type, int flags) {
  const HostPort where = TRY(parse_host_port(text));
  addrinfo hints{};
  hints.ai_family = family;
  hints.ai_socktype = type;
  hints.ai_flags = flags;
  addrinfo* list = nullptr;
  const char* host = where.host.empty() ? nullptr : where.host.c_str();
  const int error = ::getaddrinfo(host, where.port.c_str(), &hints, &list);
  if (error != 0) return failf(ErrorKind::Invalid, "{}: {}", text, ::gai_strerror(error));
  return AddressList(list, &::freeaddrinfo);
}

Result<int> tcp_socket(const std::string& where, bool server) {
  const AddressList list = TRY(look_up(where, AF_UNSPEC, SOCK_STREAM, server ? AI_PASSIVE : 0));
  int error = 0;
  for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
    const int fd = ::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0) {
      error = errno;
      continue;
    }
    const int on = 1;
    if (server) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const bool ok = server ? ::bind(fd, at->ai_addr, at->ai_addrlen) == 0 && ::listen(fd, 1) == 0
                           : ::connect(fd, at->ai_addr, at->ai_addrlen) == 0;
    if (ok) return fd;
    error = errno;
    ::close(fd);
  }
  return fail_errno(error, where);
}

}  // namespace

Result<HostPort> parse_host_port(const std::string& text) {
  const size_t colon = text.rfind(':');
  HostPort result;
  if (colon != std::string::npos) {
    result.host = text.substr(0, colon);
    result.port = text.substr(colon + 1);
  }
  const std::string& host = result.host;
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
    result.host = host.substr(1, host.size() - 2);
  if (colon == std::string::npos || !config::parse_unsigned(result.port, 0, 65535))
    return failf(ErrorKind::Invalid, "'{}' is not HOST:PORT", text);
  return result;
}

Result<int> connect_tcp(const std::string& where) {
  return tcp_socket(where, false);
}

Result<int> listen_tcp(const std::string& where) {
  return tcp_socket(where, true);
}

Result<sockaddr_in> resolve_ip4(const std::string& where) {
  const AddressList list = TRY(look_up(where, AF_INET, SOCK_DGRAM, AI_PASSIVE));
  sockaddr_in address{};
  if (list == nullptr || list->ai_addrlen != sizeof address)
    return failf(ErrorKind::Invalid, "{}: no IPv4 address", where);
  std::memcpy(&address, list->ai_addr, sizeof address);
  return address;
}

Result<> make_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
    return fail_errno(errno, "making a descriptor non-blocking");
  return {};
}

Result<int> inherited_descriptor(const std::string& text) {
  const auto number = config::parse_unsigned(text, 0, 1 << 20);
  if (!number || ::fcntl(static_cast<int>(*number), F_GETFD) < 0)
    return failf(ErrorKind::Invalid, "'{}' is not an open file descriptor", text);
  return static_cast<int>(*number);
}

}  // namespace rhea::net
