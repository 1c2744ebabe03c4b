// What -device can add to the board: one row per driver in extra_devices.cc, each with its table of
// properties.
#pragma once

#include <string>

#include "base/result.h"
#include "machine/pc/pc_config.h"

namespace rhea::machine {

class PcBoard;

// Errors: NotFound for an unknown driver, Invalid for its keys; all name the -device as the user wrote it.
Result<> add_extra_device(PcBoard& board, const PcConfig& config, const DeviceRequest& request);

// The text of `-device help`.
std::string extra_devices_help();
// The text of `-device DRIVER,help`. Errors: NotFound.
Result<std::string> extra_device_help(const std::string& driver);

}  // namespace rhea::machine
