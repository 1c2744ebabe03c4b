#include "net/user/forward.h"

#include <arpa/inet.h>

#include <optional>

#include "base/failf.h"
#include "config/schema.h"

namespace rhea::net {

namespace {

// Cuts the text up to `separator` off `rest`; nothing if there is none.
std::optional<std::string> cut(std::string& rest, char separator) {
  const size_t at = rest.find(separator);
  if (at == std::string::npos) return std::nullopt;
  std::string part = rest.substr(0, at);
  rest.erase(0, at + 1);
  return part;
}

std::optional<int> port(const std::string& text, uint64_t lowest) {
  const auto value = config::parse_unsigned(text, lowest, 65535);
  if (!value) return std::nullopt;
  return static_cast<int>(*value);
}

bool address(const std::string& text, in_addr& to) {
  return text.empty() || ::inet_pton(AF_INET, text.c_str(), &to) == 1;
}

using Reason = const char*;

Reason take_host_side(std::string& rest, char end, HostForward& to) {
  const auto protocol = cut(rest, ':');
  if (!protocol) return "No : separators";
  if (*protocol != "tcp" && *protocol != "udp" && !protocol->empty()) return "Bad protocol name";
  to.udp = *protocol == "udp";
  const auto host = cut(rest, ':');
  if (!host) return "Missing : separator";
  if (!address(*host, to.host)) return "Bad host address";
  const auto number = end == '\0' ? std::optional(rest) : cut(rest, end);
  if (!number) return "Bad host port separator";
  const auto value = port(*number, 0);
  if (!value) return "Bad host port";
  to.host_port = *value;
  return nullptr;
}

Reason take_guest_side(std::string& rest, HostForward& to) {
  const auto guest = cut(rest, ':');
  if (!guest) return "Missing guest address";
  if (!address(*guest, to.guest)) return "Bad guest address";
  const auto value = port(rest, 1);
  if (!value) return "Bad guest port";
  to.guest_port = *value;
  return nullptr;
}

}  // namespace

Result<HostForward> parse_host_forward(const std::string& rule) {
  HostForward forward;
  std::string rest = rule;
  Reason wrong = take_host_side(rest, '-', forward);
  if (wrong == nullptr) wrong = take_guest_side(rest, forward);
  if (wrong == nullptr) return forward;
  return failf(ErrorKind::Invalid, "Invalid host forwarding rule '{}' ({})", rule, wrong);
}

Result<HostForward> parse_host_side(const std::string& rule) {
  HostForward forward;
  std::string rest = rule;
  const Reason wrong = take_host_side(rest, '\0', forward);
  if (wrong == nullptr) return forward;
  return failf(ErrorKind::Invalid, "Invalid host forwarding rule '{}' ({})", rule, wrong);
}

Result<GuestForward> parse_guest_forward(const std::string& rule) {
  GuestForward forward;
  std::string rest = rule;
  const auto bad = [&](const char* why) {
    return failf(ErrorKind::Invalid, "Invalid guest forwarding rule '{}' ({})", rule, why);
  };
  const auto protocol = cut(rest, ':');
  if (!protocol || (*protocol != "tcp" && !protocol->empty())) return bad("Bad protocol name");
  const auto server = cut(rest, ':');
  if (!server || server->empty() || !address(*server, forward.server)) return bad("Bad server address");
  const auto number = cut(rest, '-');
  const auto value = number ? port(*number, 1) : std::nullopt;
  if (!value) return bad("Bad port");
  forward.port = *value;
  const auto kind = cut(rest, ':');
  if (kind == "cmd") {
    forward.kind = GuestForward::Kind::Command;
  } else if (kind == "unix") {
    forward.kind = GuestForward::Kind::Unix;
  } else if (kind == "tcp") {
    forward.kind = GuestForward::Kind::Tcp;
  } else {
    return bad("the target is cmd:COMMAND, unix:PATH or tcp:HOST:PORT");
  }
  if (rest.empty()) return bad("Missing target");
  forward.target = rest;
  return forward;
}

}  // namespace rhea::net
