#include "net/netdev_options.h"

#include <fmt/core.h>

#include "base/failf.h"
#include "config/schema.h"

namespace rhea::net {

namespace {

using config::boolean;
using config::integer;
using config::text;
using config::text_list;

const config::Group<UserOptions>& user_group() {
  using O = UserOptions;
  static const config::Group<O> group{
      "user",
      "",
      {boolean("ipv4", &O::ipv4, "IPv4 in the guest's network"),
       text("net", &O::net, "IPv4 network, ADDRESS[/MASK]; 10.0.2.0/24 if not given"),
       text("host", &O::host, "address at which the guest sees the host; 2 in the network"),
       boolean("ipv6", &O::ipv6, "IPv6 in the guest's network"),
       text("ipv6-net", &O::ipv6_net, "IPv6 network, ADDRESS[/LENGTH]; fec0::/64 if not given"),
       text("ipv6-prefix", &O::ipv6_prefix, "address of the IPv6 network"),
       integer("ipv6-prefixlen", &O::ipv6_prefixlen, 0u, 126u, "length of its prefix"),
       text("ipv6-host", &O::ipv6_host, "IPv6 address at which the guest sees the host"),
       boolean("restrict", &O::restricted, "the guest reaches nothing but what is forwarded"),
       text("hostname", &O::hostname, "name that DHCP gives to the guest"),
       text("dhcpstart", &O::dhcpstart, "first of 16 addresses that DHCP gives; 15 in the network"),
       text("dns", &O::dns, "address of the name server; 3 in the network"),
       text("ipv6-dns", &O::ipv6_dns, "IPv6 address of the name server"),
       text_list("dnssearch", &O::dnssearch, "domain that guests complete names with"),
       text("domainname", &O::domainname, "domain that DHCP gives to the guest"),
       text("tftp", &O::tftp, "folder that a TFTP server offers"),
       text("tftp-server-name", &O::tftp_server_name, "name of the TFTP server in DHCP's answers"),
       text("bootfile", &O::bootfile, "file that DHCP tells the guest to boot"),
       text("smb", &O::smb, "not supported"),
       text("smbserver", &O::smbserver, "not supported"),
       text_list("hostfwd", &O::hostfwd, "[tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT"),
       text_list("guestfwd", &O::guestfwd, "[tcp]:SERVER:PORT-cmd:COMMAND, -unix:PATH or -tcp:HOST:PORT")}};
  return group;
}

struct TapWords : TapOptions {
  std::optional<std::string> script_word, downscript_word;
};

const config::Group<TapWords>& tap_group() {
  using O = TapWords;
  const auto own = [](std::string TapOptions::*member) { return static_cast<std::string O::*>(member); };
  static const config::Group<O> group{
      "tap",
      "",
      {text("ifname", own(&O::ifname), "name of the interface"),
       text("script", &O::script_word, "brings it up; /etc/qemu-ifup if not given, 'no' for none"),
       text("downscript", &O::downscript_word, "takes it down; /etc/qemu-ifdown if not given"),
       text("fd", own(&O::fd), "a TAP interface that is open as this descriptor"),
       text("fds", own(&O::fds), "not supported"), text("helper", own(&O::helper), "not supported"),
       text("br", own(&O::br), "not supported"),
       config::size("sndbuf", static_cast<std::optional<uint64_t> O::*>(&O::sndbuf), 1, 0, INT32_MAX,
                    "bytes that the kernel queues"),
       boolean("vnet_hdr", static_cast<std::optional<bool> O::*>(&O::vnet_hdr),
               "checksums and large segments pass as they are"),
       boolean("vhost", static_cast<std::optional<bool> O::*>(&O::vhost), "only off is supported"),
       boolean("vhostforce", static_cast<std::optional<bool> O::*>(&O::vhostforce), "only off is supported"),
       text("vhostfd", own(&O::vhostfd), "not supported"),
       text("vhostfds", own(&O::vhostfds), "not supported"),
       integer("queues", static_cast<std::optional<unsigned> O::*>(&O::queues), 1u, 1024u,
               "only 1 is supported"),
       integer("poll-us", static_cast<std::optional<unsigned> O::*>(&O::poll_us), 0u, 1000000u,
               "only 0 is supported")}};
  return group;
}

const config::Group<SocketOptions>& socket_group() {
  using O = SocketOptions;
  static const config::Group<O> group{
      "socket",
      "",
      {text("fd", &O::fd, "a connected socket that is open as this descriptor"),
       text("listen", &O::listen, "[HOST]:PORT to wait at for the other machine"),
       text("connect", &O::connect, "HOST:PORT where the other machine waits"),
       text("mcast", &O::mcast, "ADDRESS:PORT of a multicast group that is the network"),
       text("localaddr", &O::localaddr,
            "with mcast: the interface's address; with udp: HOST:PORT of this end"),
       text("udp", &O::udp, "HOST:PORT of the other machine")}};
  return group;
}

const config::Group<HubportOptions>& hubport_group() {
  using O = HubportOptions;
  static const config::Group<O> group{
      "hubport",
      "",
      {integer("hubid", &O::hubid, 0u, 0x7fffffffu, "number of the hub"),
       text("netdev", &O::netdev, "a back end that is plugged into the hub")}};
  return group;
}

Result<> check_socket(const SocketOptions& o) {
  const int ways = !o.fd.empty() + !o.listen.empty() + !o.connect.empty() + !o.mcast.empty() + !o.udp.empty();
  if (ways != 1)
    return fail(ErrorKind::Invalid, "exactly one of listen=, connect=, mcast= or udp= is required");
  if (!o.localaddr.empty() && o.mcast.empty() && o.udp.empty())
    return fail(ErrorKind::Invalid, "localaddr= is only valid with mcast= or udp=");
  if (!o.udp.empty() && o.localaddr.empty())
    return fail(ErrorKind::Invalid, "localaddr= is mandatory with udp=");
  return {};
}

Result<TapOptions> parse_tap(const config::KeyValues& values) {
  TapWords words;
  TRY(tap_group().apply(values, words));
  words.script_given = words.script_word.has_value();
  words.script = words.script_word.value_or("");
  words.downscript_given = words.downscript_word.has_value();
  words.downscript = words.downscript_word.value_or("");
  return TapOptions(words);
}

constexpr std::string_view kElsewhere[] = {"bridge", "l2tpv3",     "vde",       "stream",
                                           "dgram",  "vhost-user", "vhost-vdpa"};

}  // namespace

Result<NetdevOptions> parse_netdev(config::KeyValues values) {
  NetdevOptions netdev;
  const auto type = config::take(values, "type");
  if (!type) return fail(ErrorKind::Invalid, "Parameter 'type' is missing");
  const auto id = config::take(values, "id");
  if (id) netdev.id = *id;
  if (*type == "user") {
    UserOptions o;
    TRY(user_group().apply(values, o));
    netdev.kind = std::move(o);
  } else if (*type == "tap") {
    netdev.kind = TRY(parse_tap(values));
  } else if (*type == "socket") {
    SocketOptions o;
    TRY(socket_group().apply(values, o));
    TRY(check_socket(o));
    netdev.kind = std::move(o);
  } else if (*type == "hubport") {
    HubportOptions o;
    TRY(hubport_group().apply(values, o));
    if (!o.hubid) return fail(ErrorKind::Invalid, "Parameter 'hubid' is missing");
    netdev.kind = std::move(o);
  } else {
    for (const std::string_view known : kElsewhere)
      if (*type == known)
        return failf(ErrorKind::Unsupported, "network back end '{}' is not supported", known);
    return failf(ErrorKind::Invalid, "Parameter 'type' does not accept value '{}'", *type);
  }
  return netdev;
}

Result<DumpOptions> parse_dump(const config::KeyValues& values) {
  using O = DumpOptions;
  static const config::Group<O> group{
      "filter-dump",
      "",
      {text("id", &O::id, "name of the object"), text("netdev", &O::netdev, "back end that is watched"),
       text("file", &O::file, "capture file"),
       integer("maxlen", &O::maxlen, 16u, 262144u, "bytes that are kept of a frame"),
       config::choice("queue", &O::queue, {{"all", "all"}, {"rx", "rx"}, {"tx", "tx"}},
                      "rx: towards the back end; tx: from it"),
       config::choice("status", &O::status, {{"on", true}, {"off", false}}, "off: nothing is captured")}};
  O options;
  TRY(group.apply(values, options));
  return options;
}

std::string netdev_types_help() {
  return "Available netdev backend types:\nsocket\nhubport\ntap\nuser\n";
}

Result<std::string> netdev_help(const std::string& type) {
  if (type == "user") return user_group().help();
  if (type == "tap") return tap_group().help();
  if (type == "socket") return socket_group().help();
  if (type == "hubport") return hubport_group().help();
  return failf(ErrorKind::Invalid, "Parameter 'type' does not accept value '{}'", type);
}

}  // namespace rhea::net
