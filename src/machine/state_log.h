// The vCPUs' state at chosen moments of a deterministic run, as text, so that two runs can be compared
// (tests/bisect). A line a moment: instructions begun by all vCPUs, the vCPU whose turn it is, where its last
// block of several instructions began (in its own count and in the same line's count), its instruction
// pointer, a hash of every vCPU's architectural state, a hash of guest RAM; with detail also the registers.
// Used by whoever has the turn.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cpu/core.h"

namespace rhea::machine {

struct StateLogOptions {
  std::string path;
  uint64_t from = 0, to = ~uint64_t{0}, every = 1'000'000;
  bool flags = true;    // the status flags count too
  bool detail = false;  // registers in full
};

class StateLog {
 public:
  // finished: called when the last moment has been written.
  static Result<std::unique_ptr<StateLog>> create(const StateLogOptions& options,
                                                  std::function<void()> finished);
  ~StateLog();

  uint64_t next() const { return next_; }  // the moment to be written
  void write(uint64_t moment, unsigned vcpu, const std::vector<cpu::Core*>& cores);

 private:
  StateLog(StateLogOptions options, int fd, std::function<void()> finished);
  std::string registers(const cpu::Core& core) const;

  StateLogOptions options_;
  int fd_;
  uint64_t next_;
  std::function<void()> finished_;
};

}  // namespace rhea::machine
