#include "chardev/socket_words.h"

#include <charconv>

#include "base/failf.h"
#include "config/schema.h"

namespace rhea::chardev {

namespace {

struct Words {
  std::string address;
  bool server = false;
  std::optional<bool> wait;
  bool nodelay = false;
  bool telnet = false;
};

const config::Group<Words>& group() {
  static const config::Group<Words> words{
      "socket",
      "address",
      {
          config::text("address", &Words::address, "HOST:PORT or PATH"),
          config::boolean("server", &Words::server, "listen for a client"),
          config::boolean("wait", &Words::wait, "server: wait for the first client"),
          config::boolean("nodelay", &Words::nodelay, "send at once"),
          config::boolean("telnet", &Words::telnet, "not supported"),
      }};
  return words;
}

// "host:port", "[v6]:port", ":port".
Result<SocketAddress> tcp_address(std::string_view text) {
  auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon + 1 == text.size()) {
    return failf(ErrorKind::Invalid, "'{}' is not HOST:PORT", text);
  }
  std::string_view host = text.substr(0, colon);
  std::string_view port = text.substr(colon + 1);
  unsigned number = 0;
  auto end = std::from_chars(port.data(), port.data() + port.size(), number).ptr;
  bool digits = end == port.data() + port.size();
  if ((digits && number > 65535) || (!digits && port.find_first_not_of("0123456789") == port.npos)) {
    return failf(ErrorKind::Invalid, "'{}' is not a port number", port);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return SocketAddress{std::string(host), std::string(port), ""};
}

}  // namespace

Result<SocketChardev::Options> parse_socket_words(std::string_view text) {
  bool tcp = text.starts_with("tcp:");
  Words words = TRY(group().parse(text.substr(tcp ? 4 : 5)));
  if (words.telnet) return fail(ErrorKind::Unsupported, "telnet is not supported");
  if (words.wait && !words.server) return fail(ErrorKind::Invalid, "'wait' is only for server=on");
  SocketChardev::Options options;
  options.server = words.server;
  options.wait = words.wait.value_or(true);
  options.no_delay = words.nodelay;
  if (tcp) {
    options.address = TRY(tcp_address(words.address));
  } else {
    if (words.address.empty()) return fail(ErrorKind::Invalid, "'unix:' needs a path");
    options.address.path = words.address;
  }
  return options;
}

}  // namespace rhea::chardev
