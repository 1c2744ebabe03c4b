#include "block/protocols/file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/checked.h"
#include "base/failf.h"
#include "base/trace.h"

namespace rhea::block {
namespace {

inline trace::Event<const std::string&, int, int> trace_open{"file_open", "{} writable {} cache {}"};
inline trace::Event<const std::string&, uint64_t, uint64_t> trace_read{"file_read", "{} offset {} bytes {}"};
inline trace::Event<const std::string&, uint64_t, uint64_t> trace_write{"file_write",
                                                                        "{} offset {} bytes {}"};
inline trace::Event<const std::string&, uint64_t, uint64_t> trace_zero{"file_write_zeroes",
                                                                       "{} offset {} bytes {}"};
inline trace::Event<const std::string&> trace_flush{"file_flush", "{}"};

constexpr uint64_t kLargestFile = static_cast<uint64_t>(INT64_MAX);

std::unexpected<Error> host_error(int error_number) {
  ErrorKind kind = ErrorKind::Io;
  if (error_number == ENOENT) kind = ErrorKind::NotFound;
  if (error_number == EACCES || error_number == EPERM || error_number == EROFS) kind = ErrorKind::Permission;
  if (error_number == ENOSPC || error_number == EDQUOT) kind = ErrorKind::NoSpace;
  return fail(kind, errno_text(error_number));
}

int open_retrying(const char* name, int flags, mode_t mode = 0) {
  int fd = -1;
  do {
    fd = ::open(name, flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

// Most file systems know neither; then the file is as good as any.
void give_hints(int fd, bool no_copy_on_write, uint64_t extent_size_hint) {
  int attributes = 0;
  if (no_copy_on_write && ::ioctl(fd, FS_IOC_GETFLAGS, &attributes) == 0) {
    attributes |= FS_NOCOW_FL;
    (void)::ioctl(fd, FS_IOC_SETFLAGS, &attributes);
  }
  struct fsxattr extended {};
  if (extent_size_hint != 0 && ::ioctl(fd, FS_IOC_FSGETXATTR, &extended) == 0) {
    extended.fsx_xflags |= FS_XFLAG_EXTSIZE;
    extended.fsx_extsize = static_cast<uint32_t>(std::min<uint64_t>(extent_size_hint, UINT32_MAX));
    (void)::ioctl(fd, FS_IOC_FSSETXATTR, &extended);
  }
}

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }
};
using AlignedBuffer = std::unique_ptr<uint8_t, FreeDeleter>;

Result<AlignedBuffer> aligned_buffer(size_t alignment, size_t size) {
  AlignedBuffer out(static_cast<uint8_t*>(std::aligned_alloc(alignment, size)));
  if (!out) return host_error(ENOMEM);
  return out;
}

}  // namespace

FileNode::~FileNode() {
  ::close(fd_);
}

Result<std::unique_ptr<FileNode>> FileNode::open(const std::string& filename, const OpenFlags& flags) {
  trace_open(filename, flags.writable ? 1 : 0, static_cast<int>(flags.cache));
  const bool direct = flags.cache == CacheMode::None || flags.cache == CacheMode::Directsync;
  int how = flags.writable ? O_RDWR : O_RDONLY;
  if (direct) how |= O_DIRECT;
  int fd = open_retrying(filename.c_str(), how | O_NONBLOCK);
  if (fd < 0)
    return std::unexpected(
        std::move(host_error(errno)).error().in(fmt::format("Could not open '{}'", filename)));
  std::unique_ptr<FileNode> node(new FileNode(filename, fd));
  struct stat about {};
  if (::fstat(fd, &about) != 0) return host_error(errno);
  node->is_device_ = S_ISBLK(about.st_mode);
  if (!S_ISREG(about.st_mode) && !node->is_device_)
    return failf(ErrorKind::Invalid, "'file' driver requires '{}' to be a regular file", filename);
  if (flags.engine == FileEngine::Native && !direct)
    return fail(ErrorKind::Invalid,
                "aio=native was specified, but it requires cache.direct=on, which was not specified.");
  TRY(probe_file_engine(flags.engine));
  node->engine_ = flags.engine;
  node->direct_ = direct;
  node->sync_each_write_ = flags.cache == CacheMode::Writethrough || flags.cache == CacheMode::Directsync;
  node->never_sync_ = flags.cache == CacheMode::Unsafe;
  return node;
}

Result<std::unique_ptr<FileNode>> FileNode::create(const std::string& filename, const CreateHints& hints) {
  const int fd = open_retrying(filename.c_str(), O_RDWR | O_CREAT, 0644);
  if (fd < 0) return host_error(errno);
  std::unique_ptr<FileNode> node(new FileNode(filename, fd));
  struct stat about {};
  if (::fstat(fd, &about) != 0) return host_error(errno);
  node->is_device_ = S_ISBLK(about.st_mode);
  TRY(node->lock({.used = LockSet::kWrite | LockSet::kResize, .unshared = 0}));
  if (!S_ISREG(about.st_mode)) return node;
  if (::ftruncate(fd, 0) != 0) return host_error(errno);
  give_hints(fd, hints.no_copy_on_write, hints.extent_size_hint);
  return node;
}

uint64_t FileNode::size() const {
  if (is_device_) {
    uint64_t bytes = 0;
    return ::ioctl(fd_, BLKGETSIZE64, &bytes) == 0 ? bytes : 0;
  }
  struct stat about {};
  return ::fstat(fd_, &about) == 0 ? static_cast<uint64_t>(about.st_size) : 0;
}

std::optional<uint64_t> FileNode::allocated_bytes() const {
  struct stat about {};
  if (::fstat(fd_, &about) != 0) return std::nullopt;
  return static_cast<uint64_t>(about.st_blocks) * 512;
}

Result<> FileNode::plain_read(uint64_t offset, std::span<uint8_t> into) const {
  size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = engine_read(engine_, fd_, into.subspan(done), offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return host_error(errno);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  std::ranges::fill(into.subspan(done), uint8_t{0});
  return {};
}

Result<> FileNode::plain_write(uint64_t offset, std::span<const uint8_t> from) const {
  while (!from.empty()) {
    const ssize_t put = engine_write(engine_, fd_, from, offset);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return host_error(errno);
    if (put == 0) return host_error(ENOSPC);
    offset += static_cast<uint64_t>(put);
    from = from.subspan(static_cast<size_t>(put));
  }
  return {};
}

Result<> FileNode::read(uint64_t offset, std::span<uint8_t> into) {
  trace_read(filename_, offset, into.size());
  TRY(check_range(offset, into.size(), kLargestFile));
  return direct_ ? read_direct(offset, into) : plain_read(offset, into);
}

bool FileNode::read_at_once(uint64_t offset, std::span<const iovec> into) {
  const uint64_t bytes = bytes_of(into);
  if (direct_ || engine_ != FileEngine::Threads || !knows_at_once_ || into.size() > IOV_MAX ||
      !check_range(offset, bytes, kLargestFile))
    return false;
  const ssize_t got =
      ::preadv2(fd_, into.data(), static_cast<int>(into.size()), static_cast<off_t>(offset), RWF_NOWAIT);
  if (got < 0 && errno == EOPNOTSUPP) knows_at_once_ = false;
  if (got < 0 || static_cast<uint64_t>(got) != bytes) return false;
  trace_read(filename_, offset, bytes);
  return true;
}

Result<> FileNode::write(uint64_t offset, std::span<const uint8_t> from) {
  trace_write(filename_, offset, from.size());
  TRY(check_range(offset, from.size(), kLargestFile));
  TRY(direct_ ? write_direct(offset, from) : plain_write(offset, from));
  return after_write();
}

Result<> FileNode::after_write() {
  if (sync_each_write_ && ::fdatasync(fd_) != 0) return host_error(errno);
  return {};
}

Result<> FileNode::read_direct(uint64_t offset, std::span<uint8_t> into) {
  const auto address = reinterpret_cast<uintptr_t>(into.data());  // SAFETY: looked at, not used
  if (((offset | into.size() | address) & (kDirectAlignment - 1)) == 0) return plain_read(offset, into);
  const uint64_t start = align_down(offset, kDirectAlignment);
  const uint64_t end = align_down(offset + into.size() + kDirectAlignment - 1, kDirectAlignment);
  const AlignedBuffer buffer = TRY(aligned_buffer(kDirectAlignment, end - start));
  TRY(plain_read(start, {buffer.get(), end - start}));
  std::memcpy(into.data(), buffer.get() + (offset - start), into.size());
  return {};
}

Result<> FileNode::write_direct(uint64_t offset, std::span<const uint8_t> from) {
  const auto address = reinterpret_cast<uintptr_t>(from.data());  // SAFETY: looked at, not used
  if (((offset | from.size() | address) & (kDirectAlignment - 1)) == 0) return plain_write(offset, from);
  const std::lock_guard guard(direct_mutex_);
  const uint64_t start = align_down(offset, kDirectAlignment);
  const uint64_t end = align_down(offset + from.size() + kDirectAlignment - 1, kDirectAlignment);
  const AlignedBuffer buffer = TRY(aligned_buffer(kDirectAlignment, end - start));
  const uint64_t old_size = size();
  TRY(plain_read(start, {buffer.get(), kDirectAlignment}));
  TRY(plain_read(end - kDirectAlignment,
                 {buffer.get() + (end - start - kDirectAlignment), kDirectAlignment}));
  std::memcpy(buffer.get() + (offset - start), from.data(), from.size());
  TRY(plain_write(start, {buffer.get(), end - start}));
  // Whole blocks were written; the file ends where the data does.
  const uint64_t wanted = std::max(old_size, offset + from.size());
  if (!is_device_ && wanted < end && ::ftruncate(fd_, static_cast<off_t>(wanted)) != 0)
    return host_error(errno);
  return {};
}

Result<> FileNode::write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode) {
  trace_zero(filename_, offset, length);
  TRY(check_range(offset, length, kLargestFile));
  if (length == 0) return {};
  const uint64_t old_size = size();
  const bool grows = offset + length > old_size;
  if (!is_device_ && offset >= old_size && mode == ZeroMode::MayUnmap) {
    if (::ftruncate(fd_, static_cast<off_t>(offset + length)) != 0) return host_error(errno);
    return after_write();
  }
  const int how =
      mode == ZeroMode::MayUnmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : FALLOC_FL_ZERO_RANGE;
  if (::fallocate(fd_, how, static_cast<off_t>(offset), static_cast<off_t>(length)) == 0) {
    if (mode == ZeroMode::MayUnmap && grows && ::ftruncate(fd_, static_cast<off_t>(offset + length)) != 0)
      return host_error(errno);
    return after_write();
  }
  if (errno == ENOSPC) return host_error(errno);
  return write_filled(*this, offset, length, 0);
}

Result<> FileNode::discard(uint64_t offset, uint64_t length) {
  TRY(check_range(offset, length, kLargestFile));
  if (length == 0) return {};
  // A hint: where the host cannot, nothing is lost.
  (void)::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                    static_cast<off_t>(length));
  return {};
}

Result<> FileNode::flush() {
  trace_flush(filename_);
  if (never_sync_) return {};
  if (::fdatasync(fd_) != 0) return host_error(errno);
  return {};
}

Result<Extent> FileNode::extent(uint64_t offset, uint64_t length) {
  Extent out{.length = length, .allocated = true, .data = true, .file = this, .file_offset = offset};
  if (is_device_) return out;
  const auto at = static_cast<off_t>(offset);
  const off_t data = ::lseek(fd_, at, SEEK_DATA);
  if (data == at) {
    const off_t hole = ::lseek(fd_, at, SEEK_HOLE);
    if (hole > at) out.length = std::min(length, static_cast<uint64_t>(hole - at));
    return out;
  }
  if (data < 0 && errno != ENXIO) return out;  // no sparse files here: all is data
  out.data = false;
  out.zero = true;
  if (data > at) out.length = std::min(length, static_cast<uint64_t>(data - at));
  return out;
}

Result<> FileNode::resize(uint64_t size, Preallocation preallocation) {
  TRY(check_range(size, 0, kLargestFile));
  if (is_device_) {
    if (size <= this->size()) return {};
    return fail(ErrorKind::Unsupported, "Cannot grow device files");
  }
  const uint64_t old = this->size();
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) return host_error(errno);
  if (size <= old || preallocation == Preallocation::Off) return {};
  if (preallocation == Preallocation::Full) {
    TRY(write_filled(*this, old, size - old, 0));
    return flush();
  }
  const int error = ::posix_fallocate(fd_, static_cast<off_t>(old), static_cast<off_t>(size - old));
  if (error != 0) {
    if (::ftruncate(fd_, static_cast<off_t>(old)) != 0) return host_error(errno);
    return host_error(error);
  }
  return {};
}

}  // namespace rhea::block
