#include "tools/img/secrets.h"

#include <fstream>
#include <iterator>
#include <map>

#include "base/failf.h"
#include "config/key_values.h"

namespace rhea::img {
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

Result<> add_object(std::string_view text) {
  config::KeyValues options = TRY(config::split_options(text, "qom-type"));
  const auto type = config::take(options, "qom-type");
  const auto id = config::take(options, "id");
  if (!type) return fail(ErrorKind::Invalid, "Parameter 'qom-type' is missing");
  if (*type != "secret")
    return failf(ErrorKind::Unsupported, "Parameter 'qom-type' does not accept value '{}'", *type);
  if (!id) return fail(ErrorKind::Invalid, "Parameter 'id' is missing");
  const auto data = config::take(options, "data");
  const auto file = config::take(options, "file");
  const std::string format = config::take(options, "format").value_or("raw");
  if (!options.empty()) return failf(ErrorKind::Invalid, "Parameter '{}' is unexpected", options.front().key);
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
  secrets()[*id] = format == "base64" ? TRY(from_base64(value)) : value;
  return {};
}

std::optional<std::string> find_secret(const std::string& id) {
  const auto found = secrets().find(id);
  return found == secrets().end() ? std::nullopt : std::optional(found->second);
}

}  // namespace rhea::img
