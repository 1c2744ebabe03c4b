#include "chardev/udp_chardev.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace rhea::chardev {

Result<std::unique_ptr<UdpChardev>> UdpChardev::create(async::EventLoop& loop, const SocketAddress& remote,
                                                       const SocketAddress& local) {
  int fd = TRY(open_udp(remote, local));
  std::unique_ptr<UdpChardev> chardev(new UdpChardev(fd));
  chardev->watch_ = TRY(loop.watch(fd, EPOLLIN, [at = chardev.get()](uint32_t) { at->ready(); }));
  return chardev;
}

UdpChardev::~UdpChardev() {
  watch_.reset();
  ::close(fd_);
}

void UdpChardev::attach(Frontend* frontend) {
  frontend_ = frontend;
  if (frontend_ != nullptr) frontend_->connected();
  deliver();
}

size_t UdpChardev::write(std::span<const uint8_t> bytes) {
  static_cast<void>(::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
  return bytes.size();
}

void UdpChardev::ready() {
  if (!input_.empty()) return watch_->set_events(0);
  input_.resize(65536);
  ssize_t n = ::recv(fd_, input_.data(), input_.size(), MSG_DONTWAIT);
  input_.resize(n > 0 ? static_cast<size_t>(n) : 0);
  deliver();
}

void UdpChardev::deliver() {
  while (frontend_ != nullptr && !input_.empty()) {
    size_t n = std::min(frontend_->can_receive(), input_.size());
    if (n == 0) break;
    std::vector<uint8_t> part(input_.begin(), input_.begin() + static_cast<ptrdiff_t>(n));
    input_.erase(input_.begin(), input_.begin() + static_cast<ptrdiff_t>(n));
    frontend_->receive(part);
  }
  watch_->set_events(input_.empty() ? uint32_t{EPOLLIN} : 0);
}

}  // namespace rhea::chardev
