#include "monitor/gdb/server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/failf.h"
#include "chardev/spec.h"

namespace rhea::gdb {

namespace {
// A debugger that reads nothing while this much waits for it has gone astray.
constexpr size_t kMostWaiting = size_t{1} << 20;
}  // namespace

// One connection: bytes both ways.
class Server::Client {
 public:
  Client(Server& server, int fd)
      : server_(server), fd_(fd), session_(server.target_, [this](std::string_view bytes) { send(bytes); }) {}
  ~Client() {
    watch_.reset();
    ::close(fd_);
  }
  Result<> start() {
    watch_ = TRY(server_.vm_.loop().watch(fd_, EPOLLIN, [this](uint32_t events) { ready(events); }));
    return {};
  }
  Session& session() { return session_; }

 private:
  void send(std::string_view bytes) {
    waiting_.append(bytes);
    flush();
  }
  void flush() {
    while (!waiting_.empty() && !broken_) {
      ssize_t n = ::send(fd_, waiting_.data(), waiting_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) {
        waiting_.erase(0, static_cast<size_t>(n));
      } else if (n < 0 && errno == EAGAIN) {
        break;
      } else if (n >= 0 || errno != EINTR) {
        broken_ = true;
      }
    }
    if (waiting_.size() > kMostWaiting) broken_ = true;
    if (watch_) watch_->set_events(EPOLLIN | (waiting_.empty() ? 0u : uint32_t{EPOLLOUT}));
  }
  void ready(uint32_t events) {
    if ((events & EPOLLOUT) != 0) flush();
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
      uint8_t bytes[4096];
      ssize_t n = ::recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT);
      if (n > 0) {
        session_.receive({bytes, static_cast<size_t>(n)});
      } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        broken_ = true;
      }
    }
    if (broken_ || session_.done()) server_.client_left();  // destroys this
  }

  Server& server_;
  int fd_;
  Session session_;
  std::unique_ptr<async::EventLoop::Watch> watch_;
  std::string waiting_;
  bool broken_ = false;
};

Result<std::unique_ptr<Server>> Server::create(machine::Vm& vm, const engine::Accelerator& accelerator,
                                               std::string_view words) {
  if (!words.starts_with("tcp:") && !words.starts_with("unix:")) {
    return failf(ErrorKind::Invalid,
                 "'{}' is not a place for a debugger; accepted: tcp::PORT, tcp:HOST:PORT, unix:PATH", words);
  }
  chardev::ChardevSpec spec = TRY(chardev::parse_words(words));
  chardev::SocketAddress address = TRY(chardev::socket_options(spec)).address;
  std::unique_ptr<Server> server(new Server(vm, accelerator));
  server->listener_ = TRY(chardev::listen_on(address));
  server->unix_path_ = address.path;
  server->watch_ = TRY(
      vm.loop().watch(server->listener_, EPOLLIN, [at = server.get()](uint32_t) { at->accept_client(); }));
  vm.set_debugger(server.get());
  return server;
}

Server::Server(machine::Vm& vm, const engine::Accelerator& accelerator) : vm_(vm), target_(vm, accelerator) {}

Server::~Server() {
  vm_.set_debugger(nullptr);
  client_.reset();
  watch_.reset();
  if (listener_ >= 0) ::close(listener_);
  if (!unix_path_.empty()) ::unlink(unix_path_.c_str());
}

void Server::accept_client() {
  int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  if (client_ != nullptr) {
    ::close(fd);
    return;
  }
  client_ = std::make_unique<Client>(*this, fd);
  if (!client_->start()) {
    client_.reset();
    return;
  }
  target_.forget();
  vm_.request_pause(machine::RunState::Debug);
}

// The session may be anywhere; the machine goes on without it unless the session ended it.
void Server::client_left() {
  bool ended = client_->session().done();
  watch_->set_events(EPOLLIN);
  // Not from inside the client's own handler.
  vm_.loop().post([gone = std::shared_ptr<Client>(std::move(client_))]() mutable { gone.reset(); });
  if (ended) return;
  abandoned_ = true;
  vm_.request_pause(machine::RunState::Debug);
}

void Server::stopped(unsigned vcpu, cpu::DebugHit hit) {
  target_.forget();
  if (client_ != nullptr) {
    client_->session().machine_stopped(vcpu, hit);
  } else {
    target_.detach();
  }
}

void Server::interrupted() {
  target_.forget();
  if (client_ != nullptr) {
    client_->session().interrupted();
  } else if (abandoned_) {
    target_.detach();
  }
  abandoned_ = false;
}

void Server::exiting(int status) {
  if (client_ != nullptr) client_->session().exited(status);
}

}  // namespace rhea::gdb
