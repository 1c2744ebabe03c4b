#!/bin/bash
# Sourced by run.sh: a stock kernel sees a disk and a network card come and go by ACPI.

hotplug_guest() {
  local name=$1 kernel_and_modules kernel modules dir=$out/$1.d
  wanted quick "$name" || return
  command -v python3 >/dev/null || { skip "$name" "needs python3"; return; }
  kernel_and_modules=$("$guest/fetch-kernel.sh" --modules amd64 2>"$out/fetch.log") || { skip "$name" "$(why)"; return; }
  { read -r kernel; read -r modules; } <<<"$kernel_and_modules"
  rm -rf "$dir"; mkdir -p "$dir"
  cat >"$dir/commands.sh" <<'COMMANDS'
there() { i=0; while [ ! -e "$1" ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done; [ -e "$1" ]; }
gone() { i=0; while [ -e "$1" ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done; [ ! -e "$1" ]; }
# The node is there a moment before the disk answers.
sum() { i=0; until md5sum <"$1" >/tmp/sum 2>/dev/null || [ $i -ge 300 ]; do sleep 0.1; i=$((i+1)); done; cat /tmp/sum; }
mark ready
there /dev/vda && mark "disk $(sum /dev/vda)"
there /sys/class/net/eth0 && mark "card $(cat /sys/class/net/eth0/address)"
gone /dev/vda && mark "disk gone"
gone /sys/class/net/eth0 && mark "card gone"
there /dev/vda && mark "disk again $(sum /dev/vda)"
mark "all done"
COMMANDS
  "$guest/make-initramfs.sh" --mode commands --commands "$dir/commands.sh" \
    --modules "$modules" virtio_pci,virtio_blk,e1000 "$dir/initramfs.gz" || { skip "$name" "no initramfs"; return; }
  head -c 1M /dev/urandom >"$dir/disk.img"
  if python3 "$here/hotplug.py" "$dir" "$slow" "$emulator" "${base[@]}" -cpu max -m 384 -kernel "$kernel" \
      -initrd "$dir/initramfs.gz" -append "console=ttyS0 quiet panic=-1" >"$out/$name.log" 2>&1; then
    ok "$name"
  else
    not_ok "$name" "$(tail -n 1 "$out/$name.log")"
  fi
  rm -rf "$dir"
}

hotplug_guest linux-hotplug
