// Runs a case on this CPU, in this process: signal frames carry the state in both directions.
#pragma once

#include <memory>

#include "machine.h"

namespace rhea::differential {

class Native {
 public:
  Native();
  ~Native();
  Native(const Native&) = delete;
  Native& operator=(const Native&) = delete;

  // Between attach() and detach() the process's fault signals are ours.
  void attach();
  void detach();
  void run(const Case& c, const Registers& before, const Window& window, Result& result);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rhea::differential
