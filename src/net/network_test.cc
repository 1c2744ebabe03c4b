#include "net/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/testing/frames.h"
#include "net/user/addresses.h"
#include "net/user/forward.h"
#include "net/user/user_net.h"

namespace rhea::net {
namespace {

using ::testing::HasSubstr;
using testing::Sink;

struct NetworkTest : ::testing::Test {
  NetworkTest() { loop.virtual_clock().start(); }
  Result<> add(const std::string& words) {
    auto values = config::split_options(words, "type");
    if (!values) return std::unexpected(values.error());
    auto options = parse_netdev(*values);
    if (!options) return std::unexpected(options.error());
    return network.add(*options);
  }
  std::string error_of(const std::string& words) {
    const auto added = add(words);
    return added ? "no error" : added.error().message();
  }
  template <class Done>
  void turn_until(Done done) {
    for (int i = 0; i < 500 && !done(); ++i) loop.run_once(10'000'000);
  }
  std::recursive_mutex lock;
  async::EventLoop loop{lock};
  Network network{{.loop = loop, .clock = loop.virtual_clock()}};
};

TEST_F(NetworkTest, bad_words_are_refused_by_name) {
  EXPECT_THAT(error_of("user"), HasSubstr("'id' is missing"));
  EXPECT_THAT(error_of("foo,id=a"), HasSubstr("'type' does not accept value 'foo'"));
  EXPECT_THAT(error_of("vde,id=a"), HasSubstr("not supported"));
  EXPECT_THAT(error_of("user,id=a,smb=/tmp"), HasSubstr("smb"));
  EXPECT_THAT(error_of("user,id=a,hostfwd=abc"),
              HasSubstr("Invalid host forwarding rule 'abc' (No : separators)"));
  EXPECT_THAT(error_of("user,id=a,guestfwd=tcp:10.0.2.100:7-vc:x"), HasSubstr("guest forwarding"));
  EXPECT_THAT(error_of("user,id=a,ipv4=off,ipv6=off"), HasSubstr("IPv4 and IPv6 disabled"));
  EXPECT_THAT(error_of("user,id=a,host=1.2.3.4"), HasSubstr("'host'"));
  EXPECT_THAT(error_of("tap,id=a,fds=3:4"), HasSubstr("fds="));
  EXPECT_THAT(error_of("tap,id=a,vhost=on"), HasSubstr("vhost"));
  EXPECT_THAT(error_of("tap,id=a,fd=0,ifname=x"), HasSubstr("invalid with fd="));
  EXPECT_THAT(error_of("tap,id=a,fd=999"), HasSubstr("not an open file descriptor"));
  EXPECT_THAT(error_of("socket,id=a"), HasSubstr("exactly one of"));
  EXPECT_THAT(error_of("socket,id=a,udp=127.0.0.1:5"), HasSubstr("localaddr= is mandatory"));
  EXPECT_THAT(error_of("hubport,id=a"), HasSubstr("hubid"));
  EXPECT_TRUE(add("user,id=a"));
  EXPECT_THAT(error_of("user,id=a"), HasSubstr("Duplicate ID 'a' for netdev"));
}

TEST_F(NetworkTest, a_back_end_has_one_user) {
  ASSERT_TRUE(add("user,id=a"));
  Sink nic;
  network.add_nic(nic, "", "e1000");
  EXPECT_EQ(network.loose_ends().size(), 2u);
  Endpoint::connect(nic, **network.claim("a"));
  EXPECT_EQ(network.claim("a").error().kind(), ErrorKind::Busy);
  EXPECT_EQ(network.claim("b").error().kind(), ErrorKind::NotFound);
  EXPECT_EQ(nic.name(), "e1000.0");
  EXPECT_EQ(network.info(),
            "e1000.0: index=0,type=sink\n \\ a: index=0,type=user,net=10.0.2.0,restrict=off\n");
  EXPECT_TRUE(network.loose_ends().empty());
  EXPECT_TRUE(network.set_link("e1000.0", false));
  EXPECT_FALSE(nic.carrier());
  EXPECT_FALSE(network.set_link("zz", true));
  EXPECT_TRUE(network.remove("a"));
  EXPECT_EQ(nic.peer(), nullptr);
  EXPECT_FALSE(network.remove("a"));
}

TEST_F(NetworkTest, forwards_are_added_and_removed) {
  EXPECT_FALSE(network.hostfwd_add("", "tcp::0-:22"));
  ASSERT_TRUE(add("user,id=a"));
  EXPECT_TRUE(network.hostfwd_add("", "tcp:127.0.0.1:0-:22"));
  EXPECT_FALSE(network.hostfwd_add("b", "tcp::0-:22"));
  EXPECT_EQ(network.hostfwd_remove("a", "udp:127.0.0.1:9").value(),
            "host forwarding rule for udp:127.0.0.1:9 not found\n");
  EXPECT_THAT(network.user_info(), HasSubstr("Hub -1 (a):"));
}

TEST_F(NetworkTest, addresses_of_cards_are_not_given_twice) {
  network.take_mac({0x52, 0x54, 0, 0x12, 0x34, 0x56});
  EXPECT_EQ(mac_text(network.next_mac()), "52:54:00:12:34:57");
  EXPECT_EQ(mac_text(network.next_mac()), "52:54:00:12:34:58");
  EXPECT_FALSE(parse_mac("52:54:00:12:34"));
  EXPECT_FALSE(parse_mac("53:54:00:12:34:56"));
  EXPECT_FALSE(parse_mac("52:54:00:12:34:56:"));
}

// The router answers an ARP request for itself.
TEST_F(NetworkTest, user_network_answers_on_the_loop) {
  ASSERT_TRUE(add("user,id=a,net=192.168.7.0/24"));
  Sink nic;
  network.add_nic(nic, "n", "e1000");
  Endpoint::connect(nic, **network.claim("a"));
  std::vector<uint8_t> arp(42);
  std::fill(arp.begin(), arp.begin() + 6, uint8_t{0xff});
  const uint8_t mac[] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
  std::copy(mac, mac + 6, arp.begin() + 6);
  const uint8_t request[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
  std::copy(request, request + 10, arp.begin() + 12);
  std::copy(mac, mac + 6, arp.begin() + 22);
  store_be<uint32_t>(&arp[28], 0xc0a8070f);
  store_be<uint32_t>(&arp[38], 0xc0a80702);
  nic.send(arp);
  const auto answered = [&] {
    return std::ranges::any_of(nic.got, [](const auto& frame) {
      return frame.size() >= 42 && frame[12] == 8 && frame[13] == 6 && frame[21] == 2;
    });
  };
  turn_until(answered);
  EXPECT_TRUE(answered());
  network.set_running(false);
  const size_t before = nic.got.size();
  nic.send(arp);
  EXPECT_EQ(nic.got.size(), before) << "a machine that stands still hears nothing";
}

TEST_F(NetworkTest, stream_peers_exchange_frames) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  ASSERT_TRUE(add("socket,id=a,fd=" + std::to_string(fds[0])));
  Sink nic;
  Endpoint::connect(nic, **network.claim("a"));
  const std::vector<uint8_t> frame = testing::tcp4_frame(100);
  std::vector<uint8_t> framed(4);
  store_be<uint32_t>(framed.data(), static_cast<uint32_t>(frame.size()));
  framed.insert(framed.end(), frame.begin(), frame.end());
  nic.send(frame);
  std::vector<uint8_t> got(framed.size());
  EXPECT_EQ(::read(fds[1], got.data(), got.size()), static_cast<ssize_t>(framed.size()));
  EXPECT_EQ(got, framed);
  for (const uint8_t byte : framed) {  // in the smallest pieces
    ASSERT_EQ(::write(fds[1], &byte, 1), 1);
    loop.run_once(0);
  }
  turn_until([&] { return !nic.got.empty(); });
  ASSERT_EQ(nic.got.size(), 1u);
  EXPECT_EQ(nic.got[0], frame);
  const uint8_t garbage[] = {0xff, 0xff, 0xff, 0xff, 1, 2, 3};
  ASSERT_EQ(::write(fds[1], garbage, sizeof garbage), 7);
  turn_until([&] { return ::send(fds[1], garbage, 1, MSG_NOSIGNAL) < 0; });
  nic.send(frame);  // into nothing
  EXPECT_EQ(nic.got.size(), 1u);
  ::close(fds[1]);
}

TEST(UserAddresses, follow_from_the_network) {
  const auto text = [](in_addr a) { return ntohl(a.s_addr); };
  const auto usual = resolve_addresses({}).value();
  EXPECT_EQ(text(usual.host), 0x0a000202u);
  EXPECT_EQ(text(usual.dns), 0x0a000203u);
  EXPECT_EQ(text(usual.dhcp), 0x0a00020fu);
  UserOptions options;
  options.net = "192.168.76.9/24";
  options.dhcpstart = "192.168.76.100";
  const auto own = resolve_addresses(options).value();
  EXPECT_EQ(text(own.host), 0xc0a84c02u);
  EXPECT_EQ(text(own.dhcp), 0xc0a84c64u);
  options.net = "10.0.0.0/33";
  EXPECT_FALSE(resolve_addresses(options));
  UserOptions six;
  six.ipv6_prefixlen = 127;
  EXPECT_FALSE(resolve_addresses(six));
}

TEST(Forward, rules_are_taken_apart) {
  const auto f = parse_host_forward("udp:127.0.0.1:5000-10.0.2.20:53").value();
  EXPECT_TRUE(f.udp);
  EXPECT_EQ(f.host_port, 5000);
  EXPECT_EQ(f.guest_port, 53);
  EXPECT_EQ(ntohl(f.guest.s_addr), 0x0a000214u);
  for (const char* bad :
       {"tcp", "tcp:", "tcp::", "tcp::x-:1", "tcp::1-:0", "tcp::1-:65536", "icmp::1-:1", "tcp:x:1-:1"})
    EXPECT_FALSE(parse_host_forward(bad)) << bad;
  const auto g = parse_guest_forward("tcp:10.0.2.100:1234-cmd:cat -n").value();
  EXPECT_EQ(g.target, "cat -n");
  EXPECT_FALSE(parse_guest_forward("tcp::1-cmd:x"));
}

}  // namespace
}  // namespace rhea::net
