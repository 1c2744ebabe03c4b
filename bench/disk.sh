#!/bin/bash
# Disk throughput, side by side with QEMU's TCG: dd and fio in a Debian kernel's guest on a raw image, on IDE, AHCI
# and virtio-blk, each on each emulator in turn. See paired.py for what is printed. Direct requests of the guest:
# what is measured are the emulated controller and the way to the host's file, which is in the host's page cache.
#
#   bench/disk.sh [ROUNDS]     default 3; $RHEA_SYSTEM, $QEMU_SYSTEM, $DISKS (ide ahci virtio), $FORMAT (raw), $SMP (1)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${BENCH_DIR:-/var/tmp}/rhea-disk.XXXXXX")
trap 'rm -rf "$work"' EXIT
mapfile -t kernel < <("$root/scripts/guest/fetch-kernel.sh" --modules amd64)

# fio and its libraries, from Debian's packages.
packages=$("$root/scripts/guest/fetch-package.sh" fio libaio1 libnuma1 librbd1 librados2 libgfapi0 libnbd0 librdmacm1 \
  libibverbs1 libpmem1 libndctl6 libdaxctl1 libpmemblk1 libiscsi7 2>/dev/null)
[[ -x $packages/usr/bin/fio ]] || { echo "skipped: fio cannot be had" >&2; exit 77; }
mkdir -p "$work/root/usr/bin" "$work/root/usr/lib/x86_64-linux-gnu"
cp "$packages/usr/bin/fio" "$work/root/usr/bin/"
for lib in $(LD_LIBRARY_PATH=$packages/usr/lib/x86_64-linux-gnu:$packages/lib/x86_64-linux-gnu ldd "$packages/usr/bin/fio" | grep -o '/[^ )]*'); do
  cp -L "$lib" "$work/root/usr/lib/x86_64-linux-gnu/"
done
[[ ! -d $packages/usr/lib/x86_64-linux-gnu/ceph ]] || cp -a "$packages/usr/lib/x86_64-linux-gnu/ceph" "$work/root/usr/lib/x86_64-linux-gnu/"

cat >"$work/commands" <<'EOF'
disk=$(ls /dev/sda /dev/vda 2>/dev/null | head -n 1)
now() { cut -d' ' -f1 /proc/uptime; }
timed() {  # NAME MEGABYTES COMMAND...
  name=$1 megabytes=$2
  shift 2
  mark "BEGIN $name"
  begin=$(now)
  "$@" >/dev/null 2>&1 || echo "$name FAILED"
  mark "END $name $(echo "$begin $(now)" | awk -v m=$megabytes '{t = $2 - $1; if (t < 0.01) t = 0.01; printf "%.2f", m / t}')"
}
f="fio --name=x --filename=$disk --direct=1 --thread --size=250m --randseed=7"
timed dd-read-1M 500 sh -c "dd if=$disk of=/dev/null bs=1M count=250 iflag=direct; dd if=$disk of=/dev/null bs=1M count=250 iflag=direct"
timed dd-write-1M 250 dd if=/dev/zero of=$disk bs=1M count=250 oflag=direct
timed dd-read-cached 250 sh -c "echo 3 >/proc/sys/vm/drop_caches; dd if=$disk of=/dev/null bs=64k count=4000"
timed dd-write-fsync 250 dd if=/dev/zero of=$disk bs=64k count=4000 conv=fsync
timed fio-randread-4k 10 $f --rw=randread --bs=4k --ioengine=psync --io_size=10m
timed fio-randwrite-4k 10 $f --rw=randwrite --bs=4k --ioengine=psync --io_size=10m
timed fio-randread-4k-q32 20 $f --rw=randread --bs=4k --ioengine=libaio --iodepth=32 --io_size=20m
timed fio-randwrite-4k-q32 20 $f --rw=randwrite --bs=4k --ioengine=libaio --iodepth=32 --io_size=20m
timed fio-read-64k-q8 250 $f --rw=read --bs=64k --ioengine=libaio --iodepth=8 --io_size=250m
EOF
"$root/scripts/guest/make-initramfs.sh" --mode commands --commands "$work/commands" --overlay "$work/root" --plain \
  --modules "${kernel[1]}" ata_piix,ahci,virtio_pci,virtio_blk,sd_mod "$work/init.cpio"

format=${FORMAT:-raw}
head -c 32M /dev/urandom >"$work/part"
for _ in 1 2 3 4 5 6 7 8; do cat "$work/part"; done >"$work/disk.raw"
if [[ $format == raw ]]; then mv "$work/disk.raw" "$work/disk"; else qemu-img convert -O "$format" "$work/disk.raw" "$work/disk"; fi
rm -f "$work/disk.raw" "$work/part"
cases=()
for disk in ${DISKS:-ide ahci virtio}; do
  drive="-smp ${SMP:-1} -drive file=$work/disk,format=$format,if=none,id=d${DRIVE:-}"
  case $disk in
    ide) cases+=(--case "ide:$drive -device ide-hd,drive=d,bus=ide.0") ;;
    ahci) cases+=(--case "ahci:$drive -device ahci,id=sata -device ide-hd,drive=d,bus=sata.0") ;;
    virtio) cases+=(--case "virtio:$drive -device virtio-blk-pci,drive=d") ;;
  esac
done
python3 "$root/bench/paired.py" --rounds "${1:-3}" --wait 300 --kernel "${kernel[0]}" --initrd "$work/init.cpio" ${VERBOSE:-} "${cases[@]}"
