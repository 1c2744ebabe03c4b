// Why a machine stands still or ended, and whoever wants to hear of it. The words are QEMU's (QMP: RunState,
// ShutdownCause).
#pragma once

#include <cstdint>
#include <string_view>

namespace rhea::machine {

enum class RunState : uint8_t { Prelaunch, Running, Paused, Debug, IoError, Shutdown };
std::string_view name_of(RunState state);

// Who asked for a reset or the end.
enum class Cause : uint8_t { GuestShutdown, GuestReset, HostSignal, HostQuit, HostReset, HostUi, HostError };
std::string_view name_of(Cause cause);
inline bool from_guest(Cause cause) {
  return cause == Cause::GuestShutdown || cause == Cause::GuestReset;
}

// Calls come on the main thread, machine lock held, vCPUs as the new state says.
class RunListener {
 public:
  virtual ~RunListener() = default;
  virtual void state_changed(RunState from, RunState to) {
    static_cast<void>(from);
    static_cast<void>(to);
  }
  virtual void was_reset(Cause) {}
  // Before the process ends, or before the machine stops for good (-no-shutdown).
  virtual void shutting_down(Cause) {}
  virtual void power_button() {}
};

}  // namespace rhea::machine
