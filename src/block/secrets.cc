#include "block/secrets.h"

#include <cerrno>
#include <fstream>
#include <iterator>
#include <map>

#include "base/failf.h"

namespace rhea::block {
namespace {

std::map<std::string, std::string>& secrets() {
  static std::map<std::string, std::string> all;
  return all;
}

Result<std::string> from_base64(std::string_view text) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    if (c == '=' || c == '\n') continue;
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return fail(ErrorKind::Invalid, "The secret is not valid base64");
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xff);
  }
  return out;
}

}  // namespace

Result<> add_secret(const std::string& id, config::KeyValues properties) {
  const auto data = config::take(properties, "data");
  const auto file = config::take(properties, "file");
  const std::string format = config::take(properties, "format").value_or("raw");
  if (!properties.empty())
    return failf(ErrorKind::Invalid, "Parameter '{}' is unexpected", properties.front().key);
  if (format != "raw" && format != "base64")
    return failf(ErrorKind::Invalid, "Parameter 'format' does not accept value '{}'", format);
  if (data && file) return fail(ErrorKind::Invalid, "'file' and 'data' are mutually exclusive");
  if (!data && !file) return fail(ErrorKind::Invalid, "Either 'file' or 'data' must be provided");
  std::string value = data.value_or("");
  if (file) {
    std::ifstream in(*file, std::ios::binary);
    if (!in) return failf(ErrorKind::NotFound, "Failed to open file “{}”: {}", *file, errno_text(errno));
    value.assign(std::istreambuf_iterator<char>(in), {});
  }
  secrets()[id] = format == "base64" ? TRY(from_base64(value)) : value;
  return {};
}

Result<std::string> password_of(const std::string& id) {
  const auto found = secrets().find(id);
  if (found == secrets().end()) return failf(ErrorKind::NotFound, "No secret with id '{}'", id);
  return found->second;
}

}  // namespace rhea::block
