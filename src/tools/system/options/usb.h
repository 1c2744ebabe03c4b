// USB without -device: -usb, -usbdevice.
#pragma once

#include <string>
#include <vector>

#include "tools/system/options/table.h"

namespace rhea::system {

struct SystemOptions;

struct UsbOptions {
  bool enabled = false;              // the machine's own controller
  std::vector<std::string> devices;  // drivers, in order
};

void add_usb_options(Options& to, SystemOptions& options);

}  // namespace rhea::system
