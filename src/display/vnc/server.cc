#include "display/vnc/server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace rhea::display::vnc {

Server::Server(Wiring wiring, Options options)
    : wiring_(wiring),
      options_(std::move(options)),
      keys_(wiring.input, wiring.loop.monotonic_clock(), options_.key_delay_ns),
      self_(std::make_shared<Server*>(this)) {
  wiring_.input.listen(*this);
}

Server::~Server() {
  self_.reset();
  disconnect_all();
  if (watching_) wiring_.screen.remove(*this);
  wiring_.input.unlisten(*this);
}

Result<std::unique_ptr<Server>> Server::create(Wiring wiring, Options options) {
  std::unique_ptr<Server> server(new Server(wiring, std::move(options)));
  TRY(server->start());
  return server;
}

Result<> Server::start() {
  if (options_.reverse) {
    accepted(TRY(connect_to(options_.address)), false);
    return {};
  }
  const auto listen_at = [this](const Address& address, bool websocket) -> Result<> {
    auto sockets = TRY(
        ListeningSocket::open(wiring_.loop, address, [this, websocket](int fd) { accepted(fd, websocket); }));
    for (auto& socket : sockets) {
      socket->set_websocket(websocket);
      sockets_.push_back(std::move(socket));
    }
    return {};
  };
  TRY(listen_at(options_.address, false));
  if (options_.websocket) TRY(listen_at(*options_.websocket, true));
  return {};
}

void Server::accepted(int fd, bool websocket) {
  const auto open = static_cast<size_t>(
      std::ranges::count_if(clients_, [](const auto& client) { return !client->over(); }));
  if (open >= options_.connections) {
    ::close(fd);
    return;
  }
  Client::Peer peer{peer_of(fd), local_of(fd)};
  peer.other.websocket = peer.local.websocket = websocket;
  auto client = Client::create(*this, fd, peer);
  if (!client) {
    log_warn("VNC client {}: {}", peer.other.host, client.error().message());
    return;
  }
  clients_.push_back(*client);
  tell(Event::Connected, **client);
}

std::optional<std::string> Server::password() const {
  if (expiry_s_ && wiring_.loop.host_clock().now_ns() / 1'000'000'000 >= *expiry_s_) return std::nullopt;
  return password_;
}

size_t Server::ready_clients(const Client* other_than) const {
  return static_cast<size_t>(std::ranges::count_if(
      clients_, [&](const auto& client) { return client->ready() && client.get() != other_than; }));
}

// Whether a client that says if it shares may come in; one that wants to be alone puts the others out.
bool Server::admit(Client& client) {
  switch (options_.share) {
    case Share::Ignore: return true;
    case Share::ForceShared: return client.shared();
    case Share::AllowExclusive: break;
  }
  const auto others = clients_;
  for (const auto& other : others) {
    if (other.get() == &client || !other->ready()) continue;
    if (client.shared() && !other->shared()) return false;
    if (!client.shared()) other->end();
  }
  return true;
}

void Server::client_ready(Client& client) {
  tell(Event::Initialized, client);
  if (!watching_) {
    watching_ = true;
    wiring_.screen.add(*this);  // calls surface_changed
    wiring_.screen.refresh();   // the first picture is not an old one
  } else {
    client.surface_changed();
  }
  flush();
  update_all();
}

void Server::client_over(Client& client) {
  if (!self_) return;  // the server itself is going
  reap_later();
  tell(Event::Disconnected, client);
  if (watching_ && ready_clients() == 0) {
    watching_ = false;
    wiring_.screen.remove(*this);
  }
}

// A client cannot be destroyed in the middle of what it is doing.
void Server::reap_later() {
  if (std::exchange(reap_posted_, true)) return;
  wiring_.loop.post([self = std::weak_ptr(self_)] {
    const auto server = self.lock();
    if (!server) return;
    (*server)->reap_posted_ = false;
    std::erase_if((*server)->clients_, [](const auto& client) { return client->over(); });
  });
}

void Server::disconnect_all() {
  const auto clients = clients_;
  for (const auto& client : clients) client->end();
}

void Server::tell(Event event, const Client& client) {
  if (!events_) return;
  events_(event, {client.peer().other, client.peer().local, client.shared()});
}

std::vector<Endpoint> Server::listening() const {
  std::vector<Endpoint> list;
  for (const auto& socket : sockets_) list.push_back(socket->endpoint());
  return list;
}

std::vector<Server::ClientInfo> Server::clients() const {
  std::vector<ClientInfo> list;
  for (const auto& client : clients_) {
    if (!client->over()) list.push_back({client->peer().other, client->peer().local, client->shared()});
  }
  return list;
}

void Server::surface_changed(const Surface& surface) {
  shown_ = Surface(surface.width(), surface.height());
  dirty_.resize(surface.width(), surface.height());
  dirty_.add_all();
  for (const auto& client : clients_) {
    if (client->ready()) client->surface_changed();
  }
  flush_soon();
}

void Server::changed(const Rect& area) {
  dirty_.add(area);
  flush_soon();
}

void Server::cursor_changed(const Cursor*) {
  for (const auto& client : clients_) client->cursor_changed();
  flush_soon();
}

void Server::indicators_changed(unsigned) {
  for (const auto& client : clients_) client->indicators_changed();
  flush_soon();
}

void Server::pointer_kind_changed(bool) {
  for (const auto& client : clients_) client->pointer_kind_changed();
  flush_soon();
}

// The changes of one refresh come as many rectangles: they are looked at together.
void Server::flush_soon() {
  if (std::exchange(flush_posted_, true)) return;
  wiring_.loop.post([self = std::weak_ptr(self_)] {
    const auto server = self.lock();
    if (!server) return;
    (*server)->flush_posted_ = false;
    (*server)->flush();
    (*server)->update_all();
  });
}

void Server::update_all() {
  const auto clients = clients_;
  for (const auto& client : clients) client->update();
}

// Takes a tile over into the copy; whether it differed.
bool Server::copy_tile(const Rect& tile) {
  constexpr uint32_t kColour = 0xffffff;
  const Surface& surface = wiring_.screen.surface();
  bool differs = false;
  for (unsigned y = tile.y; y < tile.y + tile.height; ++y) {
    const auto from = surface.row(y).subspan(tile.x, tile.width);
    const auto to = shown_.row(y).subspan(tile.x, tile.width);
    uint32_t difference = 0;
    for (size_t x = 0; x < from.size(); ++x) difference |= (from[x] ^ to[x]) & kColour;
    if (difference == 0) continue;
    differs = true;
    for (size_t x = 0; x < from.size(); ++x) to[x] = from[x] & kColour;
  }
  return differs;
}

void Server::flush() {
  const Surface& surface = wiring_.screen.surface();
  if (surface.width() != shown_.width() || surface.height() != shown_.height()) return;  // nobody looks
  dirty_.filter([this](const Rect& tile) {
    if (copy_tile(tile)) {
      for (const auto& client : clients_) client->mark(tile);
    }
    return false;
  });
}

}  // namespace rhea::display::vnc
