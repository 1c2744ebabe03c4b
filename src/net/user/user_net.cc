#include "net/user/user_net.h"

#include <arpa/inet.h>
#include <libslirp.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "base/failf.h"
#include "base/log.h"

namespace rhea::net {

// What libslirp calls; `opaque` is the UserNet.
struct UserNetCallbacks {
  struct SlirpTimer {
    SlirpTimerId id;
    void* opaque;
    std::unique_ptr<async::Timer> timer;
  };

  static UserNet& self(void* opaque) { return *static_cast<UserNet*>(opaque); }

  static ssize_t send_packet(const void* bytes, size_t size, void* opaque) {
    // Its checksums are computed in this process, a moment ago.
    self(opaque).send({static_cast<const uint8_t*>(bytes), size}, {.checksum_good = true});
    return static_cast<ssize_t>(size);
  }
  static void guest_error(const char* message, void*) { rhea::guest_error("user network: {}", message); }
  static int64_t now(void* opaque) { return self(opaque).wiring_.clock.now_ns(); }
  static void* new_timer(SlirpTimerId id, void* timer_opaque, void* opaque) {
    UserNet& net = self(opaque);
    auto* made = new SlirpTimer{id, timer_opaque, nullptr};
    made->timer = net.wiring_.clock.make_timer([&net, made] {
      net.guarded([&] { slirp_handle_timer(net.slirp_, made->id, made->opaque); });
      net.poll_->touch();
    });
    return made;
  }
  static void free_timer(void* timer, void*) { delete static_cast<SlirpTimer*>(timer); }
  static void set_timer(void* timer, int64_t at_ms, void*) {
    static_cast<SlirpTimer*>(timer)->timer->arm(at_ms * 1'000'000);
  }
  static void register_fd(int, void*) {}
  static void forget_fd(int fd, void* opaque) {
    if (self(opaque).poll_) self(opaque).poll_->forget(fd);
  }
  static void notify(void* opaque) {
    if (self(opaque).poll_) self(opaque).poll_->touch();
  }
  // libslirp makes its first timer in here, before slirp_new() has returned.
  static void created(Slirp* slirp, void* opaque) { self(opaque).slirp_ = slirp; }

  static constexpr SlirpCb kTable = {.send_packet = send_packet,
                                     .guest_error = guest_error,
                                     .clock_get_ns = now,
                                     .timer_new = nullptr,
                                     .timer_free = free_timer,
                                     .timer_mod = set_timer,
                                     .register_poll_fd = register_fd,
                                     .unregister_poll_fd = forget_fd,
                                     .notify = notify,
                                     .init_completed = created,
                                     .timer_new_opaque = new_timer};
};

namespace {

const char* or_null(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

SlirpConfig slirp_config(const UserOptions& options, const UserAddresses& at, const char** search) {
  SlirpConfig config{};
  config.version = 4;
  config.restricted = options.restricted ? 1 : 0;
  config.in_enabled = at.ip4;
  config.vnetwork = at.net;
  config.vnetmask = at.mask;
  config.vhost = at.host;
  config.vdhcp_start = at.dhcp;
  config.vnameserver = at.dns;
  config.in6_enabled = at.ip6;
  config.vprefix_addr6 = at.prefix6;
  config.vprefix_len = at.prefix6_length;
  config.vhost6 = at.host6;
  config.vnameserver6 = at.dns6;
  config.vhostname = or_null(options.hostname);
  config.vdomainname = or_null(options.domainname);
  config.vdnssearch = search;
  config.tftp_path = or_null(options.tftp);
  config.tftp_server_name = or_null(options.tftp_server_name);
  config.bootfile = or_null(options.bootfile);
  return config;
}

// RFC 2132 gives these options of DHCP one byte for their length.
Result<> check_texts(const UserOptions& options) {
  const std::pair<const char*, const std::string*> texts[] = {{"hostname", &options.hostname},
                                                              {"domainname", &options.domainname},
                                                              {"tftp-server-name", &options.tftp_server_name},
                                                              {"bootfile", &options.bootfile}};
  for (const auto& [key, text] : texts) {
    const size_t most = text == &options.bootfile ? 127 : 254;
    if (text->size() > most) return failf(ErrorKind::Invalid, "'{}' is longer than {} bytes", key, most);
  }
  if (!options.smb.empty() || !options.smbserver.empty())
    return fail(ErrorKind::Unsupported, "smb= needs a Samba server, which Rhea does not start");
  return {};
}

}  // namespace

Result<std::unique_ptr<UserNet>> UserNet::create(const Wiring& wiring, std::string id,
                                                 const UserOptions& options) {
  TRY(check_texts(options));
  const UserAddresses addresses = TRY(resolve_addresses(options));
  std::unique_ptr<UserNet> net(new UserNet(wiring, std::move(id), options, addresses));
  TRY(net->open());
  return net;
}

Result<> UserNet::open() {
  poll_ = TRY(SlirpPoll::create(wiring_.loop, wiring_.clock, slirp_,
                                [this](const std::function<void()>& call) { guarded(call); }));
  std::vector<const char*> search;
  for (const std::string& domain : options_.dnssearch) search.push_back(domain.c_str());
  search.push_back(nullptr);
  const SlirpConfig config =
      slirp_config(options_, addresses_, options_.dnssearch.empty() ? nullptr : search.data());
  slirp_ = slirp_new(&config, &UserNetCallbacks::kTable, this);
  if (slirp_ == nullptr) return fail(ErrorKind::Io, "libslirp does not start");
  for (const std::string& rule : options_.hostfwd) TRY(add_forward(rule));
  for (const std::string& rule : options_.guestfwd) TRY(forward_guest(rule));
  poll_->touch();
  return {};
}

UserNet::~UserNet() {
  disconnect();
  lines_.clear();
  if (slirp_ != nullptr) slirp_cleanup(slirp_);
  slirp_ = nullptr;
}

void UserNet::guarded(const std::function<void()>& call) {
  if (busy_ || slirp_ == nullptr) return;
  busy_ = true;
  call();
  busy_ = false;
  for (auto& line : lines_) line->resume();
  if (queued() != 0) flush_queued();
}

void UserNet::receive(Frame frame, const Offload&) {
  guarded([&] { slirp_input(slirp_, frame.data(), static_cast<int>(frame.size())); });
  poll_->touch();
}

Result<> UserNet::add_forward(const std::string& rule) {
  const HostForward f = TRY(parse_host_forward(rule));
  int error = 0;
  guarded(
      [&] { error = slirp_add_hostfwd(slirp_, f.udp ? 1 : 0, f.host, f.host_port, f.guest, f.guest_port); });
  if (error < 0) return failf(ErrorKind::Io, "Could not set up host forwarding rule '{}'", rule);
  poll_->touch();
  return {};
}

Result<bool> UserNet::remove_forward(const std::string& rule) {
  const HostForward f = TRY(parse_host_side(rule));
  int error = 0;
  guarded([&] { error = slirp_remove_hostfwd(slirp_, f.udp ? 1 : 0, f.host, f.host_port); });
  poll_->touch();
  return error == 0;
}

Result<> UserNet::forward_guest(const std::string& rule) {
  const GuestForward f = TRY(parse_guest_forward(rule));
  in_addr server = f.server;
  int error = 0;
  switch (f.kind) {
    case GuestForward::Kind::Command:
      error = slirp_add_exec(slirp_, f.target.c_str(), &server, f.port);
      break;
    case GuestForward::Kind::Unix: error = slirp_add_unix(slirp_, f.target.c_str(), &server, f.port); break;
    case GuestForward::Kind::Tcp: {
      const auto room = [this, server, port = f.port] { return slirp_socket_can_recv(slirp_, server, port); };
      const auto input = [this, server, port = f.port](std::span<const uint8_t> bytes) {
        guarded(
            [&] { slirp_socket_recv(slirp_, server, port, bytes.data(), static_cast<int>(bytes.size())); });
        poll_->touch();
      };
      lines_.push_back(TRY_IN(GuestLine::connect({wiring_.loop, room, input}, f.target), "guestfwd=" + rule));
      const SlirpWriteCb write = [](const void* bytes, size_t size, void* line) {
        return static_cast<GuestLine*>(line)->write({static_cast<const uint8_t*>(bytes), size});
      };
      error = slirp_add_guestfwd(slirp_, write, lines_.back().get(), &server, f.port);
      break;
    }
  }
  if (error < 0)
    return failf(ErrorKind::Invalid, "conflicting/invalid host:port in guest forwarding rule '{}'", rule);
  return {};
}

std::string UserNet::connections() const {
  char* text = slirp_connection_info(slirp_);
  if (text == nullptr) return {};
  std::string result = text;
  std::free(text);  // GLib's allocator is the C library's
  return result;
}

std::string UserNet::info() const {
  char text[INET_ADDRSTRLEN] = {};
  ::inet_ntop(AF_INET, &addresses_.net, text, sizeof text);
  return fmt::format("index=0,type=user,net={},restrict={}", text, options_.restricted ? "on" : "off");
}

}  // namespace rhea::net
