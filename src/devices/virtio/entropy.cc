#include "devices/virtio/entropy.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/failf.h"

namespace rhea::devices::virtio {

size_t BuiltinEntropy::take(std::span<uint8_t> to) {
  // getrandom() is never cut short below 256 bytes once the generator is ready.
  size_t done = 0;
  while (done < to.size()) {
    const ssize_t got = ::getrandom(to.data() + done, std::min<size_t>(to.size() - done, 256), GRND_NONBLOCK);
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

Result<std::unique_ptr<FileEntropy>> FileEntropy::open(const std::string& filename, async::EventLoop& loop) {
  const int fd = ::open(filename.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return failf(ErrorKind::Io, "Could not open '{}': {}", filename, std::strerror(errno));
  std::unique_ptr<FileEntropy> made(new FileEntropy(fd));
  made->watch_ = TRY(loop.watch(fd, 0, [raw = made.get()](uint32_t) { raw->readable(); }));
  return made;
}

FileEntropy::~FileEntropy() {
  watch_.reset();
  ::close(fd_);
}

size_t FileEntropy::take(std::span<uint8_t> to) {
  if (ended_) return 0;
  const ssize_t got = ::read(fd_, to.data(), to.size());
  if (got > 0) return static_cast<size_t>(got);
  if (got == 0 || (errno != EAGAIN && errno != EINTR)) ended_ = true;
  return 0;
}

void FileEntropy::wait(std::function<void()> ready) {
  if (ended_) return;
  waiting_.push_back(std::move(ready));
  watch_->set_events(EPOLLIN);
}

void FileEntropy::readable() {
  watch_->set_events(0);
  for (const auto& ready : std::exchange(waiting_, {})) ready();
}

}  // namespace rhea::devices::virtio
