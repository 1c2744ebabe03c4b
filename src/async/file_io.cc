#include "async/file_io.h"

#include <limits.h>

#include <algorithm>
#include <cerrno>

#include "async/file_io_backends.h"

namespace rhea::async {
namespace {

// Drops the first `bytes` of the buffers.
void drop_front(std::span<iovec>& buffers, size_t bytes) {
  while (!buffers.empty() && bytes >= buffers.front().iov_len) {
    bytes -= buffers.front().iov_len;
    buffers = buffers.subspan(1);
  }
  if (buffers.empty()) return;
  buffers.front().iov_base = static_cast<uint8_t*>(buffers.front().iov_base) + bytes;
  buffers.front().iov_len -= bytes;
}

size_t total_size(std::span<const iovec> buffers) {
  size_t total = 0;
  for (const iovec& buffer : buffers) total += buffer.iov_len;
  return total;
}

}  // namespace

Result<std::unique_ptr<FileIo>> FileIo::create(EventLoop& loop, Backend backend) {
  if (backend != Backend::Threads) {
    auto uring = make_uring_io(loop);
    if (uring || backend == Backend::Uring) return uring;
  }
  return make_thread_io(loop);
}

Task<Result<size_t>> FileIo::transfer(Operation::Kind kind, int fd, uint64_t offset,
                                      std::vector<iovec> buffers) {
  if (offset > uint64_t{INT64_MAX} || total_size(buffers) > uint64_t{INT64_MAX} - offset) {
    co_return fail(ErrorKind::OutOfRange, "file offset is too large");
  }
  std::span<iovec> rest(buffers);
  size_t done = 0;
  drop_front(rest, 0);
  while (!rest.empty()) {
    Operation operation(*this, kind, fd);
    operation.offset = offset + done;
    operation.buffers = rest.data();
    operation.count = static_cast<unsigned>(std::min<size_t>(rest.size(), IOV_MAX));
    co_await operation;
    if (operation.result == -EINTR || operation.result == -EAGAIN) continue;
    if (operation.result < 0) co_return fail_errno(static_cast<int>(-operation.result), "file I/O");
    if (operation.result == 0) break;
    done += static_cast<size_t>(operation.result);
    drop_front(rest, static_cast<size_t>(operation.result));
  }
  co_return done;
}

Task<Result<size_t>> FileIo::read(int fd, uint64_t offset, std::vector<iovec> into) {
  return transfer(Operation::Kind::Read, fd, offset, std::move(into));
}

Task<Result<size_t>> FileIo::read(int fd, uint64_t offset, std::span<uint8_t> into) {
  return read(fd, offset, std::vector<iovec>(1, iovec{into.data(), into.size()}));
}

Task<Result<void>> FileIo::write(int fd, uint64_t offset, std::vector<iovec> from) {
  const size_t wanted = total_size(from);
  const Result<size_t> done = co_await transfer(Operation::Kind::Write, fd, offset, std::move(from));
  if (!done) co_return std::unexpected(done.error());
  if (*done != wanted) co_return fail(ErrorKind::Io, "file I/O: the device took no more data");
  co_return Result<void>();
}

Task<Result<void>> FileIo::write(int fd, uint64_t offset, std::span<const uint8_t> from) {
  // SAFETY: a write never changes its buffers; iovec serves both directions and so has no const.
  return write(fd, offset, std::vector<iovec>(1, iovec{const_cast<uint8_t*>(from.data()), from.size()}));
}

Task<Result<void>> FileIo::sync(int fd) {
  Operation operation(*this, Operation::Kind::Sync, fd);
  co_await operation;
  if (operation.result < 0) co_return fail_errno(static_cast<int>(-operation.result), "flushing");
  co_return Result<void>();
}

}  // namespace rhea::async
