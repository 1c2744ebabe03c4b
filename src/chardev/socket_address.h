// Addresses of sockets and the sockets themselves: TCP, UNIX (in the file system or abstract), UDP. ip(7),
// unix(7), getaddrinfo(3).
#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace rhea::chardev {

struct SocketAddress {
  std::string host, port;  // TCP
  std::string path;        // Unix; empty: TCP
  bool abstract = false;   // Unix: the path is a name outside the file system
  std::optional<bool> ipv4 = {}, ipv6 = {};
  std::optional<unsigned> last_port = {};  // a server takes the first free one up to this
  std::string text() const;                // "tcp:127.0.0.1:4444", "unix:/a/b"
};

// A listening socket, or one that is connected. Errors name the address.
Result<int> listen_on(const SocketAddress& address);
Result<int> connect_to(const SocketAddress& address);
// Begins to connect without waiting: the socket becomes writable when that has come to an end.
Result<int> begin_to_connect(const SocketAddress& address);
Result<int> open_udp(const SocketAddress& remote, const SocketAddress& local);
// Where the socket really is, or who is at its other end: "127.0.0.1:45671".
std::string local_name(int fd);
std::string peer_name(int fd);

}  // namespace rhea::chardev
