// Who talks to the emulator itself (-monitor, -qmp, -mon), the back ends of lines (-chardev, -serial,
// -parallel, -debugcon), and how the process runs (-daemonize, -pidfile).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "chardev/spec.h"
#include "tools/system/options/table.h"

namespace rhea::system {

struct SystemOptions;

struct MonRequest {
  std::string option;    // as the user wrote it, for messages
  std::string words;     // "stdio", "chardev:ID"
  bool control = false;  // QMP
  bool pretty = false;
  std::string id = {};
};

struct MonitorOptions {
  std::vector<MonRequest> monitors;
  bool monitor_given = false;          // -monitor or -mon with people in mind: no default one
  std::vector<std::string> parallels;  // in order; empty: the default
  uint8_t escape = 1;                  // -echr
  std::string pidfile;                 // empty: none
  bool daemonize = false;
};

void add_monitor_options(Options& to, SystemOptions& options);
// What only the whole command line tells.
Result<> check_monitor_options(const SystemOptions& options);

}  // namespace rhea::system
