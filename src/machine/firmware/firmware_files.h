// Where firmware images are looked for, and what makes one acceptable.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rhea::machine {

// The folders of -L, then the usual ones of Debian and of hand-made installations.
std::vector<std::string> firmware_folders(const std::vector<std::string>& from_user);

// A file by path, or by name in the folders. Errors: NotFound (names the folders), Io.
Result<std::vector<uint8_t>> load_firmware_file(std::string_view name,
                                                const std::vector<std::string>& folders);

// A PC BIOS: a multiple of 64 KiB, at most 16 MiB. Errors: also Invalid.
Result<std::vector<uint8_t>> load_bios(std::string_view name, const std::vector<std::string>& folders);

// Any file of at most `limit` bytes.
Result<std::vector<uint8_t>> read_whole_file(const std::string& path, uint64_t limit);

}  // namespace rhea::machine
