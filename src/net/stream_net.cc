#include "net/stream_net.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/endian.h"
#include "base/log.h"
#include "net/host_socket.h"

namespace rhea::net {

namespace {
constexpr size_t kLength = 4;
}

Result<std::unique_ptr<StreamNet>> StreamNet::listen(async::EventLoop& loop, std::string id,
                                                     const std::string& where) {
  std::unique_ptr<StreamNet> net(new StreamNet(loop, std::move(id), "listen=" + where));
  StreamNet* raw = net.get();
  net->listener_ = TRY(listen_tcp(where));
  TRY(make_nonblocking(net->listener_));
  net->listener_watch_ = TRY(loop.watch(net->listener_, EPOLLIN, [raw](uint32_t) { raw->accept_peer(); }));
  return net;
}

Result<std::unique_ptr<StreamNet>> StreamNet::connect(async::EventLoop& loop, std::string id,
                                                      const std::string& where) {
  std::unique_ptr<StreamNet> net(new StreamNet(loop, std::move(id), "connect=" + where));
  const int fd = TRY(connect_tcp(where));
  TRY(net->use(fd));
  return net;
}

Result<std::unique_ptr<StreamNet>> StreamNet::adopt(async::EventLoop& loop, std::string id, int fd) {
  std::unique_ptr<StreamNet> net(new StreamNet(loop, std::move(id), "fd=" + std::to_string(fd)));
  TRY(net->use(fd));
  return net;
}

StreamNet::~StreamNet() {
  disconnect();
  listener_watch_.reset();
  watch_.reset();
  if (fd_ >= 0) ::close(fd_);
  if (listener_ >= 0) ::close(listener_);
}

Result<> StreamNet::use(int fd) {
  fd_ = fd;
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // refused by Unix sockets, which need it not
  TRY(make_nonblocking(fd));
  watch_ = TRY(loop_.watch(fd, EPOLLIN, [this](uint32_t events) { ready(events); }));
  return {};
}

void StreamNet::accept_peer() {
  const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  if (auto used = use(fd); !used) {
    log_warn("netdev {}: {}", name(), used.error().message());
    return hang_up();
  }
  listener_watch_->set_events(0);
}

void StreamNet::hang_up() {
  watch_.reset();
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  input_.clear();
  output_.clear();
  paused_ = false;
  if (listener_watch_) listener_watch_->set_events(EPOLLIN);
  flush_queued();
}

void StreamNet::receive(Frame frame, const Offload&) {
  if (fd_ < 0) return;
  output_.resize(kLength);
  store_be<uint32_t>(output_.data(), static_cast<uint32_t>(frame.size()));
  output_.insert(output_.end(), frame.begin(), frame.end());
  write_out();
}

void StreamNet::write_out() {
  while (fd_ >= 0 && !output_.empty()) {
    const ssize_t sent = ::send(fd_, output_.data(), output_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) return hang_up();
    if (sent < 0) break;
    output_.erase(output_.begin(), output_.begin() + sent);
  }
  update();
}

void StreamNet::update() {
  if (!watch_) return;
  uint32_t events = 0;
  if (!paused_) events |= EPOLLIN;
  if (!output_.empty()) events |= EPOLLOUT;
  watch_->set_events(events);
}

void StreamNet::ready(uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    write_out();
    flush_queued();
  }
  if (fd_ >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read();
}

void StreamNet::read() {
  std::array<uint8_t, 65536> buffer;
  const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return hang_up();
  input_.insert(input_.end(), buffer.begin(), buffer.begin() + got);
  parse();
}

// Whole frames of the input go to the device; what does not look like one ends the connection.
void StreamNet::parse() {
  size_t at = 0;
  while (!paused_ && input_.size() - at >= kLength) {
    const uint32_t size = load_be<uint32_t>(&input_[at]);
    if (size > kLargestFrame) {
      log_warn("netdev {}: a frame of {} bytes: the peer does not speak this protocol", name(), size);
      return hang_up();
    }
    if (input_.size() - at - kLength < size) break;
    if (!send({&input_[at] + kLength, size})) paused_ = true;
    at += kLength + size;
  }
  input_.erase(input_.begin(), input_.begin() + static_cast<ptrdiff_t>(at));
  update();
}

void StreamNet::room_again() {
  if (!paused_) return;
  paused_ = false;
  parse();
}

}  // namespace rhea::net
