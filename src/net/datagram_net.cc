#include "net/datagram_net.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/failf.h"
#include "net/host_socket.h"

namespace rhea::net {

namespace {

// IPv4's largest payload.
constexpr size_t kLargestDatagram = 65507;
constexpr int kFramesPerTurn = 64;

Result<int> udp_socket(const std::string& what) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail_errno(errno, what);
  return fd;
}

template <class T>
Result<> set_option(int fd, int level, int option, const T& value, const std::string& what) {
  if (::setsockopt(fd, level, option, &value, sizeof value) == 0) return {};
  return fail_errno(errno, what);
}

Result<> bind_to(int fd, sockaddr_in address, const std::string& what) {
  if (::bind(fd, generic_address(address), sizeof address) == 0) return {};
  return fail_errno(errno, what);
}

// Whether the host has this address itself.
bool is_local(in_addr address) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return false;
  bool found = false;
  for (const ifaddrs* at = list; at != nullptr && !found; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
    // SAFETY: the family says which address it is.
    found = reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr.s_addr == address.s_addr;
  }
  ::freeifaddrs(list);
  return found;
}

}  // namespace

Result<std::unique_ptr<DatagramNet>> DatagramNet::multicast(async::EventLoop& loop, std::string id,
                                                            const std::string& group,
                                                            const std::string& local) {
  std::unique_ptr<DatagramNet> net(new DatagramNet(loop, std::move(id), "mcast=" + group));
  net->to_ = TRY(resolve_ip4(group));
  if (!IN_MULTICAST(ntohl(net->to_.sin_addr.s_addr)))
    return failf(ErrorKind::Invalid, "'mcast' accepts a multicast address, not '{}'", group);
  in_addr interface {};
  if (!local.empty() && ::inet_pton(AF_INET, local.c_str(), &interface) != 1)
    return failf(ErrorKind::Invalid, "'localaddr' accepts an IPv4 address, not '{}'", local);
  net->input_ = TRY(udp_socket(group));
  TRY(set_option(net->input_, SOL_SOCKET, SO_REUSEADDR, 1, group));
  TRY(bind_to(net->input_, net->to_, group));
  const ip_mreq membership{.imr_multiaddr = net->to_.sin_addr, .imr_interface = interface};
  TRY(set_option(net->input_, IPPROTO_IP, IP_ADD_MEMBERSHIP, membership, group));
  net->output_ = TRY(udp_socket(group));
  TRY(set_option(net->output_, IPPROTO_IP, IP_MULTICAST_LOOP, 1, group));
  if (!local.empty()) TRY(set_option(net->output_, IPPROTO_IP, IP_MULTICAST_IF, interface, group));
  sockaddr_in any{};
  any.sin_family = AF_INET;
  TRY(bind_to(net->output_, any, group));
  socklen_t size = sizeof net->own_;
  if (::getsockname(net->output_, generic_address(net->own_), &size) != 0) return fail_errno(errno, group);
  TRY(net->start());
  return net;
}

Result<std::unique_ptr<DatagramNet>> DatagramNet::unicast(async::EventLoop& loop, std::string id,
                                                          const std::string& remote,
                                                          const std::string& local) {
  std::unique_ptr<DatagramNet> net(new DatagramNet(loop, std::move(id), "udp=" + remote));
  net->to_ = TRY(resolve_ip4(remote));
  net->input_ = net->output_ = TRY(udp_socket(remote));
  TRY(set_option(net->input_, SOL_SOCKET, SO_REUSEADDR, 1, local));
  const sockaddr_in here = TRY(resolve_ip4(local));
  TRY(bind_to(net->input_, here, local));
  TRY(net->start());
  return net;
}

Result<std::unique_ptr<DatagramNet>> DatagramNet::adopt(async::EventLoop& loop, std::string id, int fd) {
  std::unique_ptr<DatagramNet> net(new DatagramNet(loop, std::move(id), "fd=" + std::to_string(fd)));
  net->input_ = net->output_ = fd;
  TRY(make_nonblocking(fd));
  TRY(net->start());
  return net;
}

Result<> DatagramNet::start() {
  buffer_.resize(kLargestFrame);
  watch_ = TRY(loop_.watch(input_, EPOLLIN, [this](uint32_t) { read(); }));
  return {};
}

DatagramNet::~DatagramNet() {
  disconnect();
  watch_.reset();
  if (output_ >= 0 && output_ != input_) ::close(output_);
  if (input_ >= 0) ::close(input_);
}

// A network that is busy or has no route loses datagrams, as it does on the wire.
void DatagramNet::receive(Frame frame, const Offload&) {
  if (frame.size() > kLargestDatagram) return;
  if (to_.sin_family == 0) {
    static_cast<void>(::send(output_, frame.data(), frame.size(), MSG_NOSIGNAL));
  } else {
    static_cast<void>(
        ::sendto(output_, frame.data(), frame.size(), MSG_NOSIGNAL, generic_address(to_), sizeof to_));
  }
}

bool DatagramNet::is_own(const sockaddr_in& from) const {
  return own_.sin_port != 0 && from.sin_port == own_.sin_port && is_local(from.sin_addr);
}

void DatagramNet::read() {
  for (int i = 0; i < kFramesPerTurn; ++i) {
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t got = ::recvfrom(input_, buffer_.data(), buffer_.size(), 0, generic_address(from), &size);
    if (got < 0) return;
    if (is_own(from)) continue;
    if (send({buffer_.data(), static_cast<size_t>(got)})) continue;
    watch_->set_events(0);
    return;
  }
}

void DatagramNet::room_again() {
  watch_->set_events(EPOLLIN);
}

}  // namespace rhea::net
