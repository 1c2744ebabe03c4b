// -smbios.
#pragma once

#include <string_view>

#include "base/result.h"
#include "machine/smbios/smbios.h"

namespace rhea::system {

// Adds one -smbios to what was said before. Errors: Invalid, Unsupported, Io.
Result<> take_smbios(std::string_view words, machine::smbios::Overrides& to);

}  // namespace rhea::system
