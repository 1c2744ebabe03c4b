#include "net/user/guest_line.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "net/host_socket.h"

namespace rhea::net {

Result<std::unique_ptr<GuestLine>> GuestLine::connect(Wiring wiring, const std::string& where) {
  std::unique_ptr<GuestLine> line(new GuestLine(std::move(wiring)));
  line->fd_ = TRY(connect_tcp(where));
  TRY(make_nonblocking(line->fd_));
  GuestLine* raw = line.get();
  line->watch_ = TRY(line->wiring_.loop.watch(line->fd_, EPOLLIN, [raw](uint32_t) { raw->readable(); }));
  return line;
}

GuestLine::~GuestLine() {
  watch_.reset();
  if (fd_ >= 0) ::close(fd_);
}

ssize_t GuestLine::write(std::span<const uint8_t> bytes) {
  if (fd_ < 0) return -1;
  const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) return sent;
  return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

void GuestLine::readable() {
  std::array<uint8_t, 16384> buffer;
  const size_t room = std::min(wiring_.room(), buffer.size());
  if (room == 0) {
    paused_ = true;
    return update();
  }
  const ssize_t got = ::recv(fd_, buffer.data(), room, MSG_DONTWAIT);
  if (got > 0) return wiring_.input({buffer.data(), static_cast<size_t>(got)});
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  watch_.reset();
  ::close(std::exchange(fd_, -1));
}

void GuestLine::update() {
  if (watch_) watch_->set_events(paused_ ? 0 : uint32_t{EPOLLIN});
}

void GuestLine::resume() {
  if (!paused_ || fd_ < 0 || wiring_.room() == 0) return;
  paused_ = false;
  update();
}

}  // namespace rhea::net
