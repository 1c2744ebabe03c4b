#!/bin/bash
# TCP throughput through user mode, side by side with QEMU's TCG: iperf3 in a Debian kernel's guest against iperf3
# on the host, in both directions, each card on each emulator in turn.
#
#   bench/net.sh [ROUNDS]     default 3; $RHEA_SYSTEM, $QEMU_SYSTEM, $SECONDS_EACH (5)
#
# Prints one line a measurement in Gbit/s, then medians.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
rhea=${RHEA_SYSTEM:-$root/build/release/src/tools/system/rhea-system-x86_64}
qemu=${QEMU_SYSTEM:-qemu-system-x86_64}
seconds=${SECONDS_EACH:-5}
rounds=${1:-3}
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
for way in "" -R; do
  iperf3 -c 10.0.2.2 -p \$(sed 's/.*port=//; s/ .*//' /proc/cmdline) -t $seconds -f m \$way | grep receiver | sed "s/^/RESULT \${way:-up} /"
done
EOF
"$root/scripts/guest/make-initramfs.sh" --mode commands --commands "$work/commands" --program "$(command -v iperf3)" \
  --modules "${kernel[1]}" e1000,virtio_pci,virtio_net "$work/init.gz"

port=5311
iperf3 -s -B 127.0.0.1 -p $port >/dev/null 2>&1 &
servers+=($!)

measure() {  # NAME EMULATOR CARD
  local log=$work/log
  timeout 180 "$2" -accel tcg -nodefaults -display none -no-reboot -m 512 -cpu max -serial stdio -kernel "${kernel[0]}" \
    -initrd "$work/init.gz" -append "console=ttyS0 quiet panic=-1 port=$port " -nic "user,model=$3" >"$log" 2>&1 </dev/null || true
  awk -v name="$1" -v card="$3" '/^RESULT/ {for (i = 1; i <= NF; ++i) if ($i ~ /bits\/sec/) printf "%s %s %s %.3f Gbit/s\n", name, card, ($2 == "-R" ? "down" : "up"), $(i-1) / 1000}' "$log" |
    tee -a "$work/results"
}

for ((i = 0; i < rounds; ++i)); do
  for card in e1000 virtio-net-pci; do
    measure rhea "$rhea" $card
    measure qemu "$qemu" $card
  done
done
echo "--- medians of $rounds"
sort -k1,3 -k4,4n "$work/results" | awk '{k = $1 " " $2 " " $3; if (k != last && n) print last, v[int((n + 1) / 2)], "Gbit/s"; if (k != last) n = 0; last = k; v[++n] = $4} END {print last, v[int((n + 1) / 2)], "Gbit/s"}'
