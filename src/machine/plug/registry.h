// All drivers that -device can name.
#pragma once

#include <string>

#include "base/result.h"
#include "machine/plug/device_driver.h"

namespace rhea::machine {

// Null: no such driver.
const DeviceDriver* find_driver(std::string_view name);

// Errors: NotFound for an unknown driver, Invalid for its keys or an id that is taken; all name the -device
// as the user wrote it.
Result<> add_device(DeviceSite& site, const DeviceRequest& request);

// The text of `-device help`.
// All, sorted.
std::vector<std::string> driver_names();
std::string devices_help();
// The text of `-device DRIVER,help`. Errors: NotFound.
Result<std::string> device_help(const std::string& driver);

}  // namespace rhea::machine
