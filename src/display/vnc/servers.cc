#include "display/vnc/servers.h"

#include <algorithm>
#include <utility>

namespace rhea::display::vnc {

void Servers::add(std::string id, std::unique_ptr<Server> server) {
  server->on_event([this, from = server.get()](Server::Event event, const Server::ClientInfo& client) {
    if (listener_) listener_(event, *from, client);
  });
  servers_.push_back({std::move(id), std::move(server)});
}

Server* Servers::find(const std::string& id) const {
  if (id.empty()) return servers_.empty() ? nullptr : servers_.front().server.get();
  const auto at = std::ranges::find(servers_, id, &Named::id);
  return at == servers_.end() ? nullptr : at->server.get();
}

}  // namespace rhea::display::vnc
