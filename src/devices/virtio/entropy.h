// Where virtio-rng takes its bytes from: the kernel's generator (rng-builtin) or a file (rng-random). Machine
// lock held.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "async/event_loop.h"
#include "base/result.h"

namespace rhea::devices::virtio {

class EntropySource {
 public:
  virtual ~EntropySource() = default;
  // Fills what it can and returns how many bytes; 0: none now.
  virtual size_t take(std::span<uint8_t> to) = 0;
  // Calls `ready` once, from the event loop, when there may be bytes again; never when the source is at its
  // end.
  virtual void wait(std::function<void()> ready) = 0;
};

// getrandom(2): as much as anybody wants.
class BuiltinEntropy final : public EntropySource {
 public:
  size_t take(std::span<uint8_t> to) override;
  void wait(std::function<void()>) override {}
};

// A character device, a pipe or a file. Reads never block.
class FileEntropy final : public EntropySource {
 public:
  // Errors: what open(2) says.
  static Result<std::unique_ptr<FileEntropy>> open(const std::string& filename, async::EventLoop& loop);
  ~FileEntropy() override;

  size_t take(std::span<uint8_t> to) override;
  void wait(std::function<void()> ready) override;

 private:
  explicit FileEntropy(int fd) : fd_(fd) {}
  void readable();

  int fd_;
  bool ended_ = false;
  std::unique_ptr<async::EventLoop::Watch> watch_;
  std::vector<std::function<void()>> waiting_;
};

}  // namespace rhea::devices::virtio
