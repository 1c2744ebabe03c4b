#include "net/user/slirp_poll.h"

#include <libslirp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace rhea::net {

namespace {

constexpr std::pair<int, uint32_t> kEvents[] = {{SLIRP_POLL_IN, EPOLLIN},
                                                {SLIRP_POLL_OUT, EPOLLOUT},
                                                {SLIRP_POLL_PRI, EPOLLPRI},
                                                {SLIRP_POLL_ERR, EPOLLERR},
                                                {SLIRP_POLL_HUP, EPOLLHUP}};

uint32_t to_epoll(int events) {
  uint32_t result = 0;
  for (const auto& [slirp, epoll] : kEvents)
    if ((events & slirp) != 0) result |= epoll;
  return result;
}

int from_epoll(uint32_t events) {
  int result = 0;
  for (const auto& [slirp, epoll] : kEvents)
    if ((events & epoll) != 0) result |= slirp;
  return result;
}

}  // namespace

Result<std::unique_ptr<SlirpPoll>> SlirpPoll::create(async::EventLoop& loop, async::Clock& clock,
                                                     Slirp*& slirp, Guard guard) {
  std::unique_ptr<SlirpPoll> made(new SlirpPoll(loop, clock, slirp, std::move(guard)));
  TRY(made->open());
  return made;
}

Result<> SlirpPoll::open() {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return fail_errno(errno, "epoll");
  watch_ = TRY(loop_.watch(epoll_, EPOLLIN, [this](uint32_t) { sockets_ready(); }));
  timer_ = clock_.make_timer([this] { poll(); });
  return {};
}

SlirpPoll::~SlirpPoll() {
  *self_ = nullptr;
  watch_.reset();
  if (epoll_ >= 0) ::close(epoll_);
}

void SlirpPoll::touch() {
  if (*touched_) return;
  *touched_ = true;
  loop_.post([self = self_, touched = touched_] {
    *touched = false;
    if (*self != nullptr) (*self)->refresh();
  });
}

void SlirpPoll::apply(Watched& watched, uint32_t events) {
  if (watched.events == events) return;
  epoll_event event{.events = events, .data = {.fd = watched.fd}};
  const int first = watched.events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (::epoll_ctl(epoll_, first, watched.fd, &event) != 0) {
    const int second = first == EPOLL_CTL_ADD ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (::epoll_ctl(epoll_, second, watched.fd, &event) != 0) return;
  }
  watched.events = events;
}

int SlirpPoll::want(int fd, int events) {
  Watched& watched = watched_[fd];
  watched.fd = fd;
  watched.round = round_;
  apply(watched, to_epoll(events));
  asked_.push_back(fd);
  return static_cast<int>(asked_.size()) - 1;
}

void SlirpPoll::forget(int fd) {
  if (watched_.erase(fd) != 0) ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
}

void SlirpPoll::refresh() {
  if (slirp_ == nullptr) return;
  ++round_;
  asked_.clear();
  uint32_t wait_ms = UINT32_MAX;
  guard_([&] {
    slirp_pollfds_fill(
        slirp_, &wait_ms,
        [](int fd, int events, void* self) { return static_cast<SlirpPoll*>(self)->want(fd, events); }, this);
  });
  std::erase_if(watched_, [this](const auto& entry) {
    if (entry.second.round == round_) return false;
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, entry.first, nullptr);
    return true;
  });
  if (wait_ms == UINT32_MAX) {
    timer_->cancel();
  } else {
    timer_->arm(clock_.now_ns() + (int64_t{wait_ms} + 1) * 1'000'000);
  }
}

void SlirpPoll::poll() {
  if (slirp_ == nullptr) return;
  guard_([&] {
    slirp_pollfds_poll(
        slirp_, 0,
        [](int index, void* self) {
          auto& poll = *static_cast<SlirpPoll*>(self);
          if (index < 0 || static_cast<size_t>(index) >= poll.asked_.size()) return 0;
          const auto found = poll.watched_.find(poll.asked_[static_cast<size_t>(index)]);
          return found == poll.watched_.end() ? 0 : from_epoll(found->second.ready);
        },
        this);
  });
  for (auto& entry : watched_) entry.second.ready = 0;
  refresh();
}

void SlirpPoll::sockets_ready() {
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const auto found = watched_.find(events[static_cast<size_t>(i)].data.fd);
    if (found != watched_.end()) found->second.ready = events[static_cast<size_t>(i)].events;
  }
  poll();
}

}  // namespace rhea::net
