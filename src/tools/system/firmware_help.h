// What -L help prints.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rhea::system {

std::string firmware_folders_help(const std::vector<std::string>& from_user);

}  // namespace rhea::system
