// Ethernet addresses.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace rhea::net {

using Mac = std::array<uint8_t, 6>;

// "52:54:00:12:34:56", also with dashes. Errors: Invalid; a group address is one.
Result<Mac> parse_mac(std::string_view text);
std::string mac_text(const Mac& mac);

}  // namespace rhea::net
