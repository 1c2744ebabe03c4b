// Output to a file, which is created or emptied; no input.
#pragma once

#include <string>

#include "chardev/fd_chardev.h"

namespace rhea::chardev {

class FileChardev final : public FdChardev {
 public:
  static Result<std::unique_ptr<FileChardev>> create(async::EventLoop& loop, const std::string& path);
  ~FileChardev() override;

 private:
  explicit FileChardev(async::EventLoop& loop, int fd) : FdChardev(loop), fd_(fd) {}
  int fd_;
};

}  // namespace rhea::chardev
