// Protocol "file" (and "host_device"): a file or block device of the host, by ordinary system calls.
// Cache modes: writeback uses the page cache and syncs on flush(); writethrough syncs after each write; none
// is O_DIRECT; directsync both; unsafe never syncs. Any thread.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "block/driver.h"
#include "block/protocols/file_lock.h"
#include "block/protocols/protocol.h"

namespace rhea::block {

class FileNode final : public ProtocolNode {
 public:
  // "Could not open 'NAME': No such file or directory".
  static Result<std::unique_ptr<FileNode>> open(const std::string& filename, const OpenFlags& flags);
  // What the file system is told about a new file, where it can use that.
  struct CreateHints {
    bool no_copy_on_write = false;
    uint64_t extent_size_hint = 0;  // bytes; 0: leave it as it is
  };
  // Creates or empties the file; a file that another process uses as an image is left as it is.
  static Result<std::unique_ptr<FileNode>> create(const std::string& filename, const CreateHints& hints);
  ~FileNode() override;

  Result<> lock(LockSet want) { return lock_image(fd_, filename_, want); }
  bool is_device() const { return is_device_; }

  uint64_t size() const override;
  Result<> read(uint64_t offset, std::span<uint8_t> into) override;
  bool read_at_once(uint64_t offset, std::span<const iovec> into) override;
  Result<> write(uint64_t offset, std::span<const uint8_t> from) override;
  Result<> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode) override;
  Result<> discard(uint64_t offset, uint64_t length) override;
  Result<> flush() override;
  Result<Extent> extent(uint64_t offset, uint64_t length) override;
  Result<> resize(uint64_t size, Preallocation preallocation) override;

  const std::string& filename() const override { return filename_; }
  std::optional<uint64_t> allocated_bytes() const override;
  bool fresh_reads_as_zeros() const override { return !is_device_; }
  int fd() const override { return fd_; }
  uint32_t alignment() const override { return direct_ ? kDirectAlignment : 1; }

 private:
  // What O_DIRECT asks of offsets, lengths and buffers on any device that is common today.
  static constexpr uint32_t kDirectAlignment = 4096;

  FileNode(std::string filename, int fd) : filename_(std::move(filename)), fd_(fd) {}

  Result<> read_direct(uint64_t offset, std::span<uint8_t> into);
  Result<> write_direct(uint64_t offset, std::span<const uint8_t> from);
  Result<> plain_read(uint64_t offset, std::span<uint8_t> into) const;
  Result<> plain_write(uint64_t offset, std::span<const uint8_t> from) const;
  Result<> after_write();

  std::string filename_;
  int fd_;
  FileEngine engine_ = FileEngine::Threads;
  bool is_device_ = false;
  bool direct_ = false;
  bool sync_each_write_ = false;
  bool never_sync_ = false;
  std::atomic<bool> knows_at_once_{true};  // the file system reads without waiting, if asked to
  std::mutex direct_mutex_;                // read-modify-write of the ends of unaligned writes
};

}  // namespace rhea::block
