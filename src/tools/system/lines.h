// The character back ends that the command line names: serial ports, the debug console, -chardev.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chardev/chardev.h"
#include "machine/vm.h"
#include "tools/system/options.h"

namespace rhea::system {

class Lines {
 public:
  explicit Lines(machine::Vm& vm) : vm_(vm) {}

  // Errors name the option.
  Result<> open(const SystemOptions& options);

  // By port; nothing: no such port.
  const std::vector<std::optional<chardev::Chardev*>>& serial() const { return serial_; }
  chardev::Chardev* debugcon() const { return debugcon_; }
  Result<chardev::Chardev*> find(const std::string& id) const;

 private:
  Result<chardev::Chardev*> open_one(const std::string& words, const std::string& label, bool escapes);
  Result<> open_chardev(const ChardevOptions& options);

  machine::Vm& vm_;
  std::vector<std::unique_ptr<chardev::Chardev>> owned_;
  std::map<std::string, chardev::Chardev*> by_id_;
  std::vector<std::optional<chardev::Chardev*>> serial_;
  chardev::Chardev* debugcon_ = nullptr;
};

}  // namespace rhea::system
