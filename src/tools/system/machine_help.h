// What -machine, -device and -L can name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rhea::system {

bool is_machine_type(std::string_view name);
std::string machine_help();
std::string firmware_folders_help(const std::vector<std::string>& from_user);

}  // namespace rhea::system
