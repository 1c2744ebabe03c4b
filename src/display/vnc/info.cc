#include "display/vnc/info.h"

#include <fmt/format.h>

namespace rhea::display::vnc {

std::string info_text(std::string_view id, const Server& server) {
  const auto end_of_line = [](bool websocket) { return websocket ? " (Websocket))" : ")"; };
  const auto place = [](const std::string& host, const std::string& service) { return host + ":" + service; };
  std::string text = fmt::format("{}:\n", id);
  for (const Endpoint& at : server.listening()) {
    text +=
        fmt::format("  Server: {} ({}{}\n", place(at.host, at.service), at.family, end_of_line(at.websocket));
    text += fmt::format("    Auth: {} (Sub: none)\n", server.auth_name());
  }
  for (const Server::ClientInfo& client : server.clients()) {
    text += fmt::format("  Client: {} ({}{}\n", place(client.peer.host, client.peer.service),
                        client.peer.family, end_of_line(client.peer.websocket));
    text += "    x509_dname: none\n    sasl_username: none\n";
  }
  return text;
}

}  // namespace rhea::display::vnc
