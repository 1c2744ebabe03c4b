#include "block/protocols/file_engine.h"

#include <liburing.h>
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/failf.h"

namespace rhea::block {
namespace {

constexpr size_t kMostBytes = 1 << 30;  // of one request; the caller goes on with the rest

// A ring of one thread.
class Ring {
 public:
  Ring() : error_(-::io_uring_queue_init(4, &ring_, 0)) {}
  ~Ring() {
    if (error_ == 0) ::io_uring_queue_exit(&ring_);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  int error() const { return error_; }

  template <class Prepare>
  ssize_t run(Prepare prepare) {
    if (error_ != 0) return failed(error_);
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    if (entry == nullptr) return failed(EBUSY);
    prepare(*entry);
    int submitted = 0;
    do {
      submitted = ::io_uring_submit(&ring_);
    } while (submitted == -EINTR || submitted == -EAGAIN);
    if (submitted < 0) return failed(-submitted);
    io_uring_cqe* done = nullptr;
    int waited = 0;
    do {
      waited = ::io_uring_wait_cqe(&ring_, &done);
    } while (waited == -EINTR);
    if (waited < 0) return failed(-waited);
    const int result = done->res;
    ::io_uring_cqe_seen(&ring_, done);
    return result < 0 ? failed(-result) : result;
  }

 private:
  static ssize_t failed(int error) {
    errno = error;
    return -1;
  }
  io_uring ring_{};
  int error_;
};

// A context of one thread; the C library has no functions for these system calls.
class Context {
 public:
  Context() : error_(::syscall(SYS_io_setup, 4, &context_) == 0 ? 0 : errno) {}
  ~Context() {
    if (error_ == 0) (void)::syscall(SYS_io_destroy, context_);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  int error() const { return error_; }

  ssize_t run(uint16_t operation, int fd, uint64_t buffer, size_t size, uint64_t offset) {
    if (error_ != 0) {
      errno = error_;
      return -1;
    }
    iocb request{};
    request.aio_lio_opcode = operation;
    request.aio_fildes = static_cast<uint32_t>(fd);
    request.aio_buf = buffer;
    request.aio_nbytes = size;
    request.aio_offset = static_cast<int64_t>(offset);
    iocb* list[] = {&request};
    long submitted = 0;
    do {
      submitted = ::syscall(SYS_io_submit, context_, 1, list);
    } while (submitted < 0 && (errno == EAGAIN || errno == EINTR));
    if (submitted < 0) return -1;
    io_event done{};
    long got = 0;
    do {
      got = ::syscall(SYS_io_getevents, context_, 1, 1, &done, nullptr);
    } while (got == 0 || (got < 0 && errno == EINTR));
    if (got < 0) return -1;
    if (done.res >= 0) return static_cast<ssize_t>(done.res);
    errno = static_cast<int>(-done.res);
    return -1;
  }

 private:
  aio_context_t context_ = 0;
  int error_;
};

Ring& ring() {
  thread_local Ring one;
  return one;
}
Context& context() {
  thread_local Context one;
  return one;
}

}  // namespace

std::optional<FileEngine> parse_file_engine(std::string_view word) {
  if (word == "threads") return FileEngine::Threads;
  if (word == "native") return FileEngine::Native;
  if (word == "io_uring") return FileEngine::IoUring;
  return std::nullopt;
}

Result<> probe_file_engine(FileEngine engine) {
  const int error = engine == FileEngine::IoUring  ? ring().error()
                    : engine == FileEngine::Native ? context().error()
                                                   : 0;
  if (error == 0) return {};
  return failf(ErrorKind::Unsupported, "aio={} is not available: {}",
               engine == FileEngine::IoUring ? "io_uring" : "native", errno_text(error));
}

ssize_t engine_read(FileEngine engine, int fd, std::span<uint8_t> into, uint64_t offset) {
  const size_t size = std::min(into.size(), kMostBytes);
  // SAFETY: the kernel takes addresses as numbers.
  const auto address = reinterpret_cast<uint64_t>(into.data());
  if (engine == FileEngine::Native) return context().run(IOCB_CMD_PREAD, fd, address, size, offset);
  if (engine == FileEngine::Threads) return ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
  return ring().run([&](io_uring_sqe& entry) {
    ::io_uring_prep_read(&entry, fd, into.data(), static_cast<unsigned>(size), offset);
  });
}

ssize_t engine_write(FileEngine engine, int fd, std::span<const uint8_t> from, uint64_t offset) {
  const size_t size = std::min(from.size(), kMostBytes);
  // SAFETY: the kernel takes addresses as numbers.
  const auto address = reinterpret_cast<uint64_t>(from.data());
  if (engine == FileEngine::Native) return context().run(IOCB_CMD_PWRITE, fd, address, size, offset);
  if (engine == FileEngine::Threads)
    return ::pwrite(fd, from.data(), from.size(), static_cast<off_t>(offset));
  return ring().run([&](io_uring_sqe& entry) {
    ::io_uring_prep_write(&entry, fd, from.data(), static_cast<unsigned>(size), offset);
  });
}

}  // namespace rhea::block
