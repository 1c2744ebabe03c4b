#!/bin/bash
# Boots real guests to a marker on the serial console and to power-off: SeaBIOS, and Debian's kernels with a busybox
# initramfs. RHEA_SYSTEM names another emulator with the same options (qemu-system-x86_64, for comparison);
# RHEA_BOOT_TIMEOUT is seconds a boot (default 150). run.sh [NAME...] runs only these.
set -uo pipefail
cd "$(dirname "$0")/../.."

rhea=${RHEA_SYSTEM:-$(find "${RHEA_BUILD:-build/release}" -type f -perm -u+x -name rhea-system-x86_64 2>/dev/null | head -1)}
limit=${RHEA_BOOT_TIMEOUT:-150}
out=build/boot
mkdir -p "$out"
status=0
chosen=" $* "

[[ -n $rhea ]] || { echo "not ok boot: rhea-system-x86_64 is not built"; exit 1; }

wanted() { [[ $chosen == "  " || $chosen == *" $1 "* ]]; }

failed() {  # NAME WHY
  tail -15 "$out/$1.log" | tr -d '\r\033' | sed 's/^/  /'
  echo "not ok boot/$1: $2"
  status=1
}

# Runs the emulator until it ends or the marker has been seen, whichever the caller waits for.
boot() {  # NAME MARKER OPTION...
  local name=$1 marker=$2 log=$out/$1.log result
  shift 2
  echo "# $rhea -nographic $*"
  timeout --kill-after=5 "$limit" "$rhea" -nographic -no-reboot "$@" </dev/null >"$log" 2>&1
  result=$?
  if ! grep -aqE "$marker" "$log"; then
    failed "$name" "no '$marker' on the console (status $result)"
  elif ((result != 0)); then
    failed "$name" "status $result instead of a power-off"
  else
    echo "ok boot/$name"
  fi
}

# The firmware finds nothing to boot and would stand there for ever, so its words are the end of it.
firmware() {
  local log=$out/seabios.log pid waited=0
  "$rhea" -nographic -m 64 -nodefaults -serial stdio </dev/null >"$log" 2>&1 &
  pid=$!
  while ! grep -aq 'No bootable device' "$log" && kill -0 "$pid" 2>/dev/null && ((waited < limit * 5)); do
    sleep 0.2
    waited=$((waited + 1))
  done
  kill "$pid" 2>/dev/null
  wait "$pid" 2>/dev/null
  if grep -aq 'No bootable device' "$log"; then echo "ok boot/seabios"; else failed seabios "firmware did not reach its end"; fi
}

declare -A kernels=()
kernel() {  # KIND; sets $kernel and $initrd, or prints the skip line
  local busybox='' why
  initrd=$out/$1.cpio.gz
  if [[ -z ${kernels[$1]:-} ]]; then
    kernels[$1]=$(scripts/guest/fetch-kernel.sh "$1" 2>"$out/fetch.log" | head -1)
    why=$(grep -m1 '^skipped: ' "$out/fetch.log")
    [[ -n ${kernels[$1]} ]] || { echo "skip boot/$2: ${why##*skipped: }"; return 1; }
    [[ $1 == 686-pae ]] && busybox=$(scripts/guest/fetch-kernel.sh busybox-i386 2>/dev/null | head -1)
    RHEA_BUSYBOX=${busybox:-} scripts/guest/make-initramfs.sh --mode marker "$initrd" >/dev/null ||
      { echo "skip boot/$2: no initramfs"; unset "kernels[$1]"; return 1; }
  fi
  kernel=${kernels[$1]}
}

linux() {  # NAME KIND CPUS APPEND OPTION...
  local name=$1 kind=$2 cpus=$3 append=$4
  shift 4
  wanted "$name" || return
  kernel "$kind" "$name" || return
  boot "$name" "RHEA-GUEST-UP cpus=$cpus " -m 256 -smp "$cpus" -kernel "$kernel" -initrd "$initrd" \
    -append "console=ttyS0 panic=-1 $append" "$@"
}

wanted seabios && firmware
linux linux cloud-amd64 1 ''
[[ ${RHEA_QUICK:-no} == yes ]] && exit $status
linux linux-smp4 cloud-amd64 4 ''
linux linux-qemu64 cloud-amd64 1 '' -cpu qemu64
linux linux-haswell cloud-amd64 2 '' -cpu Haswell
linux linux-host cloud-amd64 1 '' -cpu host
linux linux-nopcid cloud-amd64 1 nopcid -cpu max
linux linux-noapic cloud-amd64 1 'noapic nolapic'
linux linux-la57 amd64 1 '' -cpu max,+la57
linux linux-686-pae 686-pae 1 ''
exit $status
