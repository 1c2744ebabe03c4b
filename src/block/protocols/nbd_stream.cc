#include "block/protocols/nbd_stream.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/failf.h"

namespace rhea::block {
namespace {

class SocketStream final : public NbdStream {
 public:
  explicit SocketStream(int fd) : fd_(fd) {}
  ~SocketStream() override { ::close(fd_); }
  SocketStream(const SocketStream&) = delete;
  SocketStream& operator=(const SocketStream&) = delete;

  Result<> send(std::span<const uint8_t> data) override {
    while (!data.empty()) {
      const ssize_t put = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return fail(ErrorKind::Io, errno_text(errno));
      data = data.subspan(static_cast<size_t>(put));
    }
    return {};
  }

  Result<size_t> receive(std::span<uint8_t> into) override {
    while (true) {
      const ssize_t got = ::recv(fd_, into.data(), into.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return fail(ErrorKind::Io, "NBD server does not answer");
      if (got < 0) return fail(ErrorKind::Io, errno_text(errno));
      if (got == 0) return fail(ErrorKind::Io, "NBD server closed the connection");
      return static_cast<size_t>(got);
    }
  }

  void limit_wait(unsigned seconds) override {
    const timeval limit{.tv_sec = static_cast<time_t>(seconds), .tv_usec = 0};
    (void)::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }

  void shut_down() override { ::shutdown(fd_, SHUT_RDWR); }

 private:
  const int fd_;
};

Result<int> connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return failf(ErrorKind::Invalid, "UNIX socket path '{}' is too long", path);
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(ErrorKind::Io, errno_text(errno));
  // SAFETY: the socket interface's way to pass an address.
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  const int error = errno;
  ::close(fd);
  return failf(ErrorKind::Io, "Failed to connect to '{}': {}", path, errno_text(error));
}

Result<int> connect_tcp(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list); error != 0)
    return failf(ErrorKind::NotFound, "address resolution failed for {}:{}: {}", host, port,
                 ::gai_strerror(error));
  int last_error = ECONNREFUSED;
  int fd = -1;
  for (const addrinfo* one = list; one != nullptr && fd < 0; one = one->ai_next) {
    fd = ::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
    if (fd >= 0 && ::connect(fd, one->ai_addr, one->ai_addrlen) == 0) break;
    last_error = errno;
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
  ::freeaddrinfo(list);
  if (fd < 0)
    return failf(ErrorKind::Io, "Failed to connect to '{}:{}': {}", host, port, errno_text(last_error));
  const int on = 1;
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

}  // namespace

Result<std::unique_ptr<NbdStream>> connect_nbd(const NbdAddress& address) {
  const int fd =
      TRY(address.path.empty() ? connect_tcp(address.host, address.port) : connect_unix(address.path));
  return std::make_unique<SocketStream>(fd);
}

}  // namespace rhea::block
