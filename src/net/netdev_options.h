// What -netdev, -nic, -net and the monitor's netdev_add say of a back end, as plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "config/key_values.h"
#include "net/dump.h"

namespace rhea::net {

struct UserOptions {
  std::optional<bool> ipv4, ipv6;
  bool restricted = false;
  std::string net, host, dhcpstart, dns;  // empty: libslirp's usual addresses in 10.0.2.0/24
  std::string ipv6_net, ipv6_prefix, ipv6_host, ipv6_dns;
  std::optional<unsigned> ipv6_prefixlen;
  std::string hostname, domainname, tftp, tftp_server_name, bootfile, smb, smbserver;
  std::vector<std::string> dnssearch, hostfwd, guestfwd;
};

struct TapOptions {
  std::string ifname, script, downscript, fd, fds, helper, br, vhostfd, vhostfds;
  bool script_given = false, downscript_given = false;
  std::optional<bool> vnet_hdr, vhost, vhostforce;
  std::optional<uint64_t> sndbuf;
  std::optional<unsigned> queues, poll_us;
};

struct SocketOptions {
  std::string fd, listen, connect, mcast, localaddr, udp;
};

struct HubportOptions {
  std::optional<unsigned> hubid;
  std::string netdev;  // another back end that joins the hub
};

struct NetdevOptions {
  std::string id;
  std::variant<UserOptions, TapOptions, SocketOptions, HubportOptions> kind;
};

// The keys of -object filter-dump (without qom-type). Errors: Invalid, Unsupported.
Result<DumpOptions> parse_dump(const config::KeyValues& values);

// From "type" and the other keys. Errors: Unsupported for kinds that QEMU has and Rhea has not, Invalid.
Result<NetdevOptions> parse_netdev(config::KeyValues values);
// The text of `-netdev help`, and of `-netdev TYPE,help`. Errors: Invalid.
std::string netdev_types_help();
Result<std::string> netdev_help(const std::string& type);

}  // namespace rhea::net
