#!/bin/bash
# Sourced by run.sh: network cards under a stock kernel, with user mode behind them: DHCP, ping, TFTP, TCP in both
# directions by checksum, a forwarded port; iPXE that loads a kernel over HTTP; two machines joined by a socket.

# Servers on this host: HTTP for the folder, and one that keeps what it is sent. Sets http, upload and servers.
network_servers() {
  cat >"$1/servers.py" <<'PYTHON'
import functools, http.server, os, socket, sys, threading
folder = sys.argv[1]
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words): pass
web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder + "/www"))
threading.Thread(target=web.serve_forever, daemon=True).start()
sink = socket.create_server(("127.0.0.1", 0))
with open(folder + "/ports.new", "w") as f: f.write(f"{web.server_port} {sink.getsockname()[1]}\n")
os.rename(folder + "/ports.new", folder + "/ports")
while True:
    peer, _ = sink.accept()
    with peer, open(folder + "/upload.new", "wb") as f:
        while data := peer.recv(65536): f.write(data)
    os.rename(folder + "/upload.new", folder + "/upload")
PYTHON
  python3 "$1/servers.py" "$1" & servers=$!
  for _ in $(seq 100); do [[ -e $1/ports ]] && break; sleep 0.1; done
  read -r http upload <"$1/ports"
}

network_kernel() {  # NAME: sets kernel and modules
  local both
  wanted quick "$1" || return 1
  command -v python3 >/dev/null || { skip "$1" "needs python3"; return 1; }
  both=$("$guest/fetch-kernel.sh" --modules amd64 2>"$out/fetch.log") || { skip "$1" "$(why)"; return 1; }
  { read -r kernel; read -r modules; } <<<"$both"
  dir=$out/$1.d
  rm -rf "$dir"; mkdir -p "$dir/www"
}

network_initramfs() {  # NAME: from $dir/commands
  "$guest/make-initramfs.sh" --mode commands --commands "$dir/commands" --modules "$modules" e1000,e1000e,virtio_pci,virtio_net \
    "$dir/initramfs.gz" || { skip "$1" "no initramfs"; return 1; }
}

# The guest's half of DHCP.
network_dhcp='cat >/tmp/dhcp <<"S"
#!/bin/sh
[ "$1" = bound ] && ip addr add $ip/24 dev $interface && ip route add default via $router
S
chmod +x /tmp/dhcp
ip link set lo up; ip link set eth0 up
udhcpc -i eth0 -n -q -t 20 -s /tmp/dhcp >/dev/null 2>&1'

network_guest() {  # NAME CARD
  local name=$1 card=$2 kernel modules dir http upload servers forwarded
  network_kernel "$name" || return
  head -c 8M /dev/urandom >"$dir/www/blob"
  network_servers "$dir"
  forwarded=$((20000 + $$ % 20000))
  cat >"$dir/commands" <<COMMANDS
$network_dhcp
ping -c 1 -w 10 10.0.2.2 >/dev/null && mark ping
wget -q -O /tmp/blob http://10.0.2.2:$http/blob && nc 10.0.2.2 $upload </tmp/blob && mark transferred
tftp -g -r blob -l /tmp/tftp 10.0.2.2 && cmp /tmp/tftp /tmp/blob && mark tftp
mark listening
echo "from inside" | nc -l -p 7 && mark "all done"
COMMANDS
  network_initramfs "$name" || { kill "$servers"; return; }
  ( while ! grep -aq '@@listening' "$out/$name.log"; do sleep 0.3; done
    for _ in $(seq 20); do
      exec 3<>"/dev/tcp/127.0.0.1/$forwarded" && read -r -t 3 line <&3 && { echo "$line" >"$dir/forwarded"; break; }
      sleep 0.3
    done ) 2>/dev/null & local caller=$!
  (run "$name" 150 '@@all done' -cpu max -m 256 -serial stdio -kernel "$kernel" -initrd "$dir/initramfs.gz" \
    -append "console=ttyS0 quiet panic=-1 no_timer_check" \
    -nic "user,model=$card,tftp=$dir/www,hostfwd=tcp:127.0.0.1:$forwarded-:7") >"$dir/result"
  kill "$servers" "$caller" 2>/dev/null
  wait "$servers" "$caller" 2>/dev/null
  if ! grep -q '^ok ' "$dir/result"; then
    not_ok "$name" "$(sed -n '1s/^not ok [^:]*: //p' "$dir/result")"
  elif ! cmp -s "$dir/upload" "$dir/www/blob"; then
    not_ok "$name" "what came back is not what was sent"
  elif [[ $(grep -acE '@@(ping|tftp|transferred)' "$out/$name.log") != 3 ]]; then
    not_ok "$name" "ping, TFTP or HTTP"
  elif [[ $(cat "$dir/forwarded" 2>/dev/null) != "from inside" ]]; then
    not_ok "$name" "nothing came through the forwarded port"
  else
    ok "$name"
  fi
  rm -rf "$dir"
}

network_guest linux-net-e1000 e1000
network_guest linux-net-e1000e e1000e
network_guest linux-net-virtio virtio-net-pci

network_boot() {
  local name=$1 kernel modules dir http upload servers
  network_kernel "$name" || return
  [[ -e /usr/lib/ipxe/qemu/efi-e1000.rom ]] || { skip "$name" "needs ipxe-qemu"; return; }
  echo 'mark "booted from the network"' >"$dir/commands"
  network_initramfs "$name" || return
  network_servers "$dir"
  cp "$kernel" "$dir/www/kernel"; mv "$dir/initramfs.gz" "$dir/www/initramfs"
  printf '#!ipxe\nkernel http://10.0.2.2:%s/kernel console=ttyS0 quiet panic=-1 no_timer_check\ninitrd http://10.0.2.2:%s/initramfs\nboot\n' \
    "$http" "$http" >"$dir/www/boot.ipxe"
  run "$name" 120 '@@booted from the network' -cpu max -m 384 -serial stdio -boot n \
    -nic "user,model=e1000,bootfile=http://10.0.2.2:$http/boot.ipxe"
  kill "$servers"; wait "$servers" 2>/dev/null
  rm -rf "$dir"
}
network_boot ipxe-http

# The card's own ROM gets an address and a script by TFTP, which says what it runs on.
for machine in pc q35; do
  for card in e1000:82540em e1000e:82574l virtio-net-pci:virtio-net; do
    name=pxe-$machine-${card%:*}
    wanted full $name || continue
    [[ -e /usr/lib/ipxe/qemu/efi-e1000.rom ]] || { skip "$name" "needs ipxe-qemu"; continue; }
    mkdir -p "$out/$name.d"
    printf '#!ipxe\necho PXE-ON ${net0/chip} ${net0/ip}\n' >"$out/$name.d/script"
    until_marker $name 240 "PXE-ON (${card#*:}|virtio.*) 10.0.2.15" -machine $machine,graphics=off -m 128 -serial stdio -boot n \
      -nic "user,model=${card%:*},tftp=$out/$name.d,bootfile=script"
    rm -rf "$out/$name.d"
  done
done

network_pair() {
  local name=$1 kernel modules dir port=$((20000 + ($$ + 1) % 20000)) other
  network_kernel "$name" || return
  cat >"$dir/commands" <<'COMMANDS'
ip link set eth0 up
if grep -q listener /proc/cmdline; then
  ip addr add 10.9.0.1/24 dev eth0
  seq 1 200000 >/tmp/numbers
  httpd -p 5000 -h /tmp
  sleep 100
else
  ip addr add 10.9.0.2/24 dev eth0
  for i in $(seq 60); do ping -c 1 -w 1 10.9.0.1 >/dev/null && break; done
  for i in $(seq 20); do wget -q -O /tmp/got http://10.9.0.1:5000/numbers && break; sleep 1; done
  seq 1 200000 | cmp - /tmp/got && mark "all came"
fi
COMMANDS
  network_initramfs "$name" || return
  local common=(-cpu max -m 256 -kernel "$kernel" -initrd "$dir/initramfs.gz")
  timeout 120 "$emulator" "${base[@]}" "${common[@]}" -serial "file:$dir/listener.log" -append "console=ttyS0 quiet panic=-1 no_timer_check listener" \
    -nic "socket,listen=127.0.0.1:$port,model=e1000,mac=52:54:00:00:00:01" >/dev/null 2>&1 </dev/null & other=$!
  sleep 1
  run "$name" 120 '@@all came' "${common[@]}" -serial stdio -append "console=ttyS0 quiet panic=-1 no_timer_check" \
    -nic "socket,connect=127.0.0.1:$port,model=virtio-net-pci,mac=52:54:00:00:00:02"
  kill $other 2>/dev/null; wait $other 2>/dev/null
  rm -rf "$dir"
}
network_pair linux-net-pair

# script TIER SCRIPT NAME... : tests of a script that prints ok, not ok and skip itself.
script() {
  local tier=$1 script=$2 name line chosen=()
  shift 2
  for name in "$@"; do wanted "$tier" "$name" && chosen+=("$name"); done
  ((${#chosen[@]})) || return
  command -v python3 >/dev/null || { skip "${chosen[0]}" "needs python3"; return; }
  while IFS= read -r line; do
    name=${line#*ok } name=${name#skip }
    case $line in
      'ok '*) ok "$name" ;;
      'skip '*) skip "${name%%: *}" "${name#*: }" ;;
      'not ok '*) not_ok "${name%%: *}" "${name#*: }" ;;
      *) echo "    $line" ;;
    esac
  done < <(python3 -B "$here/$script" "$emulator" "$accel" "$out/${script%.py}.d" "${chosen[@]}" 2>&1)
}
script quick network.py linux-net-user-mode-by-monitor
script full network.py linux-net-restricted-and-forwarded linux-net-sockets-in-a-group-and-by-datagram \
  linux-net-tap-in-a-bridge linux-net-tap-as-an-open-descriptor
