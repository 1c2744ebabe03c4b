// FileIo on io_uring (io_uring(7), liburing). One ring per loop; completions are announced by an eventfd that
// the loop watches. More operations than the ring holds wait in a queue of ours. Loop's thread only.
#include <liburing.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <deque>

#include "async/file_io_backends.h"
#include "base/check.h"

namespace rhea::async {
namespace {

constexpr unsigned kRingEntries = 128;

class UringIo final : public FileIo {
 public:
  static Result<std::unique_ptr<FileIo>> create(EventLoop& loop) {
    auto io = std::unique_ptr<UringIo>(new UringIo);
    TRY(io->open(loop));
    return io;
  }

  ~UringIo() override {
    CHECK(in_flight_ == 0 && waiting_.empty());
    watch_.reset();
    if (event_fd_ >= 0) ::close(event_fd_);
    if (ring_open_) ::io_uring_queue_exit(&ring_);
  }

  Backend backend() const override { return Backend::Uring; }

 private:
  Result<> open(EventLoop& loop) {
    if (const int error = ::io_uring_queue_init(kRingEntries, &ring_, 0); error < 0) {
      return fail_errno(-error, "setting up io_uring");
    }
    ring_open_ = true;
    event_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event_fd_ < 0) return fail_errno(errno, "setting up io_uring");
    if (const int error = ::io_uring_register_eventfd(&ring_, event_fd_); error < 0) {
      return fail_errno(-error, "setting up io_uring");
    }
    watch_ = TRY(loop.watch(event_fd_, EPOLLIN, [this](uint32_t) { complete(); }));
    return {};
  }

  void submit(Operation& operation) override {
    waiting_.push_back(&operation);
    feed();
  }

  // Moves what waits into the ring and tells the kernel.
  void feed() {
    unsigned added = 0;
    // No more than the ring's size in flight: the completion queue, twice as large, then never overflows.
    while (!waiting_.empty() && in_flight_ < kRingEntries) {
      io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
      if (entry == nullptr) break;
      prepare(*entry, *waiting_.front());
      waiting_.pop_front();
      ++in_flight_;
      ++added;
    }
    // An error here (EAGAIN, EBUSY) leaves the entries in the ring; the next completion submits them.
    if (added != 0) ::io_uring_submit(&ring_);
  }

  static void prepare(io_uring_sqe& entry, Operation& operation) {
    switch (operation.kind) {
      case Operation::Kind::Read:
        ::io_uring_prep_readv(&entry, operation.fd, operation.buffers, operation.count, operation.offset);
        break;
      case Operation::Kind::Write:
        ::io_uring_prep_writev(&entry, operation.fd, operation.buffers, operation.count, operation.offset);
        break;
      case Operation::Kind::Sync: ::io_uring_prep_fsync(&entry, operation.fd, IORING_FSYNC_DATASYNC); break;
    }
    ::io_uring_sqe_set_data(&entry, &operation);
  }

  void complete() {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t size = ::read(event_fd_, &count, sizeof count);
    io_uring_cqe* done = nullptr;
    while (::io_uring_peek_cqe(&ring_, &done) == 0) {
      auto* operation = static_cast<Operation*>(::io_uring_cqe_get_data(done));
      operation->result = done->res;
      ::io_uring_cqe_seen(&ring_, done);
      --in_flight_;
      operation->waiter.resume();
    }
    feed();
    if (::io_uring_sq_ready(&ring_) != 0) ::io_uring_submit(&ring_);
  }

  io_uring ring_{};
  bool ring_open_ = false;
  int event_fd_ = -1;
  std::unique_ptr<EventLoop::Watch> watch_;
  std::deque<Operation*> waiting_;
  unsigned in_flight_ = 0;
};

}  // namespace

Result<std::unique_ptr<FileIo>> make_uring_io(EventLoop& loop) {
  return UringIo::create(loop);
}

}  // namespace rhea::async
