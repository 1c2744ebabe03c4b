#include "chardev/pipe_chardev.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/failf.h"

namespace rhea::chardev {

Result<std::unique_ptr<PipeChardev>> PipeChardev::create(async::EventLoop& loop, const std::string& path) {
  // For both ways even where one is used: opening does not wait for the other end, which may come and go.
  constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NONBLOCK;
  int input = ::open((path + ".in").c_str(), kFlags);
  int output = ::open((path + ".out").c_str(), kFlags);
  if (input < 0 || output < 0) {
    if (input >= 0) ::close(input);
    if (output >= 0) ::close(output);
    input = output = ::open(path.c_str(), kFlags);
    if (input < 0) return failf(ErrorKind::Io, "Could not open '{}': {}", path, errno_text(errno));
  }
  std::unique_ptr<PipeChardev> chardev(new PipeChardev(loop, input, output));
  TRY_IN(chardev->open(input, output), path);
  return chardev;
}

PipeChardev::~PipeChardev() {
  close();
  ::close(input_);
  if (output_ != input_) ::close(output_);
}

}  // namespace rhea::chardev
