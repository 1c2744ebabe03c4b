// Commands that make the machine go, stop, start anew and end, and what state it is in.
#include <fmt/format.h>

#include <optional>

#include "base/failf.h"
#include "base/log.h"
#include "monitor/command.h"

namespace rhea::monitor {

namespace {

using machine::Cause;
using machine::RunState;

Result<Json> query_status(Call& call) {
  RunState state = call.vm.vm.state();
  return Json{
      {"status", machine::name_of(state)}, {"singlestep", false}, {"running", state == RunState::Running}};
}

std::string show_status(const Json& status) {
  std::string name = status["status"].get<std::string>();
  if (status["running"].get<bool>()) return "VM status: running\n";
  return name == "paused" ? "VM status: paused\n" : fmt::format("VM status: paused ({})\n", name);
}

Result<Json> stop(Call& call) {
  call.vm.vm.request_pause();
  return Json();
}

Result<Json> cont(Call& call) {
  if (call.vm.vm.state() == RunState::Shutdown)
    return fail(ErrorKind::Invalid, "Resetting the Virtual Machine is required");
  if (call.vm.machine_type == "none")
    return fail(ErrorKind::Invalid, "There is nothing to run in the machine 'none'");
  call.vm.vm.request_resume();
  return Json();
}

Result<Json> quit(Call& call) {
  call.vm.vm.request_exit(0, Cause::HostQuit);
  return Json();
}

Result<Json> system_reset(Call& call) {
  call.vm.vm.request_reset(Cause::HostReset);
  return Json();
}

Result<Json> system_powerdown(Call& call) {
  call.vm.vm.request_power_button();
  return Json();
}

Result<Json> system_wakeup(Call&) {
  return fail(ErrorKind::Invalid, "Unable to wake up: guest is not in suspended state");
}

Result<Json> nmi(Call& call) {
  call.vm.board->raise_nmi();
  return Json();
}

Result<Json> gdbserver(Call& call) {
  std::string device = call.has("device") ? call.text("device") : "tcp::1234";
  if (!call.vm.gdbserver) return fail(ErrorKind::Invalid, "no debugger can be served here");
  if (auto done = call.vm.gdbserver(device); !done) {
    return Json(fmt::format("Could not open gdbserver on device '{}': {}\n", device, done.error().message()));
  }
  if (device == "none") return Json("Disabled gdbserver\n");
  return Json(fmt::format("Waiting for gdb connection on device '{}'\n", device));
}

Result<Json> boot_set(Call& call) {
  std::string order = call.text("bootdevice");
  if (!call.vm.boot_set)
    return fail(ErrorKind::Invalid, "no function defined to set boot device list for this architecture");
  if (auto done = call.vm.boot_set(order); !done) return Json(done.error().message() + "\n");
  return Json(fmt::format("boot device list now set to {}\n", order));
}

Result<Json> log(Call& call) {
  std::string items = call.text("items");
  if (items == "help" || items == "?") return Json(log_items_help());
  if (items == "none") {
    log_mask.store(0);
    return Json();
  }
  uint32_t before = log_mask.exchange(0);
  if (auto done = set_log_items(items); !done) {
    log_mask.store(before);
    return Json(done.error().message() + "\n" + log_items_help());
  }
  return Json();
}

Result<Json> logfile(Call& call) {
  TRY(set_log_file(call.text("filename")));
  return Json();
}

// One of two words for a switch; nothing: not given.
Result<std::optional<bool>> choice(Call& call, std::string_view name, std::string_view on,
                                   std::string_view off) {
  if (!call.has(name)) return std::optional<bool>();
  const std::string word = call.text(name);
  if (word != on && word != off)
    return failf(ErrorKind::Invalid, "Parameter '{}' does not accept value '{}'", name, word);
  return std::optional(word == on);
}

Result<Json> set_action(Call& call) {
  const auto reboot = TRY(choice(call, "reboot", "reset", "shutdown"));
  const auto shutdown = TRY(choice(call, "shutdown", "poweroff", "pause"));
  for (const char* name : {"panic", "watchdog"}) {
    if (call.has(name))
      return failf(ErrorKind::Unsupported, "Parameter '{}': this machine has no device that reports it",
                   name);
  }
  if (reboot) call.vm.vm.set_reboot(*reboot);
  if (shutdown) call.vm.vm.set_shutdown(*shutdown);
  return Json();
}

}  // namespace

std::span<const Command> run_commands() {
  static const std::vector<Command> rows = {
      {"query-status",
       "info status",
       "",
       "show the current VM status (running|paused)",
       {},
       query_status,
       show_status},
      {"stop", "stop|s", "", "stop emulation", {}, stop},
      {"cont", "cont|c", "", "resume emulation", {}, cont},
      {"quit", "quit|q", "", "quit the emulator", {}, quit},
      {"system_reset", "system_reset", "", "reset the system", {}, system_reset},
      {"system_powerdown", "system_powerdown", "", "send system power down event", {}, system_powerdown},
      {"system_wakeup", "system_wakeup", "", "wakeup guest from suspend", {}, system_wakeup},
      {"inject-nmi", "nmi", "", "inject an NMI", {}, nmi},
      {"set-action",
       nullptr,
       "",
       "",
       {{"reboot", Kind::String, true},
        {"shutdown", Kind::String, true},
        {"panic", Kind::String, true},
        {"watchdog", Kind::String, true}},
       set_action},
      {nullptr,
       "gdbserver",
       "[device]",
       "start gdbserver on given device (default 'tcp::1234'), stop with 'none'",
       {{"device", Kind::String, true}},
       gdbserver,
       nullptr,
       Access::Still},
      {nullptr,
       "boot_set",
       "bootdevice",
       "define new values for the boot device list",
       {{"bootdevice", Kind::String}},
       boot_set},
      {nullptr,
       "log",
       "item1[,...]",
       "activate logging of the specified items",
       {{"items", Kind::String}},
       log},
      {nullptr, "logfile", "filename", "output logs to 'filename'", {{"filename", Kind::Filename}}, logfile},
  };
  return rows;
}

}  // namespace rhea::monitor
