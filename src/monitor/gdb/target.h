// The machine as a debugging session sees it. Main thread, machine lock held; all but interrupt() while
// stopped.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cpu/engine.h"

namespace rhea::gdb {

using Point = cpu::DebugRequest::Point;

enum class Action : uint8_t { Stay, Step, Run };

class Target {
 public:
  virtual ~Target() = default;
  virtual unsigned cpus() const = 0;
  virtual const cpu::CpuState& state(unsigned cpu) = 0;
  virtual cpu::CpuState& change(unsigned cpu) = 0;
  // Guest virtual memory as `cpu` sees it now. Returns how many bytes from the start could be reached.
  virtual size_t read_memory(unsigned cpu, uint64_t linear, std::span<uint8_t> to) = 0;
  virtual size_t write_memory(unsigned cpu, uint64_t linear, std::span<const uint8_t> from) = 0;
  // Addresses of both are physical from now on, or linear again.
  virtual void use_physical_addresses(bool on) = 0;
  // False: the engine cannot do so many.
  virtual bool set_points(const std::vector<Point>& points) = 0;
  virtual void resume(const std::vector<Action>& actions) = 0;  // one a CPU
  virtual void interrupt() = 0;  // the session hears of it when all have stopped
  virtual void detach() = 0;     // goes on without a debugger
  virtual void kill() = 0;
  // A line for the machine (GDB's `monitor`): what it has to say, or nothing for an unknown one.
  virtual std::optional<std::string> command(std::string_view line) = 0;
};

}  // namespace rhea::gdb
