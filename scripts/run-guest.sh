#!/bin/bash
# From a fresh clone to a Linux shell in a guest: installs what is missing, builds, fetches Debian's kernel package
# (unpacked below build/, never installed), makes a busybox initramfs and boots them on this terminal.
#
#   run-guest.sh [--kernel KIND] [RHEA-OPTION...]
#
# KIND is one of scripts/guest/fetch-kernel.sh, cloud-amd64 by default. Further words go to rhea-system-x86_64, so
# `run-guest.sh -smp 4 -accel kvm` does what it says. Leave with `exit`, or Ctrl-A x.
set -euo pipefail
cd "$(dirname "$0")/.."

kind=cloud-amd64
if [[ ${1:-} == --kernel ]]; then kind=${2:?--kernel needs a kind}; shift 2; fi
case ${1:-} in -h|--help) sed -n '2,9p' "$0" | cut -c3-; exit 0 ;; esac

./scripts/install-deps.sh run
./scripts/build.sh release rhea-system-x86_64
mkdir -p build/guest
kernel=$(./scripts/guest/fetch-kernel.sh "$kind" | head -1)
initrd=build/guest/shell.cpio.gz
./scripts/guest/make-initramfs.sh --mode shell "$initrd"
rhea=$(find build/release -name rhea-system-x86_64 -type f -perm -u+x | head -1)

exec "$rhea" -nographic -m 512 -kernel "$kernel" -initrd "$initrd" -append 'console=ttyS0 quiet' "$@"
