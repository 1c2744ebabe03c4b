// One -device, or a device that another option or a default stands for.
#pragma once

#include <string>

#include "config/key_values.h"

namespace rhea::machine {

struct DeviceRequest {
  std::string driver;
  config::KeyValues values;  // without "driver" and "id"
  std::string id = {};       // empty: none
};

}  // namespace rhea::machine
