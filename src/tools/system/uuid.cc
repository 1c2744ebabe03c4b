#include "tools/system/uuid.h"

#include <cctype>

#include "base/failf.h"

namespace rhea::system {

Result<std::array<uint8_t, 16>> parse_uuid(const std::string& text) {
  std::array<uint8_t, 16> uuid{};
  size_t digits = 0;
  bool good = text.empty() || text.size() == 36;
  for (size_t i = 0; good && i < text.size(); ++i) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash || std::isxdigit(static_cast<unsigned char>(text[i])) == 0) {
      good = dash && text[i] == '-';
      continue;
    }
    auto value = static_cast<uint8_t>(std::stoi(text.substr(i, 1), nullptr, 16));
    uuid[digits / 2] = static_cast<uint8_t>(uuid[digits / 2] << 4 | value);
    ++digits;
  }
  if (!good) return failf(ErrorKind::Invalid, "'{}' is not a UUID", text);
  return uuid;
}

}  // namespace rhea::system
