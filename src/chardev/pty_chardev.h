// A pseudo terminal: the guest's port is a /dev/pts/N that any terminal program opens. pty(7).
//
// While nobody has it open, output is dropped; whether somebody has is looked at once a second.
#pragma once

#include <string>

#include "chardev/fd_chardev.h"

namespace rhea::chardev {

class PtyChardev final : public FdChardev {
 public:
  static Result<std::unique_ptr<PtyChardev>> create(async::EventLoop& loop);
  ~PtyChardev() override;
  const std::string& terminal() const { return terminal_; }
  std::string description() const override { return "pty:" + terminal_; }

 protected:
  void hung_up(Side side) override;

 private:
  PtyChardev(async::EventLoop& loop, int fd);
  void look_for_user();

  int fd_;
  std::string terminal_;
  std::unique_ptr<async::Timer> timer_;
};

}  // namespace rhea::chardev
