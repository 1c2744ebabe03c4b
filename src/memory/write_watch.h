// Waits for the next write to a block of guest memory, at no cost until it comes: the block is made read-only
// for the host, and the first store that faults makes it writable again and reports.
//
// Meant for memory that lies still for long (a picture nobody changes). A fault costs microseconds once, then
// the block is as fast as ever until it is armed again. Not for engines whose guest writes without faulting
// in this process (KVM), nor for blocks that the kernel writes to (read(2) into them): for the former,
// forbid().
//
// Threading: machine lock held, except for the fault itself, which may come on any thread.
#pragma once

#include <functional>
#include <memory>

#include "async/event_loop.h"
#include "memory/ram_block.h"

namespace rhea::memory {

struct WatchSlot;

class WriteWatch {
 public:
  // written is called from the loop, once for each successful arm(). The block and the loop outlive the
  // watch. Null: not possible here (no descriptors, too many watches).
  static std::unique_ptr<WriteWatch> create(async::EventLoop& loop, RamBlock& block,
                                            std::function<void()> written);
  ~WriteWatch();
  WriteWatch(const WriteWatch&) = delete;
  WriteWatch& operator=(const WriteWatch&) = delete;

  // Every write from now on is reported. False: it cannot be, look yourself.
  bool arm();
  void disarm();
  bool armed() const { return armed_; }

  // For the engine that handles SIGSEGV itself: true if the fault was one of ours and the store may be
  // repeated. Async-signal-safe.
  static bool on_fault(const void* address);
  // No watch works from now on.
  static void forbid();

 private:
  WriteWatch(RamBlock& block, WatchSlot& slot, std::function<void()> written);

  void report();

  RamBlock& block_;
  WatchSlot& slot_;
  std::function<void()> written_;
  std::unique_ptr<async::EventLoop::Watch> event_;
  bool armed_ = false;
};

}  // namespace rhea::memory
