#!/bin/bash
# Boots of a guest that gets almost nothing of the host: nice 19 beside a busy loop for each processor.
#
#   tests/long/starved.sh [BOOTS] [OPTIONS OF THE EMULATOR...]      (20 boots)
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
. "$here/about.sh"
boots=${1:-20}
shift
emulator=${RHEA_SYSTEM:-${RHEA_BUILD:-$root/build/release}/src/tools/system/rhea-system-x86_64}
work=$(mktemp -d)
loops=()
trap 'kill "${loops[@]}" 2>/dev/null; rm -rf "$work"' EXIT
kernel=$("$root/scripts/guest/fetch-kernel.sh" cloud-amd64) || exit 77
"$root/scripts/guest/make-initramfs.sh" --mode marker "$work/marker.gz" || exit 77
for ((i = 0; i < $(nproc); ++i)); do
  (while :; do :; done) &
  loops+=($!)
done
failed=0
for ((i = 1; i <= boots; ++i)); do
  nice -n 19 timeout 600 "$emulator" -nodefaults -no-user-config -display none -serial stdio -m 256 -cpu max -kernel "$kernel" \
    -initrd "$work/marker.gz" -append "console=ttyS0 quiet panic=-1" -no-reboot "$@" >"$work/log" 2>&1 </dev/null
  grep -aq RHEA-GUEST-UP "$work/log" && continue
  failed=$((failed + 1))
  echo "# boot $i: $(grep -am1 -E 'panic|Oops|BUG' "$work/log" || tail -n 1 "$work/log")"
done
if ((failed)); then echo "not ok starved: $failed of $boots boots"; else echo "ok starved: $boots boots"; fi
((failed == 0))
