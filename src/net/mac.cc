#include "net/mac.h"

#include <fmt/format.h>

#include "base/failf.h"

namespace rhea::net {

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Result<Mac> parse_mac(std::string_view text) {
  const auto bad = failf(ErrorKind::Invalid, "'{}' is not an Ethernet address (52:54:00:12:34:56)", text);
  Mac mac{};
  size_t at = 0;
  for (size_t i = 0; i < mac.size(); ++i) {
    if (i != 0 && (at >= text.size() || (text[at] != ':' && text[at] != '-'))) return bad;
    if (i != 0) ++at;
    int value = 0, digits = 0;
    for (; digits < 2 && at < text.size() && hex_digit(text[at]) >= 0; ++digits, ++at)
      value = value * 16 + hex_digit(text[at]);
    if (digits == 0) return bad;
    mac[i] = static_cast<uint8_t>(value);
  }
  if (at != text.size()) return bad;
  if ((mac[0] & 1) != 0) return failf(ErrorKind::Invalid, "'{}' is a group's address, not a station's", text);
  return mac;
}

std::string mac_text(const Mac& mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4],
                     mac[5]);
}

}  // namespace rhea::net
