// Reads, writes and flushes of files that do not hold up the event loop: io_uring, or worker threads where
// the kernel refuses it. Awaited on the loop's thread; buffers stay valid until then. Not for pipes and
// sockets.
#pragma once

#include <sys/uio.h>

#include <coroutine>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "async/event_loop.h"
#include "async/task.h"
#include "base/result.h"

namespace rhea::async {

class FileIo {
 public:
  enum class Backend { Best, Uring, Threads };

  // Uring is an error where the kernel does not offer it; Best falls back to threads.
  static Result<std::unique_ptr<FileIo>> create(EventLoop& loop, Backend backend = Backend::Best);
  // Nothing may be in flight.
  virtual ~FileIo() = default;

  // The bytes transferred: all, or fewer at the end of the file.
  Task<Result<size_t>> read(int fd, uint64_t offset, std::span<uint8_t> into);
  Task<Result<size_t>> read(int fd, uint64_t offset, std::vector<iovec> into);
  // All bytes, or an error.
  Task<Result<void>> write(int fd, uint64_t offset, std::span<const uint8_t> from);
  Task<Result<void>> write(int fd, uint64_t offset, std::vector<iovec> from);
  // Data (and what is needed to find it again) is on the disk.
  Task<Result<void>> sync(int fd);

  virtual Backend backend() const = 0;

 protected:
  // One system call's worth of work and who waits for it; lives in the waiting coroutine's frame.
  struct Operation {
    enum class Kind { Read, Write, Sync };

    Operation(FileIo& owner, Kind k, int file) : io(owner), kind(k), fd(file) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      waiter = handle;
      io.submit(*this);
    }
    void await_resume() const noexcept {}

    FileIo& io;
    Kind kind;
    int fd;
    uint64_t offset = 0;
    const iovec* buffers = nullptr;
    unsigned count = 0;
    int64_t result = 0;  // bytes, or a negative errno
    std::coroutine_handle<> waiter;
  };

  // Sets the result and resumes the waiter later, on the loop's thread.
  virtual void submit(Operation& operation) = 0;

 private:
  Task<Result<size_t>> transfer(Operation::Kind kind, int fd, uint64_t offset, std::vector<iovec> buffers);
};

}  // namespace rhea::async
