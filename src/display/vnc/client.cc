#include "display/vnc/client.h"

#include <algorithm>

#include "display/vnc/server.h"

namespace rhea::display::vnc {

namespace {

// People type passwords after they have connected.
constexpr int64_t kHandshakeNs = 120'000'000'000;

}  // namespace

Client::Client(Server& server, Peer peer)
    : server_(server),
      peer_(std::move(peer)),
      keys_({.layout = &server.layout(),
             .emit = [this](Key key, bool down) { server_.keys().key(key, down); },
             .indicators = [this] { return server_.input().indicators(); }}) {}

Client::~Client() = default;

Result<std::shared_ptr<Client>> Client::create(Server& server, int fd, Peer peer) {
  std::shared_ptr<Client> client(new Client(server, std::move(peer)));
  const bool websocket = client->peer_.other.websocket;
  client->connection_ = TRY(Connection::create(server.loop(), fd, websocket, *client));
  async::Clock& clock = server.loop().monotonic_clock();
  client->timer_ = clock.make_timer([self = client.get()] { self->end(); });
  client->timer_->arm(clock.now_ns() + kHandshakeNs);
  if (!websocket) client->greet();
  return client;
}

void Client::end() {
  connection_->end();
}

// The connection is over, whoever ended it.
void Client::ended() {
  phase_ = Phase::Over;
  timer_->cancel();
  keys_.release_all();
  if (buttons_ != 0) buttons(0);
  server_.client_over(*this);
}

void Client::drained() {
  if (phase_ == Phase::Version) {
    greet();  // a WebSocket has just been opened
  } else {
    update();
  }
}

void Client::received(std::span<const uint8_t> bytes) {
  const auto skipped = static_cast<size_t>(std::min<uint64_t>(skip_, bytes.size()));
  skip_ -= skipped;
  bytes = bytes.subspan(skipped);
  in_.insert(in_.end(), bytes.begin(), bytes.end());
  size_t used = 0;
  while (used < in_.size() && phase_ != Phase::Leaving && phase_ != Phase::Over) {
    const std::span<const uint8_t> rest = std::span<const uint8_t>(in_).subspan(used);
    const size_t count = phase_ == Phase::Ready ? message(rest) : handshake(rest);
    if (count == 0) break;
    used += std::min(count, rest.size());
    skip_ += count - std::min(count, rest.size());
  }
  in_.erase(in_.begin(), in_.begin() + static_cast<ptrdiff_t>(used));
}

}  // namespace rhea::display::vnc
