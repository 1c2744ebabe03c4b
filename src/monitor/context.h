// What a monitor reaches of the machine. The program fills it in (tools/system/setup); a null pointer means
// that this machine has no such thing.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "chardev/chardevs.h"
#include "config/key_values.h"
#include "engine/accelerator.h"
#include "machine/plug/device_site.h"
#include "machine/vm.h"

namespace rhea::block {
class Drives;
}
namespace rhea::display {
class InputHub;
class KeySender;
class Screens;
namespace vnc {
class Servers;
}
}  // namespace rhea::display
namespace rhea::net {
class Network;
}

namespace rhea::monitor {

// A command's slow part: `work` for any thread, and what is to be done after it with the machine lock.
struct SlowWork {
  std::function<void()> work;
  std::function<Result<>()> then;
};

struct Context {
  machine::Vm& vm;
  chardev::Chardevs& chardevs;
  // These are set before anything is asked.
  const engine::Accelerator* accelerator = nullptr;
  machine::Board* board = nullptr;
  machine::DeviceSite* site = nullptr;

  block::Drives* drives = nullptr;
  display::Screens* screens = nullptr;
  display::InputHub* input = nullptr;
  display::KeySender* key_sender = nullptr;
  net::Network* network = nullptr;
  display::vnc::Servers* vnc = nullptr;

  std::string name = {}, uuid = {}, version = {}, machine_type = {}, cpu_type = {};
  uint64_t ram_bytes = 0;
  bool migration_events = false;  // a program wants to hear of migrations
  struct Topology {
    unsigned cores = 1, threads = 1;
  } topology = {};

  // Tells all programs (QMP) of an event; its data is a JSON object, or empty. Set before the board is made.
  std::function<void(std::string_view event, const std::string& json)> emit = {};

  // Errors are one line. Null: not supported here.
  std::function<Result<>(const std::string& words)> gdbserver = {};  // "none" ends it
  std::function<Result<>(const std::string& words)> boot_set = {};
  // `node`: the words are those of a node, not of a drive.
  std::function<Result<SlowWork>(const std::string& words, bool node)> drive_add = {};
  std::function<Result<SlowWork>(config::KeyValues values)> blockdev_add = {};
  std::function<Result<SlowWork>(const std::string&id)> drive_del = {}, blockdev_del = {};
  std::function<std::string()> command_line_options = {};  // as query-command-line-options answers
};

}  // namespace rhea::monitor
