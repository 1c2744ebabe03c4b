// -vnc and -k: viewers on the network.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "display/vnc/server.h"
#include "tools/system/options/table.h"

namespace rhea::system {

struct VncOption {
  std::string id = "default";
  std::string where;  // "HOST:N", "unix:PATH"
  std::string websocket, display, password_secret, share;
  bool password = false, reverse = false;
  std::optional<bool> ipv4 = {}, ipv6 = {};
  std::optional<unsigned> to = {};
  unsigned connections = 32, key_delay_ms = 10;
  // Known to QEMU, refused here unless off.
  bool lossy = false, power_control = false, sasl = false;
  bool non_adaptive = false;  // nothing adapts: on and off are the same
  std::string tls_creds, tls_authz, sasl_authz;
  std::string audiodev;
};

struct VncOptions {
  std::vector<VncOption> servers;
  std::string keymap = "en-us";
};

void add_vnc_options(Options& to, VncOptions& options);
// One more server, as `-vnc TEXT` and `-display vnc=TEXT` ask for it. "none" takes back those before.
Result<> add_vnc(VncOptions& options, std::string_view text);
// All but the layout, the guest's name and the password itself. Errors: Invalid, Unsupported.
Result<display::vnc::Server::Options> resolve_vnc(const VncOption& option);

}  // namespace rhea::system
