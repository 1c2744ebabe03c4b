#include "net/user/addresses.h"

#include <arpa/inet.h>

#include <bit>
#include <cstring>

#include "base/failf.h"
#include "config/schema.h"

namespace rhea::net {

namespace {

// 10.0.2.0/24 with .2 the gateway, .3 the name server and the guests from .15 on; in other networks the same
// host parts, as far as they fit.
constexpr uint32_t kNet = 0x0a000200, kMask = 0xffffff00, kHost = 0x0202, kDns = 0x0203, kDhcp = 0x020f;

Result<in6_addr> parse_ip6(const std::string& text, const char* what) {
  in6_addr address{};
  if (::inet_pton(AF_INET6, text.c_str(), &address) == 1) return address;
  return failf(ErrorKind::Invalid, "'{}' accepts an IPv6 address, not '{}'", what, text);
}

Result<uint32_t> parse_mask(const std::string& text) {
  if (text.find('.') == std::string::npos) {
    const auto bits = config::parse_unsigned(text, 4, 30);
    if (!bits) return fail(ErrorKind::Invalid, "Invalid netmask provided (must be in range 4-30)");
    return static_cast<uint32_t>(~uint64_t{0} << (32 - *bits));
  }
  const uint32_t mask = ntohl(TRY(parse_ip4(text, "net")).s_addr);
  const uint32_t holes = ~mask;
  if ((holes & (holes + 1)) != 0 || mask == 0 || holes < 3)
    return failf(ErrorKind::Invalid, "'net' accepts a netmask of leading ones, not '{}'", text);
  return mask;
}

Result<> resolve_ip4(const UserOptions& options, UserAddresses& to) {
  uint32_t net = kNet, mask = kMask;
  if (!options.net.empty()) {
    const size_t slash = options.net.find('/');
    net = ntohl(TRY(parse_ip4(options.net.substr(0, slash), "net")).s_addr);
    if (slash != std::string::npos) mask = TRY(parse_mask(options.net.substr(slash + 1)));
    net &= mask;
  }
  to.net.s_addr = htonl(net);
  to.mask.s_addr = htonl(mask);
  const auto place = [&](const std::string& text, const char* key, uint32_t usual) -> Result<in_addr> {
    in_addr address{.s_addr = htonl(net | (usual & ~mask))};
    if (!text.empty()) address = TRY(parse_ip4(text, key));
    const uint32_t value = ntohl(address.s_addr);
    if ((value & mask) != net || (value & ~mask) == 0 || (value & ~mask) == ~mask)
      return failf(ErrorKind::Invalid, "'{}' is not an address of the network", key);
    return address;
  };
  to.host = TRY(place(options.host, "host", kHost));
  to.dns = TRY(place(options.dns, "dns", kDns));
  to.dhcp = TRY(place(options.dhcpstart, "dhcpstart", kDhcp));
  if (to.dns.s_addr == to.host.s_addr)
    return fail(ErrorKind::Invalid, "'dns' and 'host' are the same address");
  if (to.dhcp.s_addr == to.host.s_addr || to.dhcp.s_addr == to.dns.s_addr)
    return fail(ErrorKind::Invalid, "'dhcpstart' is the address of 'host' or 'dns'");
  return {};
}

bool same_prefix(const in6_addr& a, const in6_addr& b, unsigned bits) {
  const unsigned whole = bits / 8, rest = bits % 8;
  if (std::memcmp(a.s6_addr, b.s6_addr, whole) != 0) return false;
  const unsigned mask = 0xff00u >> rest & 0xff;
  return rest == 0 || (a.s6_addr[whole] & mask) == (b.s6_addr[whole] & mask);
}

Result<> resolve_ip6(const UserOptions& options, UserAddresses& to) {
  std::string prefix = options.ipv6_prefix.empty() ? "fec0::" : options.ipv6_prefix;
  unsigned length = options.ipv6_prefixlen.value_or(64);
  if (!options.ipv6_net.empty()) {
    if (!options.ipv6_prefix.empty() || options.ipv6_prefixlen)
      return fail(ErrorKind::Invalid, "'ipv6-net' says the same as 'ipv6-prefix' and 'ipv6-prefixlen'");
    const size_t slash = options.ipv6_net.find('/');
    prefix = options.ipv6_net.substr(0, slash);
    if (slash != std::string::npos) {
      length = static_cast<unsigned>(
          TRY_IN(config::parse_unsigned(options.ipv6_net.substr(slash + 1), 0, 126), "ipv6-net"));
    }
  }
  if (length > 126) return failf(ErrorKind::Invalid, "'ipv6-prefixlen' accepts 0 to 126, not {}", length);
  to.prefix6 = TRY(parse_ip6(prefix, "ipv6-prefix"));
  to.prefix6_length = static_cast<uint8_t>(length);
  const auto place = [&](const std::string& text, const char* key, uint8_t last) -> Result<in6_addr> {
    in6_addr address = to.prefix6;
    address.s6_addr[15] |= last;
    if (!text.empty()) address = TRY(parse_ip6(text, key));
    if (!same_prefix(address, to.prefix6, length))
      return failf(ErrorKind::Invalid, "'{}' is not an address of the IPv6 network", key);
    return address;
  };
  to.host6 = TRY(place(options.ipv6_host, "ipv6-host", 2));
  to.dns6 = TRY(place(options.ipv6_dns, "ipv6-dns", 3));
  return {};
}

}  // namespace

Result<in_addr> parse_ip4(const std::string& text, const char* what) {
  in_addr address{};
  if (::inet_pton(AF_INET, text.c_str(), &address) == 1) return address;
  return failf(ErrorKind::Invalid, "'{}' accepts an IPv4 address, not '{}'", what, text);
}

Result<UserAddresses> resolve_addresses(const UserOptions& o) {
  UserAddresses to;
  const bool says4 = !o.net.empty() || !o.host.empty() || !o.dhcpstart.empty() || !o.dns.empty();
  const bool says6 = !o.ipv6_net.empty() || !o.ipv6_prefix.empty() || o.ipv6_prefixlen.has_value() ||
                     !o.ipv6_host.empty() || !o.ipv6_dns.empty();
  // One of them on, and the other not mentioned, is that one alone.
  to.ip4 = o.ipv4.value_or(!o.ipv6.value_or(false) || says4);
  to.ip6 = o.ipv6.value_or(!o.ipv4.value_or(false) || says6);
  if (!to.ip4 && !to.ip6) return fail(ErrorKind::Invalid, "IPv4 and IPv6 disabled");
  if (!to.ip4 && says4) return fail(ErrorKind::Invalid, "IPv4 disabled but netmask/host/dns provided");
  if (!to.ip6 && says6) return fail(ErrorKind::Invalid, "IPv6 disabled but prefix/host6/dns6 provided");
  TRY(resolve_ip4(o, to));
  TRY(resolve_ip6(o, to));
  return to;
}

}  // namespace rhea::net
