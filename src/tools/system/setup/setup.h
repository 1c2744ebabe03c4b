// One family of back ends between the command line and the board: opened before the board exists, told when
// it does, destroyed after it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "machine/pc/pc_board.h"
#include "machine/plug/backends.h"
#include "machine/plug/device_request.h"
#include "machine/vm.h"
#include "monitor/context.h"
#include "tools/system/lines.h"
#include "tools/system/options.h"

namespace rhea::system {

struct SetupContext {
  const SystemOptions& options;
  machine::Vm& vm;
  machine::Backends& backends;  // a family fills in its finder
  std::vector<machine::DeviceRequest>&
      devices;                // shortcuts and defaults become requests; -device's come after
  monitor::Context& monitor;  // what the monitor reaches: a family fills in its part
  Lines& lines;
  // Whether a -device names one of these drivers, which then takes the place of the default one.
  bool has_device(std::initializer_list<std::string_view> drivers) const;
};

class Setup {
 public:
  virtual ~Setup() = default;
  // Errors name the option. Machine lock not held; no vCPU runs.
  virtual Result<> open(SetupContext& context) = 0;
  // The board is made, nothing runs yet. Machine lock held.
  virtual Result<> board_made(machine::Vm&, machine::PcBoard&) { return {}; }
};

std::unique_ptr<Setup> make_storage_setup();
std::unique_ptr<Setup> make_display_setup();
std::unique_ptr<Setup> make_audio_setup();
std::unique_ptr<Setup> make_network_setup();
std::unique_ptr<Setup> make_monitor_setup();
std::unique_ptr<Setup> make_object_setup();
std::unique_ptr<Setup> make_usb_setup();

}  // namespace rhea::system
