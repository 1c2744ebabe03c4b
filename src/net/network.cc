#include "net/network.h"

#include <fmt/core.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/failf.h"
#include "net/datagram_net.h"
#include "net/host_socket.h"
#include "net/hub.h"
#include "net/stream_net.h"
#include "net/tap_net.h"
#include "net/user/user_net.h"

namespace rhea::net {

Network::Network(const Wiring& wiring) : wiring_(wiring) {}

Network::~Network() {
  for (Endpoint* nic : nics_) nic->on_leave(nullptr);
  dumps_.clear();
  backends_.clear();
}

Hub& Network::hub(unsigned number) {
  auto& slot = hubs_[number];
  if (!slot) slot = std::make_unique<Hub>(number);
  return *slot;
}

std::string Network::next_name() {
  for (;;) {
    std::string name = fmt::format("#net{}", next_name_++);
    if (find(name) == nullptr) return name;
  }
}

namespace {

Result<std::unique_ptr<Endpoint>> make_socket(async::EventLoop& loop, const std::string& id,
                                              const SocketOptions& o) {
  if (!o.listen.empty()) return TRY(StreamNet::listen(loop, id, o.listen));
  if (!o.connect.empty()) return TRY(StreamNet::connect(loop, id, o.connect));
  if (!o.mcast.empty()) return TRY(DatagramNet::multicast(loop, id, o.mcast, o.localaddr));
  if (!o.udp.empty()) return TRY(DatagramNet::unicast(loop, id, o.udp, o.localaddr));
  const int fd = TRY_IN(inherited_descriptor(o.fd), "fd");
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
    return failf(ErrorKind::Invalid, "fd={} is not a socket", o.fd);
  if (type == SOCK_STREAM) return TRY(StreamNet::adopt(loop, id, fd));
  if (type == SOCK_DGRAM) return TRY(DatagramNet::adopt(loop, id, fd));
  return failf(ErrorKind::Invalid, "fd={} is neither a stream nor a datagram socket", o.fd);
}

}  // namespace

Result<std::unique_ptr<Endpoint>> Network::make(const NetdevOptions& options) {
  if (const auto* user = std::get_if<UserOptions>(&options.kind))
    return TRY(UserNet::create({.loop = wiring_.loop, .clock = wiring_.clock}, options.id, *user));
  if (const auto* tap = std::get_if<TapOptions>(&options.kind))
    return TRY(TapNet::create(wiring_.loop, options.id, *tap));
  if (const auto* socket = std::get_if<SocketOptions>(&options.kind))
    return TRY(make_socket(wiring_.loop, options.id, *socket));
  const auto& port = std::get<HubportOptions>(options.kind);
  Endpoint* other = port.netdev.empty() ? nullptr : TRY(claim(port.netdev));
  auto made = hub(port.hubid.value_or(0)).make_port(options.id);
  if (other != nullptr) Endpoint::connect(*made, *other);
  return made;
}

Endpoint& Network::adopt(std::unique_ptr<Endpoint> end) {
  backends_.push_back(std::move(end));
  return *backends_.back();
}

Result<> Network::add(const NetdevOptions& options) {
  if (options.id.empty()) return fail(ErrorKind::Invalid, "Parameter 'id' is missing");
  if (find(options.id) != nullptr)
    return failf(ErrorKind::Invalid, "Duplicate ID '{}' for netdev", options.id);
  adopt(TRY(make(options)));
  return {};
}

Result<> Network::remove(const std::string& id) {
  const auto found = std::ranges::find(backends_, id, [](const auto& end) { return end->name(); });
  if (found == backends_.end()) return failf(ErrorKind::NotFound, "Device '{}' not found", id);
  std::erase_if(dumps_, [&](const auto& dump) { return dump->end() == found->get(); });
  backends_.erase(found);
  return {};
}

Result<Endpoint*> Network::claim(const std::string& id) {
  const auto found = std::ranges::find(backends_, id, [](const auto& end) { return end->name(); });
  if (found == backends_.end())
    return failf(ErrorKind::NotFound, "Property 'netdev' can't find value '{}'", id);
  if ((*found)->peer() != nullptr)
    return failf(ErrorKind::Busy, "Property 'netdev' can't take value '{}', it's in use", id);
  return found->get();
}

Result<> Network::put_on_hub(const std::string& id, unsigned number) {
  Endpoint* end = TRY(claim(id));
  Endpoint::connect(adopt(hub(number).make_port("")), *end);
  return {};
}

std::string Network::make_hub_port(unsigned number) {
  return adopt(hub(number).make_port("")).name();
}

Result<> Network::add_dump(const DumpOptions& options) {
  if (options.id.empty()) return fail(ErrorKind::Invalid, "Parameter 'id' is missing");
  if (options.netdev.empty()) return fail(ErrorKind::Invalid, "Parameter 'netdev' is missing");
  if (options.file.empty()) return fail(ErrorKind::Invalid, "dump filter needs 'file' property set!");
  const auto end =
      std::ranges::find(backends_, options.netdev, [](const auto& candidate) { return candidate->name(); });
  if (end == backends_.end())
    return failf(ErrorKind::NotFound, "Parameter 'netdev' expects a network backend id, not '{}'",
                 options.netdev);
  dumps_.push_back(TRY(Dump::create(**end, options)));
  return {};
}

void Network::add_nic(Endpoint& nic, const std::string& name, const std::string& model) {
  std::string chosen = name;
  for (unsigned i = 0; chosen.empty() || (name.empty() && find(chosen) != nullptr); ++i)
    chosen = fmt::format("{}.{}", model, i);
  nic.rename(std::move(chosen));
  nic.on_leave([this, end = &nic] { std::erase(nics_, end); });
  nics_.push_back(&nic);
  nic.set_held(!running_);
}

void Network::take_mac(const Mac& mac) {
  macs_.push_back(mac);
}

Mac Network::next_mac() {
  Mac mac{0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
  while (std::ranges::find(macs_, mac) != macs_.end()) ++mac[5];
  take_mac(mac);
  return mac;
}

Endpoint* Network::find(const std::string& name) const {
  for (const auto& end : backends_)
    if (end->name() == name) return end.get();
  for (Endpoint* nic : nics_)
    if (nic->name() == name) return nic;
  return nullptr;
}

std::string Network::info() const {
  std::string text;
  for (const auto& [number, hub] : hubs_) {
    text += fmt::format("hub {}\n", number);
    for (const Endpoint* port : hub->ports()) {
      text += fmt::format(" \\ {}", port->name());
      if (port->peer() != nullptr)
        text += fmt::format(": {}: {}", port->peer()->name(), port->peer()->info());
      text += "\n";
    }
  }
  const auto on_hub = [&](const Endpoint* end) {
    return std::ranges::any_of(hubs_, [&](const auto& entry) {
      return std::ranges::find(entry.second->ports(), end) != entry.second->ports().end();
    });
  };
  for (const auto& end : backends_) {
    if (end->peer() != nullptr || on_hub(end.get())) continue;
    text += fmt::format("{}: {}\n", end->name(), end->info());
  }
  for (const Endpoint* nic : nics_) {
    if (nic->peer() != nullptr && on_hub(nic->peer())) continue;
    text += fmt::format("{}: {}\n", nic->name(), nic->info());
    if (nic->peer() != nullptr) text += fmt::format(" \\ {}: {}\n", nic->peer()->name(), nic->peer()->info());
  }
  return text;
}

std::string Network::user_info() const {
  std::string text;
  for (const auto& end : backends_) {
    const auto* user = dynamic_cast<const UserNet*>(end.get());
    if (user == nullptr) continue;
    int number = -1;
    for (const auto& [hub_number, hub] : hubs_)
      if (std::ranges::find(hub->ports(), user->peer()) != hub->ports().end())
        number = static_cast<int>(hub_number);
    text += fmt::format("Hub {} ({}):\n{}", number, user->name(), user->connections());
  }
  return text;
}

Result<> Network::set_link(const std::string& name, bool up) {
  Endpoint* end = find(name);
  if (end == nullptr) return failf(ErrorKind::NotFound, "Device '{}' not found", name);
  end->set_link(up);
  return {};
}

// Without a name the first one, as QEMU does.
Result<UserNet*> Network::user_network(const std::string& id) const {
  for (const auto& end : backends_) {
    if (!id.empty() && end->name() != id) continue;
    if (auto* user = dynamic_cast<UserNet*>(end.get())) return user;
    if (!id.empty()) return failf(ErrorKind::Invalid, "'{}' is not a user-mode network", id);
  }
  if (!id.empty()) return failf(ErrorKind::NotFound, "unrecognized netdev id '{}'", id);
  return fail(ErrorKind::NotFound, "user mode network stack not in use");
}

Result<std::string> Network::hostfwd_add(const std::string& id, const std::string& rule) {
  UserNet* user = TRY(user_network(id));
  TRY(user->add_forward(rule));
  return std::string();
}

Result<std::string> Network::hostfwd_remove(const std::string& id, const std::string& rule) {
  UserNet* user = TRY(user_network(id));
  const bool removed = TRY(user->remove_forward(rule));
  return fmt::format("host forwarding rule for {} {}\n", rule, removed ? "removed" : "not found");
}

void Network::set_running(bool running) {
  running_ = running;
  for (Endpoint* nic : nics_) nic->set_held(!running);
}

std::vector<std::string> Network::loose_ends() const {
  std::vector<std::string> found;
  for (const auto& end : backends_)
    if (end->peer() == nullptr) found.push_back(fmt::format("netdev {} has no peer", end->name()));
  for (const Endpoint* nic : nics_)
    if (nic->peer() == nullptr) found.push_back(fmt::format("nic {} has no peer", nic->name()));
  return found;
}

}  // namespace rhea::net
