// Output to a file, which is created, and emptied unless it is to be appended to; no input.
#pragma once

#include <string>

#include "chardev/fd_chardev.h"

namespace rhea::chardev {

class FileChardev final : public FdChardev {
 public:
  static Result<std::unique_ptr<FileChardev>> create(async::EventLoop& loop, const std::string& path,
                                                     bool append = false);
  ~FileChardev() override;
  std::string description() const override { return "file"; }

 private:
  explicit FileChardev(async::EventLoop& loop, int fd) : FdChardev(loop), fd_(fd) {}
  int fd_;
};

}  // namespace rhea::chardev
