#include "display/vnc/connection.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace rhea::display::vnc {

Result<std::unique_ptr<Connection>> Connection::create(async::EventLoop& loop, int fd, bool websocket,
                                                       Listener& listener) {
  std::unique_ptr<Connection> connection(new Connection(fd, websocket, listener));
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // fails on a UNIX socket, which has no delay
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  Connection* self = connection.get();
  connection->watch_ = TRY(loop.watch(fd, EPOLLIN, [self](uint32_t events) { self->ready(events); }));
  return connection;
}

Connection::~Connection() {
  watch_.reset();
  if (fd_ >= 0) ::close(fd_);
}

void Connection::end() {
  if (fd_ < 0) return;
  watch_.reset();
  ::close(fd_);
  fd_ = -1;
  listener_.ended();
}

void Connection::end_after_output() {
  ending_ = true;
  if (queued() == 0) return end();
  update_events();
}

void Connection::ready(uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0) return end();
  if ((events & EPOLLOUT) != 0) flush();
  if (fd_ >= 0 && (events & EPOLLIN) != 0) read_some();
}

// One read an event: other users of the loop get their turn between two reads of a flood.
void Connection::read_some() {
  std::array<uint8_t, 16 << 10> buffer;
  const ssize_t count = ::recv(fd_, buffer.data(), buffer.size(), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) return end();
  if (ending_) return;  // said goodbye already
  const std::span<const uint8_t> bytes(buffer.data(), static_cast<size_t>(count));
  if (phase_ == Phase::Handshake) {
    handshake(bytes);
  } else {
    arrived(bytes);
  }
}

void Connection::handshake(std::span<const uint8_t> bytes) {
  request_.append(bytes.begin(), bytes.end());
  const size_t end_of_request = request_.find("\r\n\r\n");
  if (end_of_request == std::string::npos) {
    if (request_.size() > kMaxHandshake) end();
    return;
  }
  const auto answer = websocket_answer(std::string_view(request_).substr(0, end_of_request + 2));
  if (!answer) {
    constexpr std::string_view kBad = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    queue({reinterpret_cast<const uint8_t*>(kBad.data()), kBad.size()});  // SAFETY: chars as bytes
    flush();
    return end_after_output();
  }
  queue({reinterpret_cast<const uint8_t*>(answer->data()), answer->size()});  // SAFETY: chars as bytes
  phase_ = Phase::Frames;
  const std::vector<uint8_t> rest(request_.begin() + static_cast<ptrdiff_t>(end_of_request) + 4,
                                  request_.end());
  request_.clear();
  flush();
  if (fd_ < 0) return;
  listener_.drained();  // it may begin to speak
  if (fd_ >= 0 && !rest.empty()) arrived(rest);
}

void Connection::arrived(std::span<const uint8_t> bytes) {
  if (phase_ == Phase::Plain) return listener_.received(bytes);
  std::vector<uint8_t> payload;
  Output reply;
  const bool goes_on = websocket_.receive(bytes, payload, reply);
  if (reply.size() != 0) {
    answers_ += reply.size();
    queue(reply.view());
    flush();
  }
  if (fd_ >= 0 && !payload.empty()) listener_.received(payload);
  if (fd_ >= 0 && !goes_on) end_after_output();
}

void Connection::send(std::span<const uint8_t> bytes, Kind kind) {
  if (fd_ < 0 || ending_ || bytes.empty()) return;
  if (kind == Kind::Answer) answers_ += bytes.size();
  if (phase_ == Phase::Plain) {
    queue(bytes);
  } else {
    Output framed;
    WebSocket::frame(bytes, framed);
    queue(framed.view());
  }
  flush();
}

void Connection::queue(std::span<const uint8_t> bytes) {
  out_.insert(out_.end(), bytes.begin(), bytes.end());
}

void Connection::flush() {
  const bool had = queued() != 0;
  while (queued() != 0) {
    const ssize_t count = ::send(fd_, out_.data() + sent_, queued(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (count < 0) return end();
    sent_ += static_cast<size_t>(count);
  }
  if (queued() == 0) {
    constexpr size_t kKeep = 1 << 20;
    if (out_.capacity() > kKeep) {
      std::vector<uint8_t>().swap(out_);
    } else {
      out_.clear();
    }
    sent_ = answers_ = 0;
    if (ending_) return end();
  }
  update_events();
  if (had && queued() == 0) listener_.drained();
}

void Connection::update_events() {
  if (!watch_) return;
  const uint32_t in = answers_ > kMaxAnswers ? 0 : uint32_t{EPOLLIN};
  watch_->set_events(in | (queued() != 0 ? uint32_t{EPOLLOUT} : 0));
}

}  // namespace rhea::display::vnc
