#include "tools/system/options/vnc.h"

#include <charconv>

#include "base/failf.h"

namespace rhea::system {
namespace {

constexpr unsigned kFirstPort = 5900, kFirstWebsocketPort = 5700, kMaxPort = 65535;

const config::Group<VncOption>& vnc_group() {
  using V = VncOption;
  static const config::Group<V> group{
      "vnc",
      "vnc",
      {config::text("vnc", &V::where, "[HOST]:DISPLAY, unix:PATH or none"),
       config::text("id", &V::id, "name in the monitor"),
       config::text("websocket", &V::websocket, "on, PORT or HOST:PORT: also for viewers in browsers"),
       config::text("display", &V::display, "id of the graphics device to show"),
       config::boolean("password", &V::password, "a password is required; the monitor sets it"),
       config::text("password-secret", &V::password_secret, "id of the secret that is the password"),
       config::text("share", &V::share, "allow-exclusive, force-shared or ignore"),
       config::integer("to", &V::to, 0u, kMaxPort, "the last DISPLAY to try"),
       config::boolean("reverse", &V::reverse, "connects to a viewer that listens at HOST:PORT"),
       config::integer("connections", &V::connections, 1u, 1024u, "most viewers at a time"),
       config::integer("key-delay-ms", &V::key_delay_ms, 0u, 10000u, "least time between two keys"),
       config::boolean("ipv4", &V::ipv4, "listens on IPv4"),
       config::boolean("ipv6", &V::ipv6, "listens on IPv6"),
       config::boolean("non-adaptive", &V::non_adaptive, "encodings never adapt, which they do not anyway"),
       config::boolean("lossy", &V::lossy, "off: lossy encodings are not supported"),
       config::boolean("power-control", &V::power_control, "off: not supported"),
       config::boolean("sasl", &V::sasl, "off: not supported"),
       config::text("sasl-authz", &V::sasl_authz, "not supported"),
       config::text("tls-creds", &V::tls_creds, "not supported"),
       config::text("tls-authz", &V::tls_authz, "not supported"),
       config::text("audiodev", &V::audiodev, "id of the audiodev that viewers hear")}};
  return group;
}

Result<> check_supported(const VncOption& option) {
  const struct {
    const char* key;
    bool given;
  } refused[] = {{"lossy", option.lossy},
                 {"power-control", option.power_control},
                 {"sasl", option.sasl},
                 {"sasl-authz", !option.sasl_authz.empty()},
                 {"tls-creds", !option.tls_creds.empty()},
                 {"tls-authz", !option.tls_authz.empty()}};
  for (const auto& [key, given] : refused) {
    if (given) return failf(ErrorKind::Unsupported, "'{}' is not supported by this version", key);
  }
  return {};
}

Result<unsigned> parse_number(std::string_view text, std::string_view what) {
  unsigned value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || stop != text.data() + text.size()) {
    return failf(ErrorKind::Invalid, "can't convert to a number: {} '{}'", what, text);
  }
  return value;
}

std::string host_of(std::string_view text, size_t colon) {
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return std::string(host);
}

Result<> check_port(unsigned port, unsigned shown) {
  if (port > kMaxPort) return failf(ErrorKind::OutOfRange, "port {} out of range", shown);
  return {};
}

// "HOST:N" becomes an address whose port is N above `first`.
Result<display::vnc::Address> parse_place(const VncOption& option, unsigned& number) {
  display::vnc::Address address;
  const std::string_view where = option.where;
  if (where.starts_with("unix:")) {
    address.path = where.substr(5);
    if (address.path.empty()) return fail(ErrorKind::Invalid, "unix: needs a path");
    return address;
  }
  const size_t colon = where.rfind(':');
  if (colon == std::string_view::npos) return fail(ErrorKind::Invalid, "no vnc port specified");
  address.host = host_of(where, colon);
  number = TRY(parse_number(where.substr(colon + 1), "display"));
  const unsigned first = option.reverse ? 0 : kFirstPort;
  TRY(check_port(number > kMaxPort ? number : first + number, number));
  address.port = static_cast<uint16_t>(first + number);
  if (option.to) {
    TRY(check_port(first + *option.to, *option.to));
    address.last_port = static_cast<uint16_t>(first + *option.to);
  }
  // One family alone: what was asked for, or what is left.
  address.ipv4 = option.ipv4.value_or(!option.ipv6.value_or(false));
  address.ipv6 = option.ipv6.value_or(!option.ipv4.value_or(false));
  if (!address.ipv4 && !address.ipv6) return fail(ErrorKind::Invalid, "neither ipv4 nor ipv6 is left");
  return address;
}

Result<std::optional<display::vnc::Address>> parse_websocket(const VncOption& option,
                                                             const display::vnc::Address& main,
                                                             unsigned number) {
  std::optional<display::vnc::Address> address;
  if (option.websocket.empty() || option.websocket == "off") return address;
  if (!main.path.empty()) return fail(ErrorKind::Invalid, "websocket= goes with a TCP address only");
  address = main;
  address->last_port = 0;
  if (option.websocket == "on") {
    TRY(check_port(kFirstWebsocketPort + number, number));
    address->port = static_cast<uint16_t>(kFirstWebsocketPort + number);
    if (main.last_port != 0) {
      address->last_port = static_cast<uint16_t>(main.last_port - kFirstPort + kFirstWebsocketPort);
    }
    return address;
  }
  const std::string_view text = option.websocket;
  const size_t colon = text.rfind(':');
  if (colon != std::string_view::npos) address->host = host_of(text, colon);
  const unsigned port =
      TRY(parse_number(colon == std::string_view::npos ? text : text.substr(colon + 1), "websocket"));
  TRY(check_port(port, port));
  address->port = static_cast<uint16_t>(port);
  return address;
}

Result<display::vnc::Share> parse_share(const std::string& text) {
  using display::vnc::Share;
  if (text.empty() || text == "allow-exclusive") return Share::AllowExclusive;
  if (text == "force-shared") return Share::ForceShared;
  if (text == "ignore") return Share::Ignore;
  return failf(ErrorKind::Invalid, "unknown vnc share= option '{}'", text);
}

}  // namespace

Result<> add_vnc(VncOptions& options, std::string_view text) {
  if (text == "none") {
    options.servers.clear();
    return {};
  }
  VncOption option = TRY(vnc_group().parse(text));
  if (option.where.empty()) return fail(ErrorKind::Invalid, "no vnc address specified");
  TRY(resolve_vnc(option));
  for (const VncOption& other : options.servers) {
    if (other.id == option.id)
      return failf(ErrorKind::Invalid, "there is already a VNC server '{}'", other.id);
  }
  options.servers.push_back(std::move(option));
  return {};
}

void add_vnc_options(Options& to, VncOptions& options) {
  to.push_back(grouped("vnc", "[HOST]:DISPLAY|unix:PATH|none[,…]", "the screen for VNC viewers", vnc_group(),
                       [&options](std::string_view text) { return add_vnc(options, text); }));
  to.push_back(word("k", "LAYOUT", "layout of the guest's keyboard, for viewers that send characters",
                    options.keymap));
}

Result<display::vnc::Server::Options> resolve_vnc(const VncOption& option) {
  TRY(check_supported(option));
  display::vnc::Server::Options out;
  unsigned number = 0;
  out.address = TRY(parse_place(option, number));
  out.websocket = TRY(parse_websocket(option, out.address, number));
  out.reverse = option.reverse;
  if (out.reverse && (out.websocket || option.to)) {
    return fail(ErrorKind::Invalid, "reverse=on listens nowhere: websocket= and to= make no sense with it");
  }
  out.password = option.password || !option.password_secret.empty();
  out.share = TRY(parse_share(option.share));
  out.connections = option.connections;
  out.key_delay_ns = int64_t{option.key_delay_ms} * 1'000'000;
  return out;
}

}  // namespace rhea::system
