#include "tools/system/firmware_help.h"

#include "machine/firmware/firmware_files.h"

namespace rhea::system {

std::string firmware_folders_help(const std::vector<std::string>& from_user) {
  std::string out;
  for (const std::string& folder : machine::firmware_folders(from_user)) out += folder + "\n";
  return out;
}

}  // namespace rhea::system
