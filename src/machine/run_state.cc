#include "machine/run_state.h"

namespace rhea::machine {

std::string_view name_of(RunState state) {
  switch (state) {
    case RunState::Prelaunch: return "prelaunch";
    case RunState::Running: return "running";
    case RunState::Paused: return "paused";
    case RunState::Debug: return "debug";
    case RunState::IoError: return "io-error";
    case RunState::Shutdown: return "shutdown";
  }
  return "";
}

std::string_view name_of(Cause cause) {
  switch (cause) {
    case Cause::GuestShutdown: return "guest-shutdown";
    case Cause::GuestReset: return "guest-reset";
    case Cause::HostSignal: return "host-signal";
    case Cause::HostQuit: return "host-qmp-quit";
    case Cause::HostReset: return "host-qmp-system-reset";
    case Cause::HostUi: return "host-ui";
    case Cause::HostError: return "host-error";
  }
  return "";
}

}  // namespace rhea::machine
