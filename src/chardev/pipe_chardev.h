// A pair of named pipes, PATH.in and PATH.out, or where these are not, one file at PATH for both ways.
// fifo(7).
#pragma once

#include "chardev/fd_chardev.h"

namespace rhea::chardev {

class PipeChardev final : public FdChardev {
 public:
  static Result<std::unique_ptr<PipeChardev>> create(async::EventLoop& loop, const std::string& path);
  ~PipeChardev() override;
  std::string description() const override { return "pipe"; }

 private:
  PipeChardev(async::EventLoop& loop, int input, int output)
      : FdChardev(loop), input_(input), output_(output) {}
  int input_, output_;  // may be the same
};

}  // namespace rhea::chardev
