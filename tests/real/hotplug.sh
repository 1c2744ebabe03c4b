#!/bin/bash
# Sourced by run.sh: a stock kernel sees disks and network cards come and go by ACPI, on the bus of `pc` and behind the
# PCI Express ports of `q35`, and a disk that grows.

cat >"$out/hotplug-words.sh" <<'COMMANDS'
there() { i=0; while [ ! -e "$1" ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done; [ -e "$1" ]; }
gone() { i=0; while [ -e "$1" ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done; [ ! -e "$1" ]; }
# The node is there a moment before the disk answers.
sum() { i=0; until md5sum <"$1" >/tmp/sum 2>/dev/null || [ $i -ge 300 ]; do sleep 0.1; i=$((i+1)); done; cat /tmp/sum; }
sectors() { i=0; while [ "$(cat "$1")" != "$2" ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done; cat "$1"; }
mark ready
COMMANDS

# hotplug_guest NAME MACHINE MODULES, the guest's part from the standard input
hotplug_guest() {
  local name=$1 machine=$2 wanted_modules=$3 kernel_and_modules kernel modules dir=$out/$1.d
  wanted quick "$name" || return
  command -v python3 >/dev/null || { skip "$name" "needs python3"; return; }
  kernel_and_modules=$("$guest/fetch-kernel.sh" --modules amd64 2>"$out/fetch.log") || { skip "$name" "$(why)"; return; }
  { read -r kernel; read -r modules; } <<<"$kernel_and_modules"
  rm -rf "$dir"; mkdir -p "$dir"
  cat "$out/hotplug-words.sh" - >"$dir/commands.sh"
  "$guest/make-initramfs.sh" --mode commands --commands "$dir/commands.sh" \
    --modules "$modules" "$wanted_modules" "$dir/initramfs.gz" || { skip "$name" "no initramfs"; return; }
  head -c 1M /dev/urandom >"$dir/disk.img"
  if python3 "$here/hotplug.py" "$dir" "$slow" "$machine" "$emulator" "${base[@]}" -cpu max -kernel "$kernel" \
      -initrd "$dir/initramfs.gz" -append "console=ttyS0 quiet panic=-1" >"$out/$name.log" 2>&1; then
    ok "$name"
  else
    not_ok "$name" "$(tail -n 1 "$out/$name.log")"
  fi
  rm -rf "$dir"
}

hotplug_guest linux-hotplug pc virtio_pci,virtio_blk,e1000 <<'COMMANDS'
there /dev/vda && mark "disk $(sum /dev/vda)"
there /sys/class/net/eth0 && mark "card $(cat /sys/class/net/eth0/address)"
gone /dev/vda && mark "disk gone"
gone /sys/class/net/eth0 && mark "card gone"
there /dev/vda && mark "disk again $(sum /dev/vda)"
mark "all done"
COMMANDS

hotplug_guest linux-hotplug-q35 q35 virtio_pci,virtio_blk,virtio_net,e1000e <<'COMMANDS'
there /dev/vda && mark "disk $(sum /dev/vda)"
mark "sectors $(sectors /sys/block/vda/size 4096)"
gone /dev/vda && mark "disk gone"
there /dev/vda && mark "disk again $(sum /dev/vda)"
there /sys/class/net/eth0 && mark "card $(cat /sys/class/net/eth0/address)"
ifconfig eth0 10.0.2.15 up
echo hello from the guest | nc -l -p 7000 >/dev/null
mark "served"
there /sys/class/net/eth1 && mark "second $(cat /sys/class/net/eth1/address)"
gone /sys/class/net/eth0 && mark "card gone"
gone /sys/class/net/eth1 && mark "second gone"
until ! dd if=/dev/vda of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; do sleep 0.2; done
mark "disk fails"
gone /dev/vda && mark "failing disk gone"
mark "all done"
COMMANDS
