#include "tools/system/machine_help.h"

#include <fmt/core.h>

#include "machine/firmware/firmware_files.h"
#include "tools/system/groups.h"

namespace rhea::system {

namespace {
struct MachineType {
  std::string_view name, text;
};
constexpr MachineType kMachines[] = {
    {"pc", "Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-7.2)"},
    {"pc-i440fx-7.2", "Standard PC (i440FX + PIIX, 1996) (default)"},
};
}  // namespace

bool is_machine_type(std::string_view name) {
  for (const MachineType& machine : kMachines) {
    if (machine.name == name) return true;
  }
  return false;
}

std::string machine_help() {
  std::string out = "Supported machines are:\n";
  for (const MachineType& machine : kMachines) out += fmt::format("{:<20} {}\n", machine.name, machine.text);
  return out + "\nProperties:\n" + machine_group().help();
}

std::string firmware_folders_help(const std::vector<std::string>& from_user) {
  std::string out;
  for (const std::string& folder : machine::firmware_folders(from_user)) out += folder + "\n";
  return out;
}

}  // namespace rhea::system
