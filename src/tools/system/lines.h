// The character back ends that the command line names: serial ports, the debug console, -chardev.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "chardev/chardevs.h"
#include "machine/vm.h"
#include "tools/system/options.h"

namespace rhea::system {

class Lines {
 public:
  explicit Lines(machine::Vm& vm);

  // Errors name the option.
  Result<> open(const SystemOptions& options);

  // By port; nothing: no such port.
  const std::vector<std::optional<chardev::Chardev*>>& serial() const { return serial_; }
  chardev::Chardev* debugcon() const { return debugcon_; }
  chardev::Chardevs& all() { return all_; }
  // -serial mon:…: the words for a monitor on the same line, as in "chardev:serial0".
  const std::vector<std::string>& shared_with_monitor() const { return shared_; }

 private:
  Result<> open_serial(const std::vector<std::string>& words);

  chardev::Chardevs all_;
  std::vector<std::optional<chardev::Chardev*>> serial_;
  std::vector<std::string> shared_;
  chardev::Chardev* debugcon_ = nullptr;
};

}  // namespace rhea::system
