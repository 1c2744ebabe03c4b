#!/ usr / bin / env python3
"""Network cards and back ends under a stock kernel, as run.sh cannot do it with options alone: the monitor is used
while the guest runs, and TAP interfaces are made and handed over. Prints `ok NAME`, `not ok NAME: why` or
`skip NAME: why`.

  tests/real/network.py EMULATOR ACCELERATOR FOLDER [NAME...]"""
import fcntl
import functools
import hashlib
import http.server
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time

from linux_guest import FOLDER, Guest, SLOW, Skip, expect, main, test

class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


def serve(address):
    """An HTTP server of the folder, with a blob in it; returns (port, the blob's SHA-256)."""
    blob = os.urandom(4 << 20)
    (FOLDER / "blob").write_bytes(blob)
    web = http.server.ThreadingHTTPServer((address, 0), functools.partial(Quiet, directory=FOLDER))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    return web.server_port, hashlib.sha256(blob).hexdigest()


class Sink:
    """Takes connections, keeps the SHA-256 of what came on each."""

    def __init__(self, address):
        self.listener = socket.create_server((address, 0))
        self.port, self.sums = self.listener.getsockname()[1], []
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        while True:
            peer, _ = self.listener.accept()
            with peer:
                self.sums.append(hashlib.sha256(b"".join(iter(lambda: peer.recv(65536), b""))).hexdigest())

    def wait(self, digest):
        end = time.monotonic() + 30 * SLOW
        while digest not in self.sums and time.monotonic() < end:
            time.sleep(0.05)
        found = digest in self.sums
        self.sums.clear()
        return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


DHCP = """
cat >/tmp/dhcp <<"S"
#!/ bin / sh
[ "$1" = bound ] && ip addr add $ip/24 dev $interface && ip route add default via $router
S
chmod +x /tmp/dhcp
ip link set lo up
lease() {
  ip link set $1 up;
  udhcpc - i $1 - n - q - t 20 - s / tmp / dhcp > / dev / null 2 > &1;
} sum() {
  mark "sum $1 $(wget -q -O - $2 | sha256sum | cut -c1-64)";
}
""
    "

    @test def
    user_mode_by_monitor()
    : ""
      "Ports that the monitor forwards, links that it pulls, a capture, the back ends' list."
      "" port,
      digest = serve("127.0.0.1") forwarded,
      pcap = free_port(),
      FOLDER / "frames.pcap"
#What the driver was told; the flags that `ip link` shows follow up to a second later(linkwatch).
          commands = DHCP + f
                     ""
                     "
                     carrier() {
  { ["$(cat /sys/class/net/eth0/carrier)" = 1]; }
}
lease eth0 sum plain http :  // 10.0.2.2:{port}/blob
                             httpd -
                             p 80 - h / etc echo inside >
    / etc / word ask forward carrier&& mark "carrier there" ask pull i = 0;
while
  [$i - lt 100] && carrier;
do sleep 0.1;
i = $((i + 1));
done mark "pulled after $i" ask plug i = 0;
while
  [$i - lt 100] && !carrier;
do sleep 0.1;
i = $((i + 1)); done
mark "plugged after $i"
sum again http://10.0.2.2:{port}/blob
"""
    for model in ("e1000", "virtio-net-pci"):
        with Guest("user", commands, "-netdev", "user,id=n", "-device", f"{model},netdev=n,id=card", "-object",
                   f"filter-dump,id=d,netdev=n,file={pcap}") as guest:
            expect(guest.wait("@@sum plain (.*)")[1] == digest, f"{model}: what came is not what was sent")
            guest.wait("@@forward")
            expect("type=user" in (listed := guest.command("info network")) and "card: " in listed, listed)
            expect(not guest.command(f"hostfwd_add n tcp:127.0.0.1:{forwarded}-:80").strip(), "hostfwd_add")
            with socket.create_connection(("127.0.0.1", forwarded), 20 * SLOW) as peer:
                peer.sendall(b"GET /word HTTP/1.0\r\n\r\n")
                got = b"".join(iter(lambda: peer.recv(4096), b""))
            expect(got.endswith(b"inside\n"), f"{model}: through the forwarded port came {got!r}")
            expect(f"127.0.0.1 {forwarded}" in re.sub(" +", " ", guest.command("info usernet")), "info usernet")
            expect("removed" in guest.command(f"hostfwd_remove n tcp:127.0.0.1:{forwarded}"), "hostfwd_remove")
            try:
                socket.create_connection(("127.0.0.1", forwarded), 2).close()
                raise AssertionError("the port is still open")
            except ConnectionRefusedError:
                pass
            guest.answer()
            guest.wait("@@carrier there")
            guest.wait("@@pull")
            guest.command("set_link card off")
            guest.answer()
            expect(int(guest.wait("@@pulled after (\\d+)")[1]) < 100, f"{model}: set_link off is not seen")
            guest.wait("@@plug")
            guest.command("set_link card on")
            guest.answer()
            expect(int(guest.wait("@@plugged after (\\d+)")[1]) < 100, f"{model}: set_link on is not seen")
            expect(guest.wait("@@sum again (.*)")[1] == digest, f"{model}: after the link was back")
#Each packet that the file says it has, and DHCP's among them.
        data = pcap.read_bytes()
        expect(data[:4] == struct.pack("<I", 0xa1b2c3d4), "no capture")
        at, packets, dhcp = 24, 0, 0
        while at + 16 <= len(data):
            kept = struct.unpack_from("<I", data, at + 8)[0]
            frame = data[at + 16:at + 16 + kept]
            dhcp += len(frame) > 300 and frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[36:38] == b"\0\x43"
            at, packets = at + 16 + kept, packets + 1
        expect(at == len(data) and packets > 100 and dhcp >= 2, f"capture: {packets} packets, {dhcp} of DHCP, {len(data) - at} left")


@test
def restricted_and_forwarded():
    """restrict=on shuts everything but guestfwd; another network; the old options, on a hub."""
    port, digest = serve("127.0.0.1")
    commands = DHCP + f"""
lease eth0
mark "address $(ip -4 addr show eth0 | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p')"
timeout 4 wget -q -O /tmp/x http://10.7.0.2:{port}/blob && mark open || mark shut
echo hello | nc -w 3 10.7.0.100 7 | grep -q hello && mark "echoed"
lease eth1
sum hub http://10.0.2.2:{port}/blob
mark "vendor $(cat /sys/class/net/eth1/device/vendor)"
ask end
"""
    with Guest("restricted", commands, "-nic", "user,model=e1000,net=10.7.0.0/24,restrict=on,guestfwd=tcp:10.7.0.100:7-cmd:cat",
               "-net", "nic,model=virtio", "-net", "user") as guest:
        expect(guest.wait("@@address (.*)")[1] == "10.7.0.15", "net=")
        guest.wait("@@shut")
        guest.wait("@@echoed")
        expect(guest.wait("@@sum hub (.*)")[1] == digest, "through the hub")
        expect(guest.wait("@@vendor (.*)")[1] == "0x1af4", "-net nic,model=virtio")
        expect("hub 0" in guest.command("info network"), "info network shows the hub")


def pair(name, one, other):
    """Two machines on two ends of a socket: the second fetches from the first."""
    half = "ip link set lo up; ip link set eth0 up; ip addr add 10.9.0.%d/24 dev eth0\n"
    serving = half % 1 + "seq 1 200000 >/tmp/numbers; httpd -p 5000 -h /tmp; mark serving; sleep 300\n"
    asking = half % 2 + """for i in $(seq 60); do ping -c 1 -w 1 10.9.0.1 >/dev/null && break; done
for i in $(seq 20);
do
  timeout 10 wget - q -
          O / tmp /
              got http :  // 10.9.0.1:5000/numbers && break; sleep 1; done
                          seq 1 200000 |
      cmp - / tmp /
                got&& mark
                "all came"
                ""
                "
                with
                Guest(name + "-1", serving, "-nic",
                      one + ",model=virtio-net-pci,mac=52:54:00:00:00:01") as server
      : server
            .wait("@@serving") with
        Guest(name + "-2", asking, "-nic", other + ",model=e1000,mac=52:54:00:00:00:02") as client
      : client.wait("@@all came")

            @test def sockets_in_a_group_and_by_datagram()
      : group = f "socket,mcast=230.0.0.{os.getpid() % 250 + 1}:{free_port()},localaddr=127.0.0.1" pair(
      "mcast", group, group) here,
        there = free_port(),
        free_port() pair("udp", f "socket,udp=127.0.0.1:{there},localaddr=127.0.0.1:{here}",
                         f "socket,udp=127.0.0.1:{here},localaddr=127.0.0.1:{there}")

            TUNSETIFF,
        IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454ca, 2, 0x1000, 0x4000

                                                                          def need_tap()
      : if os.geteuid() != 0 or shutil.which("ip") is None : raise
                                                             Skip("TAP interfaces need root and iproute2") try
      : os
    .close(os.open("/dev/net/tun", os.O_RDWR)) except OSError as error
        : raise Skip(f "/dev/net/tun: {error.strerror}") from None

          def ip(*words)
        : done =
        subprocess.run([ "ip", *words ], capture_output = True, text = True, check = False) if done.returncode
        != 0 : raise Skip(f "ip {' '.join(words)}: {done.stderr.strip()}")

                   def tap_commands(port, sink)
        : return DHCP + f
          ""
          "
          ip link set eth0 up; ip addr add 10.99.7.2/24 dev eth0
for i in $(seq 30);
do ping - c 1 - w 1 10.99.7.1 > / dev / null&& break;
done sum down http :  // 10.99.7.1:{port}/blob
                      wget -
                      q -
                      O / tmp /
                          blob http :  // 10.99.7.1:{port}/blob
                                       nc 10.99.7.1 {sink.port} <
    / tmp /
        blob&& mark
        "sent"
        ""
        "

        @test def
        tap_in_a_bridge()
    : ""
      "script= plugs the interface into a bridge of the host, downscript= takes the bridge away."
      "" need_tap() name,
tap = f "rhbr{os.getpid() % 10000}", f "rhtap{os.getpid() % 10000}" up, down,
gone = FOLDER / "up", FOLDER / "down",
FOLDER / "gone" up.write_text(f '#!/bin/sh\nip link set "$1" master {name} && ip link set "$1" up\n') down
             .write_text(f '#!/bin/sh\necho "$1" >{gone}\n') up.chmod(0o755) down.chmod(0o755)
                 ip("link", "add", name, "type", "bridge") try
    : ip("addr", "add", "10.99.7.1/24", "dev", name) ip("link", "set", name, "up")
        (port, digest), sink = serve("10.99.7.1"), Sink("10.99.7.1")
        for model in ("e1000", "virtio-net-pci"):
            gone.unlink(missing_ok=True)
            with Guest("tap", tap_commands(port, sink), "-netdev", f"tap,id=n,ifname={tap},script={up},downscript={down}", "-device",
                       f"{model},netdev=n") as guest:
                expect(guest.wait("@@sum down (.*)")[1] == digest, f"{model}: what came is not what was sent")
                guest.wait("@@sent")
                expect(sink.wait(digest), f"{model}: what went is not what was sent")
                guest.wait("RHEA-GUEST-DONE")
                guest.process.wait(30 * SLOW)
            expect(gone.exists() and gone.read_text().strip() == tap, "downscript= did not run")
    finally:
        subprocess.run(["ip", "link", "del", name], check=False)


@test
def tap_as_an_open_descriptor():
    need_tap()
    tap = f"rhfd{os.getpid() % 10000}"
    fd = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl
.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", tap.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    ip("addr", "add", "10.99.7.1/24", "dev", tap) ip("link", "set", tap, "up")(port, digest),
    sink = serve("10.99.7.1"),
    Sink("10.99.7.1") with Guest("tapfd", tap_commands(port, sink), "-netdev", f "tap,id=n,fd={fd}",
                                 "-device", "virtio-net-pci,netdev=n", pass_fds = [fd]) as guest
    : expect(guest.wait("@@sum down (.*)")[1] == digest, "what came is not what was sent") guest
          .wait("@@sent") expect(sink.wait(digest), "what went is not what was sent") finally
    : os.close(fd)

          main("linux-net-")
