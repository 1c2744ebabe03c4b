#include "async/event_loop.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "async/prompt_wakeups.h"
#include "base/check.h"

namespace rhea::async {
namespace {

constexpr uint64_t kWakeId = 0;
constexpr int kEventsPerTurn = 64;
constexpr int64_t kMillisecond = 1'000'000;
// Wall time can be set while the loop waits for a wall-time deadline, so it looks again this often.
constexpr int64_t kHostClockCheck = 500 * kMillisecond;

int64_t sooner(int64_t a, int64_t b) {
  if (a < 0) return b;
  if (b < 0) return a;
  return std::min(a, b);
}

}  // namespace

EventLoop::Watch::~Watch() {
  loop_.unwatch(id_);
}

void EventLoop::Watch::set_events(uint32_t events) {
  const std::lock_guard machine(loop_.machine_lock_);
  Entry& entry = *loop_.entries_.at(id_);
  if (entry.events == events) return;
  if (entry.always_ready) {
    if ((entry.events != 0) != (events != 0)) loop_.always_ready_count_ += events != 0 ? 1u : ~0u;
    entry.events = events;
    loop_.wake_unless_current();
    return;
  }
  entry.events = events;
  epoll_event event{.events = events, .data = {.u64 = id_}};
  CHECK(::epoll_ctl(loop_.epoll_fd_, EPOLL_CTL_MOD, entry.fd, &event) == 0);
}

EventLoop::EventLoop(std::recursive_mutex& machine_lock)
    : machine_lock_(machine_lock),
      epoll_fd_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kWakeId}};
  CHECK(epoll_fd_ >= 0 && wake_fd_ >= 0);
  CHECK(::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) == 0);
}

EventLoop::~EventLoop() {
  ::close(wake_fd_);
  ::close(epoll_fd_);
}

Result<std::unique_ptr<EventLoop::Watch>> EventLoop::watch(int fd, uint32_t events, FdHandler handler) {
  const std::lock_guard machine(machine_lock_);
  const uint64_t id = next_id_++;
  epoll_event event{.events = events, .data = {.u64 = id}};
  bool always_ready = false;
  if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
    if (errno != EPERM) return fail_errno(errno, "watching a file descriptor");
    always_ready = true;
    if (events != 0) ++always_ready_count_;
    wake_unless_current();
  }
  entries_.emplace(id, std::make_shared<Entry>(fd, events, std::move(handler), always_ready));
  return std::unique_ptr<Watch>(new Watch(*this, id));
}

void EventLoop::unwatch(uint64_t id) {
  const std::lock_guard machine(machine_lock_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  Entry& entry = *found->second;
  if (entry.always_ready) {
    if (entry.events != 0) --always_ready_count_;
  } else {
    ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, entry.fd, nullptr);
  }
  entries_.erase(found);
}

void EventLoop::post(std::function<void()> work) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(work));
  }
  wake();
}

void EventLoop::stop() {
  stopping_ = true;
  wake();
}

void EventLoop::wake() {
  if (wake_pending_.exchange(true)) return;
  const uint64_t one = 1;
  // Cannot fail: the counter is far from its limit, since one wake at a time is pending.
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof one);
}

void EventLoop::wake_unless_current() {
  if (thread_.load(std::memory_order_relaxed) != std::this_thread::get_id()) wake();
}

void EventLoop::drain_wake() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t size = ::read(wake_fd_, &count, sizeof count);
  // After the read: a wake from here on writes again. What was posted before is seen by run_posted, called
  // later.
  wake_pending_ = false;
}

int64_t EventLoop::wait_limit(int64_t max_wait_ns) const {
  if (always_ready_count_ != 0) return 0;
  int64_t limit = max_wait_ns;
  if (!virtual_clock_.follows()) limit = sooner(limit, virtual_clock_.next_wait_ns().value_or(-1));
  limit = sooner(limit, monotonic_clock_.next_wait_ns().value_or(-1));
  if (const auto wall = host_clock_.next_wait_ns()) limit = sooner(limit, std::min(*wall, kHostClockCheck));
  return limit;
}

int EventLoop::wait(int64_t max_wait_ns, epoll_event* events, int capacity) {
  const int64_t limit = wait_limit(max_wait_ns);
  static const bool has_pwait2 = ::epoll_pwait2(-1, events, 1, nullptr, nullptr) < 0 && errno == EBADF;
  int count = 0;
  if (has_pwait2) {
    const timespec timeout{.tv_sec = limit / 1'000'000'000, .tv_nsec = limit % 1'000'000'000};
    count = ::epoll_pwait2(epoll_fd_, events, capacity, limit < 0 ? nullptr : &timeout, nullptr);
  } else {
    const int64_t milliseconds = std::min<int64_t>((limit + kMillisecond - 1) / kMillisecond, 1'000'000);
    count = ::epoll_wait(epoll_fd_, events, capacity, limit < 0 ? -1 : static_cast<int>(milliseconds));
  }
  CHECK(count >= 0 || errno == EINTR);
  return std::max(count, 0);
}

bool EventLoop::call(uint64_t id, uint32_t events) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return false;  // its watch ended earlier in this turn
  const std::shared_ptr<Entry> entry = found->second;
  entry->handler(events);
  return true;
}

bool EventLoop::dispatch(const epoll_event* events, int count) {
  bool ran = false;
  for (int i = 0; i < count; ++i) {
    if (events[i].data.u64 == kWakeId) {
      drain_wake();
    } else {
      ran |= call(events[i].data.u64, events[i].events);
    }
  }
  return ran;
}

bool EventLoop::dispatch_always_ready() {
  if (always_ready_count_ == 0) return false;
  std::vector<uint64_t> ids;
  for (const auto& [id, entry] : entries_) {
    if (entry->always_ready && entry->events != 0) ids.push_back(id);
  }
  bool ran = false;
  for (const uint64_t id : ids) {
    const auto found = entries_.find(id);
    if (found != entries_.end()) ran |= call(id, found->second->events);
  }
  return ran;
}

bool EventLoop::run_posted() {
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(posted_mutex_);
    work.swap(posted_);
  }
  for (const auto& item : work) item();
  return !work.empty();
}

bool EventLoop::run_once(int64_t max_wait_ns) {
  thread_ = std::this_thread::get_id();
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = wait(max_wait_ns, events.data(), kEventsPerTurn);
  const std::lock_guard machine(machine_lock_);
  bool ran = dispatch(events.data(), count);
  ran |= dispatch_always_ready();
  ran |= run_posted();
  if (!virtual_clock_.follows()) ran |= virtual_clock_.run_due();
  ran |= monotonic_clock_.run_due();
  ran |= host_clock_.run_due();
  return ran;
}

void EventLoop::run() {
  ask_for_prompt_wakeups();
  while (!stopping_) run_once(-1);
  stopping_ = false;
}

}  // namespace rhea::async
