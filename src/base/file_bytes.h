// A regular file that is read when its bytes are wanted: what a user names and only a guest reads does not
// take the emulator's memory. The open file is meant: a new one of the same name is not seen. Bytes that
// another program changes or cuts off meanwhile are seen so; what is gone reads as zero.
//
// Missing: nothing. Threading: any, the position is the caller's.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace rhea {

class FileBytes {
 public:
  // Null: no regular file, which can be read only once and from its beginning. Errors: Io, NotFound.
  static Result<std::shared_ptr<const FileBytes>> open(const std::string& path);
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;
  ~FileBytes();

  uint64_t size() const { return size_; }  // when it was opened
  void read(uint64_t offset, std::span<uint8_t> to) const;

 private:
  FileBytes(std::string path, int fd, uint64_t size) : path_(std::move(path)), fd_(fd), size_(size) {}

  std::string path_;
  int fd_;
  uint64_t size_;
};

}  // namespace rhea
