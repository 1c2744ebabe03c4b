// What devices are plugged into: the common base of PCI, IDE, USB and other buses, so that a board can find
// one by the name that a user gave.
#pragma once

#include <string_view>

namespace rhea::bus {

class Bus {
 public:
  virtual ~Bus() = default;
  // "PCI", "IDE", "usb-bus": the word of `-device help`.
  virtual std::string_view type() const = 0;
};

}  // namespace rhea::bus
