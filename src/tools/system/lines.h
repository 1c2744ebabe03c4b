// The character back ends that the command line names: serial ports, the debug console, -chardev.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "chardev/chardevs.h"
#include "devices/display/text_console.h"
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
  // The back ends "vc", which are screens: in the order of being opened.
  const std::vector<devices::TextConsole*>& consoles() const { return consoles_; }
  // -serial mon:…: the words for a monitor on the same line, as in "chardev:serial0".
  const std::vector<std::string>& shared_with_monitor() const { return shared_; }

 private:
  Result<> open_serial(const std::vector<std::string>& words);

  Result<std::unique_ptr<chardev::Chardev>> make_console(const chardev::ChardevSpec& spec);

  std::vector<std::string> folders_;  // of firmware
  std::optional<devices::ConsoleFont> font_;
  std::vector<devices::TextConsole*> consoles_;
  chardev::Chardevs all_;
  std::vector<std::optional<chardev::Chardev*>> serial_;
  std::vector<std::string> shared_;
  chardev::Chardev* debugcon_ = nullptr;
};

}  // namespace rhea::system
