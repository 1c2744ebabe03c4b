#include "tools/system/setup/setup.h"

#include <algorithm>

namespace rhea::system {

bool SetupContext::has_device(std::initializer_list<std::string_view> drivers) const {
  return std::ranges::any_of(options.devices, [&drivers](const DeviceOption& device) {
    return std::ranges::find(drivers, device.driver) != drivers.end();
  });
}

}  // namespace rhea::system
