#!/bin/bash
# What a guest has flushed survives the end of the emulator: a guest writes numbered blocks to a disk and says each number
# after its flush; the emulator is killed (SIGKILL) at a random moment; the image must check clean and hold every block
# that was said, and the guest goes on with it in the next round.
#
#   tests/real/kill9.sh [--bus ide|ahci|virtio] [--format FORMAT] [--drive OPTIONS] [ROUNDS]
#
# 20 rounds on IDE and qcow2 if nothing is said; $RHEA_SYSTEM and $RHEA_IMG name the programs.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
system=${RHEA_SYSTEM:-$root/build/release/src/tools/system/rhea-system-x86_64}
img=${RHEA_IMG:-$root/build/release/src/tools/img/rhea-img}
format=qcow2 more='' bus=ide
while [[ ${1:-} == --* ]]; do
  case $1 in
    --bus) bus=$2; shift 2 ;;
    --format) format=$2; shift 2 ;;
    --drive) more=,$2; shift 2 ;;
    *) echo "kill9.sh: unknown option $1" >&2; exit 2 ;;
  esac
done
rounds=${1:-20}
out=$root/build/real/kill9-$bus-$format
drive=format=$format$more
case $bus in
  ide) disk=sda options=(-drive "file=$out/disk.img,if=ide,$drive") ;;
  ahci) disk=sda options=(-drive "file=$out/disk.img,if=none,id=d,$drive" -device ahci,id=sata -device ide-hd,drive=d,bus=sata.0) ;;
  virtio) disk=vda options=(-drive "file=$out/disk.img,if=virtio,$drive") ;;
  *) echo "kill9.sh: unknown bus $bus" >&2; exit 2 ;;
esac
mkdir -p "$out"
fetched=$("$root/scripts/guest/fetch-kernel.sh" --modules amd64) || { echo "skip kill9: no kernel"; exit 0; }
kernel=$(head -1 <<<"$fetched") modules=$(sed -n 2p <<<"$fetched")

{ echo "disk=$disk"; cat <<'GUEST'; } >"$out/commands"
# Block n holds its number in each of its 512-byte lines; they are scattered over the disk.
echo 0 >/proc/sys/kernel/printk
n=$(sed -n 's/.*first=\([0-9]*\).*/\1/p' /proc/cmdline)
mark START
while :; do
  yes "$(printf 'block %010d' "$n")" | head -c 65536 >/tmp/b
  dd if=/tmp/b of=/dev/$disk bs=64k seek=$((n * 37 % 1999)) conv=fsync,notrunc 2>/dev/null && mark "DONE $n"
  n=$((n + 1))
done
GUEST
"$root/scripts/guest/make-initramfs.sh" --mode commands --commands "$out/commands" --modules "$modules" ata_piix,ahci,virtio_pci,virtio_blk,sd_mod \
  "$out/initrd.gz" || exit 1
"$img" create -q -f "$format" "$out/disk.img" 128M || exit 1

last=-1 failed=0
for ((round = 1; round <= rounds; ++round)); do
  "$system" -nodefaults -display none -serial stdio -m 256 -kernel "$kernel" -initrd "$out/initrd.gz" \
    -append "console=ttyS0 quiet first=$((last + 1))" "${options[@]}" >"$out/log" 2>&1 </dev/null &
  pid=$!
  for ((i = 0; i < 600; ++i)); do grep -aq '@@START' "$out/log" && break; sleep 0.1; done
  sleep "$((RANDOM % 4)).$((RANDOM % 1000))"
  kill -9 $pid
  wait $pid 2>/dev/null
  said=$(grep -ao '@@DONE [0-9]*' "$out/log" | tail -1 | cut -d' ' -f2)
  [[ -n $said ]] && last=$said
  status=0
  [[ $format == raw ]] || { "$img" check -q -f "$format" "$out/disk.img" >"$out/check" 2>&1; status=$?; }
  # Leaked clusters (3) are what a killed writer may leave.
  if ((status != 0 && status != 3)); then echo "not ok kill9: $bus, $format, round $round: check says $status"; cat "$out/check"; failed=1; break; fi
  "$img" convert -f "$format" -O raw "$out/disk.img" "$out/disk.raw" || { failed=1; break; }
  python3 - "$out/disk.raw" "$last" <<'CHECK' || { echo "not ok kill9: $bus, $format, round $round"; failed=1; break; }
import sys
data = open(sys.argv[1], "rb")
last = int(sys.argv[2])
newest = {n * 37 % 1999: n for n in range(last + 1)}
for place, n in newest.items():
    data.seek(place * 65536)
    block = data.read(65536)
    line = b"block %010d\n" % n
    after = b"block %010d\n" % (n + 1999)  # the one that was being written may stand there
    if block != (line * (65536 // len(line) + 1))[:65536] and block[:17] != after:
        print("block", n, "is lost: found", block[:20])
        sys.exit(1)
CHECK
done
((failed)) || echo "ok kill9: $rounds rounds on $bus, $format, $((last + 1)) flushed blocks"
exit $failed
