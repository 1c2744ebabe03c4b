#!/bin/bash
# TCP throughput through user mode, side by side with QEMU's TCG: iperf3 in a Debian kernel's guest against iperf3
# on the host, in both directions, each card on each emulator in turn. See paired.py for what is printed.
#
#   bench/net.sh [ROUNDS]     default 3; $RHEA_SYSTEM, $QEMU_SYSTEM, $SECONDS_EACH (5), $CARDS, $SMP (1)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
seconds=${SECONDS_EACH:-5}
work=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
command -v iperf3 >/dev/null || { echo "skipped: iperf3 is not installed" >&2; exit 77; }

mapfile -t kernel < <("$root/scripts/guest/fetch-kernel.sh" --modules amd64)
cat >"$work/commands" <<EOF
cat >/tmp/dhcp <<'S'
#!/bin/sh
[ "\$1" = bound ] && ip addr add \$ip/24 dev \$interface
S
chmod +x /tmp/dhcp
ip link set lo up; ip link set eth0 up
udhcpc -i eth0 -n -q -t 20 -s /tmp/dhcp >/dev/null 2>&1
for way in up down; do
  mark "BEGIN \$way"
  iperf3 -c 10.0.2.2 -p \$(sed 's/.*port=//; s/ .*//' /proc/cmdline) -t $seconds -f m \$([ \$way = down ] && echo -R) >/tmp/result
  mark "END \$way \$(sed -n 's|.* \([0-9.]*\) Mbits/sec .*receiver.*|\1|p' /tmp/result)"
done
EOF
"$root/scripts/guest/make-initramfs.sh" --mode commands --commands "$work/commands" --program "$(command -v iperf3)" \
  --modules "${kernel[1]}" e1000,e1000e,virtio_pci,virtio_net "$work/init.gz"

port=$((20000 + $$ % 20000))
iperf3 -s -B 127.0.0.1 -p $port >/dev/null 2>&1 &
servers+=($!)
cases=()
for card in ${CARDS:-e1000 virtio-net-pci}; do cases+=(--case "$card:-smp ${SMP:-1} -nic user,model=$card"); done
python3 "$root/bench/paired.py" --rounds "${1:-3}" --seconds "$seconds" --unit Mbit/s --wait 180 --kernel "${kernel[0]}" --initrd "$work/init.gz" \
  --append "port=$port " ${VERBOSE:-} "${cases[@]}"
