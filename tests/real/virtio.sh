#!/bin/bash
# Sourced by run.sh: virtio devices and AHCI under a stock kernel, with checksums on both sides, and SeaBIOS booting
# from their disks.

# A disk of 8 MiB whose second half the guest is to make equal to its first.
virtio_disk() {
  head -c 4M /dev/urandom >"$1"
  truncate -s 8M "$1"
}

virtio_halves_equal() { cmp -s <(head -c 4M "$1") <(tail -c 4M "$1"); }

# virtio_guest NAME CPUS DISKS OPTIONS... : the disks a.img, b.img … of the guest's DISKS must be copied right.
virtio_guest() {
  local name=$1 cpus=$2 disks=$3 kernel_and_modules kernel modules dir=$out/$1.d f
  shift 3
  wanted quick "$name" || return
  kernel_and_modules=$("$guest/fetch-kernel.sh" --modules amd64 2>"$out/fetch.log") || { skip "$name" "$(why)"; return; }
  { read -r kernel; read -r modules; } <<<"$kernel_and_modules"
  rm -rf "$dir"; mkdir -p "$dir"
  cat >"$dir/commands.sh" <<COMMANDS
for d in $disks; do
  dd if=/dev/\$d of=/tmp/half bs=64k count=64 2>/dev/null
  dd if=/tmp/half of=/dev/\$d bs=64k seek=64 count=64 conv=fsync 2>/dev/null
  echo 3 >/proc/sys/vm/drop_caches
  dd if=/dev/\$d bs=4k skip=1024 count=1024 iflag=direct 2>/dev/null | cmp - /tmp/half && mark "\$d copied"
done
if [ -e /dev/hwrng ]; then
  n=\$(dd if=/dev/hwrng bs=512 count=8 2>/dev/null | tee /tmp/random | wc -c)
  [ "\$n" = 4096 ] && [ "\$(gzip -9 </tmp/random | wc -c)" -ge 4096 ] && mark "random numbers"
fi
for p in /sys/class/virtio-ports/*; do
  if [ "\$(cat \$p/name 2>/dev/null)" = org.rhea.test ]; then seq 1 20000 >/dev/\${p##*/} && mark "port written"; fi
done
mark "all done"
COMMANDS
  "$guest/make-initramfs.sh" --mode commands --commands "$dir/commands.sh" \
    --modules "$modules" virtio_pci,virtio_blk,virtio_rng,virtio_console,ahci,sd_mod "$dir/initramfs.gz" ||
    { skip "$name" "no initramfs"; return; }
  for f in a b; do virtio_disk "$dir/$f.img"; done
  seq 1 20000 >"$dir/port.expected"
  (cd "$dir" && run "$name" 120 '@@all done' -cpu max -m 384 -smp "$cpus" -serial stdio -kernel "$kernel" \
    -initrd initramfs.gz -append "console=ttyS0 quiet panic=-1" \
    -drive file=a.img,format=raw,if=none,id=a -drive file=b.img,format=raw,if=none,id=b \
    -chardev file,id=port,path=port.out "$@") >"$dir/result"
  if ! grep -q '^ok ' "$dir/result"; then
    not_ok "$name" "$(sed -n '1s/^not ok [^:]*: //p' "$dir/result")"
  elif [[ $(grep -ac '@@[vs]d[ab] copied' "$out/$name.log") != $(wc -w <<<"$disks") ]]; then
    not_ok "$name" "a disk was not copied in the guest"
  elif ! virtio_halves_equal "$dir/a.img" || ! virtio_halves_equal "$dir/b.img"; then
    not_ok "$name" "the host's image is not what the guest wrote"
  elif [[ " $* " == *virtserialport* ]] && ! cmp -s "$dir/port.out" "$dir/port.expected"; then
    not_ok "$name" "the port's bytes are not what the guest wrote"
  elif [[ " $* " == *virtio-rng* ]] && ! grep -aq '@@random numbers' "$out/$name.log"; then
    not_ok "$name" "no random numbers"
  else
    ok "$name"
  fi
  rm -rf "$dir"
}

ports=(-device virtio-serial-pci -device virtserialport,chardev=port,name=org.rhea.test)
virtio_guest linux-virtio 4 "vda sda" -device virtio-blk-pci,drive=a -device ahci,id=sata -device ide-hd,bus=sata.0,drive=b \
  -object rng-random,id=entropy,filename=/dev/urandom -device virtio-rng-pci,rng=entropy "${ports[@]}"
virtio_guest linux-virtio-rings 1 "vda vdb" -device virtio-blk-pci,drive=a,disable-modern=on \
  -device virtio-blk-pci-non-transitional,drive=b,packed=on -object rng-builtin,id=entropy -device virtio-rng-pci,packed=on,rng=entropy

# A boot sector that reads eight sectors by INT 13h and prints them.
virtio_boot() {
  local name=$1
  shift
  wanted quick "$name" || return
  command -v as >/dev/null || { skip "$name" "needs binutils"; return; }
  if [[ ! -e $out/boot.img ]]; then
    as -o "$out/boot.o" "$here/boot_sector.S" && ld -Ttext 0x7c00 --oformat binary -o "$out/boot.img" "$out/boot.o" &&
      printf 'RHEA-%s\n\0' BOOTED >>"$out/boot.img" && truncate -s 4M "$out/boot.img"
  fi
  until_marker "$name" 30 RHEA-BOOTED -m 64 -serial stdio -drive "file=$out/boot.img,format=raw,if=none,id=d" "$@"
}

virtio_boot boot-virtio-blk -device virtio-blk-pci,drive=d,bootindex=0
virtio_boot boot-virtio-blk-modern -device virtio-blk-pci-non-transitional,drive=d,packed=on
virtio_boot boot-virtio-blk-legacy -device virtio-blk-pci,drive=d,disable-modern=on
virtio_boot boot-ahci -device ahci,id=sata -device ide-hd,bus=sata.2,drive=d,bootindex=0
