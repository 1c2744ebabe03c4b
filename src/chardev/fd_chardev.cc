#include "chardev/fd_chardev.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace rhea::chardev {

namespace {

constexpr size_t kInputLimit = 4096;
constexpr size_t kOutputLimit = 64 * 1024;
// At most this much at once after poll() said ready: a terminal or pipe takes it without blocking.
constexpr size_t kChunk = 512;
// How long a peer that has left is still listened to.
constexpr int64_t kLastWordsNs = 1'000'000'000;

bool ready_for(int fd, short events, int milliseconds) {
  pollfd entry{fd, events, 0};
  return ::poll(&entry, 1, milliseconds) == 1 && (entry.revents & (events | POLLERR | POLLHUP)) != 0;
}

}  // namespace

FdChardev::~FdChardev() {
  frontend_ = nullptr;
  close();
}

Result<> FdChardev::open(int input_fd, int output_fd) {
  input_fd_ = input_fd;
  output_fd_ = output_fd;
  auto result = watch_both();
  if (!result) {
    close();
    return result;
  }
  update_watches();
  if (frontend_ != nullptr) frontend_->connected();
  return {};
}

void FdChardev::left(Side side) {
  bool was_open = is_open();
  hung_up(side);
  if (was_open && !is_open() && frontend_ != nullptr) frontend_->disconnected();
}

void FdChardev::receive_break() {
  if (frontend_ != nullptr) frontend_->receive_break();
}

Result<> FdChardev::watch_both() {
  if (input_fd_ >= 0) {
    input_watch_ = TRY(loop_.watch(input_fd_, EPOLLIN, [this](uint32_t events) {
      if (input_fd_ == output_fd_ && (events & EPOLLOUT) != 0) output_ready(EPOLLOUT);
      input_ready(events);
    }));
  }
  if (output_fd_ >= 0 && output_fd_ != input_fd_) {
    output_watch_ = TRY(loop_.watch(output_fd_, 0, [this](uint32_t events) { output_ready(events); }));
  }
  return {};
}

void FdChardev::close() {
  input_watch_.reset();
  output_watch_.reset();
  // Not for the ears of the next peer.
  if (input_fd_ == output_fd_) from_host_.clear();
  input_fd_ = output_fd_ = -1;
  to_host_.clear();
  ended_ = output_lost_ = false;
  if (end_timer_) end_timer_->cancel();
}

bool FdChardev::unfinished() const {
  return !from_host_.empty() || !to_host_.empty() || (frontend_ != nullptr && frontend_->can_receive() == 0);
}

// One that writes, says no more and waits for the answer, or does not even wait, is served nevertheless.
void FdChardev::end_input() {
  if (input_fd_ != output_fd_ || !unfinished()) return left(Side::Input);
  ended_ = true;
  if (!end_timer_) end_timer_ = loop_.monotonic_clock().make_timer([this] { left(Side::Input); });
  end_timer_->arm(loop_.monotonic_clock().now_ns() + kLastWordsNs);
}

void FdChardev::end_if_finished() {
  if (ended_ && !unfinished()) left(Side::Input);
}

void FdChardev::close_input() {
  if (input_fd_ == output_fd_) return close();
  input_watch_.reset();
  input_fd_ = -1;
}

void FdChardev::drain(int milliseconds) {
  while (output_fd_ >= 0 && !to_host_.empty() && ready_for(output_fd_, POLLOUT, milliseconds)) {
    if (!flush()) return;
  }
}

void FdChardev::attach(Frontend* frontend) {
  frontend_ = frontend;
  device_waits_ = false;
  if (frontend_ != nullptr && is_open()) frontend_->connected();
  deliver();
  update_watches();
}

size_t FdChardev::write(std::span<const uint8_t> bytes) {
  if (output_fd_ < 0 || output_lost_) return bytes.size();
  size_t room = kOutputLimit - std::min(kOutputLimit, to_host_.size());
  size_t taken = std::min(room, bytes.size());
  to_host_.insert(to_host_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
  device_waits_ = taken < bytes.size();
  // A guest whose time is counted must not see how fast the host reads.
  if (loop_.virtual_clock().follows()) {
    drain(-1);
    return taken;
  }
  // Only when nothing waits for the descriptor to become ready.
  if (to_host_.size() == taken && !flush()) return bytes.size();
  update_watches();
  return taken;
}

// False: the other side is gone.
bool FdChardev::flush() {
  size_t done = 0;
  bool alive = true;
  while (done < to_host_.size() && ready_for(output_fd_, POLLOUT, 0)) {
    ssize_t n = ::write(output_fd_, to_host_.data() + done, std::min(kChunk, to_host_.size() - done));
    if (n > 0) {
      done += static_cast<size_t>(n);
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
      alive = false;
      break;
    } else {
      break;
    }
  }
  to_host_.erase(to_host_.begin(), to_host_.begin() + static_cast<ptrdiff_t>(done));
  if (alive) return true;
  if (input_fd_ != output_fd_) {
    left(Side::Output);
    return false;
  }
  // The reading side finds out that the peer is gone, behind what it said last.
  output_lost_ = true;
  to_host_.clear();
  return true;
}

void FdChardev::resume_input() {
  deliver();
  update_watches();
  end_if_finished();
}

void FdChardev::queue_input(std::span<const uint8_t> bytes) {
  from_host_.insert(from_host_.end(), bytes.begin(), bytes.end());
}

void FdChardev::deliver() {
  while (frontend_ != nullptr && !from_host_.empty()) {
    size_t n = std::min(frontend_->can_receive(), from_host_.size());
    if (n == 0) return;
    std::vector<uint8_t> part(from_host_.begin(), from_host_.begin() + static_cast<ptrdiff_t>(n));
    from_host_.erase(from_host_.begin(), from_host_.begin() + static_cast<ptrdiff_t>(n));
    frontend_->receive(part);
  }
}

void FdChardev::read_some() {
  uint8_t bytes[kInputLimit];
  size_t room = kInputLimit - std::min(kInputLimit, from_host_.size());
  if (room == 0) return;
  ssize_t n = ::read(input_fd_, bytes, room);
  if (n > 0) {
    input({bytes, static_cast<size_t>(n)});
    deliver();
  } else if (n == 0 || errno == ECONNRESET) {
    end_input();
  } else if (errno != EAGAIN && errno != EINTR) {
    left(Side::Input);
  }
}

void FdChardev::input_ready(uint32_t events) {
  if (ended_) {
    // Reported again and again otherwise.
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) input_watch_.reset();
    return;
  }
  if (input_fd_ >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read_some();
  update_watches();
}

void FdChardev::output_ready(uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return left(Side::Output);
  if (!to_host_.empty() && !flush()) return;
  if (device_waits_ && to_host_.size() < kOutputLimit / 2) {
    device_waits_ = false;
    if (frontend_ != nullptr) frontend_->output_ready();
  }
  update_watches();
  end_if_finished();
}

void FdChardev::update_watches() {
  uint32_t in = !ended_ && from_host_.size() < kInputLimit ? uint32_t{EPOLLIN} : 0;
  uint32_t out = to_host_.empty() ? 0 : uint32_t{EPOLLOUT};
  if (output_fd_ == input_fd_) {
    if (input_watch_) input_watch_->set_events(in | out);
    return;
  }
  if (input_watch_) input_watch_->set_events(in);
  if (output_watch_) output_watch_->set_events(out);
}

}  // namespace rhea::chardev
