// The VNC servers of a machine, by id: what the monitor reaches. Machine lock.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "display/vnc/server.h"

namespace rhea::display::vnc {

class Servers {
 public:
  struct Named {
    std::string id;
    std::unique_ptr<Server> server;
  };
  using Listener = std::function<void(Server::Event, const Server&, const Server::ClientInfo&)>;

  void add(std::string id, std::unique_ptr<Server> server);
  const std::vector<Named>& all() const { return servers_; }
  // Null: there is none. No id: the first.
  Server* find(const std::string& id = {}) const;
  // Told of every viewer that comes and goes, of servers that are added later as well.
  void on_event(Listener listener) { listener_ = std::move(listener); }
  void clear() { servers_.clear(); }

 private:
  std::vector<Named> servers_;
  Listener listener_;
};

}  // namespace rhea::display::vnc
