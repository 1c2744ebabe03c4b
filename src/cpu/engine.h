// What runs a vCPU. One engine object per vCPU; all calls on that vCPU's thread except kick() and where
// noted.
#pragma once

#include <cstdint>

#include "cpu/core.h"

namespace rhea::cpu {

enum class Exit : uint8_t {
  Halted,       // HLT or wait-for-SIPI with nothing pending: sleep until kick()
  Kicked,       // pending::kExit was seen
  TripleFault,  // shutdown: the board resets or stops
  Debug,        // breakpoint, watchpoint or step of the debugger
};

// What a debugger has asked for; shared by all vCPUs, changed only while all are stopped.
struct DebugRequest {
  bool single_step = false;
  struct Point {
    uint64_t linear;
    uint64_t length;
    enum class Kind : uint8_t { Execute, Write, Read, Access } kind;
  };
  const Point* points = nullptr;
  unsigned count = 0;
};

struct DebugHit {
  enum class Kind : uint8_t { Step, Execute, Watch } kind = Kind::Step;
  uint64_t linear = 0;  // of the watchpoint's data
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual Exit run() = 0;
  // Any thread: makes run() look at Core::pending soon. The caller has set its bit there first.
  virtual void kick() = 0;
  // The vCPU's state; valid while run() is not executing. pull() before reading, push() after changing it.
  virtual Core& core() = 0;
  virtual void pull() = 0;
  virtual void push() = 0;
  // From the next run() on; null: no debugger. The request outlives its use.
  virtual void set_debug(const DebugRequest* request) = 0;
  // What the last Exit::Debug was about. rip is that of the next instruction to run.
  virtual DebugHit debug_hit() const = 0;
};

}  // namespace rhea::cpu
