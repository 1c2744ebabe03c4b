// One -device, or a device that another option or a default stands for.
#pragma once

#include <string>

#include "config/key_values.h"

namespace rhea::machine {

struct DeviceRequest {
  std::string driver;
  config::KeyValues values;  // without "driver" and "id"
  std::string id = {};       // empty: none
  bool by_default = false;   // the machine has it without -device: named apart in messages
};

}  // namespace rhea::machine
