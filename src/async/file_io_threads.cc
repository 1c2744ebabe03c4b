// FileIo on worker threads and ordinary system calls.
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "async/file_io_backends.h"
#include "async/worker_pool.h"

namespace rhea::async {
namespace {

constexpr unsigned kThreads = 8;  // they wait for the disk, not for a processor

class ThreadIo final : public FileIo {
 public:
  explicit ThreadIo(EventLoop& loop) : loop_(loop) {}
  Backend backend() const override { return Backend::Threads; }

 private:
  void submit(Operation& operation) override {
    pool_.submit([this, &operation] {
      const int64_t result = perform(operation);
      operation.result = result < 0 ? -errno : result;
      loop_.post([&operation] { operation.waiter.resume(); });
    });
  }

  static int64_t perform(const Operation& operation) {
    const auto offset = static_cast<off_t>(operation.offset);
    const int count = static_cast<int>(operation.count);
    switch (operation.kind) {
      case Operation::Kind::Read: return ::preadv(operation.fd, operation.buffers, count, offset);
      case Operation::Kind::Write: return ::pwritev(operation.fd, operation.buffers, count, offset);
      case Operation::Kind::Sync: return ::fdatasync(operation.fd);
    }
    errno = EINVAL;
    return -1;
  }

  EventLoop& loop_;
  WorkerPool pool_{kThreads};
};

}  // namespace

std::unique_ptr<FileIo> make_thread_io(EventLoop& loop) {
  return std::make_unique<ThreadIo>(loop);
}

}  // namespace rhea::async
