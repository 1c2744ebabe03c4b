// A back end whose output is also written to a file (logfile=).
#pragma once

#include <memory>

#include "base/result.h"
#include "chardev/chardev.h"

namespace rhea::chardev {

class LoggingChardev final : public Chardev {
 public:
  static Result<std::unique_ptr<LoggingChardev>> create(std::unique_ptr<Chardev> base,
                                                        const std::string& path, bool append);
  ~LoggingChardev() override;
  void attach(Frontend* frontend) override { base_->attach(frontend); }
  size_t write(std::span<const uint8_t> bytes) override;
  void resume_input() override { base_->resume_input(); }
  bool has_peer() const override { return base_->has_peer(); }
  std::string description() const override { return base_->description(); }

 private:
  LoggingChardev(std::unique_ptr<Chardev> base, int fd) : base_(std::move(base)), fd_(fd) {}
  std::unique_ptr<Chardev> base_;
  int fd_;
};

}  // namespace rhea::chardev
