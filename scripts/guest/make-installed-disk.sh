#!/bin/bash
# Makes the raw image of an installed Debian 12 that boots by BIOS: an MBR with GRUB, one ext4 partition, Debian's
# kernel and systemd, a login on the serial port (root, no password). Needs no loop devices.
#
#   make-installed-disk.sh [--size MIB] OUTPUT
#
# The unpacked system is kept in the guest cache, so that a second image takes seconds. Needs debootstrap,
# grub-pc-bin, e2fsprogs, and root for debootstrap.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
size=2048 output=
while (($#)); do
  case $1 in
    --size) size=$2; shift 2 ;;
    -*) echo "make-installed-disk.sh: unknown option $1" >&2; exit 2 ;;
    *) output=$1; shift ;;
  esac
done
[[ -n $output ]] || { sed -n '2,9p' "$0" >&2; exit 2; }
for tool in debootstrap grub-mkimage mkfs.ext4; do
  PATH=$PATH:/usr/sbin:/sbin command -v $tool >/dev/null || { echo "skipped: $tool is not installed" >&2; exit 77; }
done
[[ -e /usr/lib/grub/i386-pc/boot.img ]] || { echo "skipped: grub-pc-bin is not installed" >&2; exit 77; }
((EUID == 0)) || { echo "skipped: debootstrap needs root" >&2; exit 77; }
export PATH=$PATH:/usr/sbin:/sbin

cache=${RHEA_GUEST_CACHE:-$root/build/guest-cache}/installed
tree=$cache/root
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
if [[ ! -e $cache/.done ]]; then
  rm -rf "$tree"
  mirror=$(grep -rhE '^(deb|URIs)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
    grep -oE 'https?://[^ ]+/debian/?( |$)' | head -1 || true)
  mirror=${mirror% }
  debootstrap --variant=minbase --include=linux-image-amd64,systemd-sysv,udev,login,iproute2,kmod,e2fsprogs,fio \
    bookworm "$tree" "${mirror:-http://deb.debian.org/debian}" >"$cache/log" 2>&1 ||
    { echo "skipped: debootstrap failed, see $cache/log" >&2; exit 77; }
  chroot "$tree" passwd -d root >/dev/null
  echo rhea-disk >"$tree/etc/hostname"
  echo '/dev/sda1 / ext4 errors=remount-ro 0 1' >"$tree/etc/fstab"
  mkdir -p "$tree/etc/systemd/system/getty.target.wants" "$tree/boot/grub"
  ln -sf /lib/systemd/system/serial-getty@.service "$tree/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service"
  rm -rf "$tree"/var/cache/apt/archives/*.deb
  kernel=$(basename "$(ls "$tree"/boot/vmlinuz-* | head -1)")
  cat >"$tree/boot/grub/grub.cfg" <<CFG
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=1
menuentry "Debian" {
  linux /boot/$kernel root=/dev/sda1 ro console=ttyS0 quiet
  initrd /boot/initrd.img-${kernel#vmlinuz-}
}
CFG
  touch "$cache/.done"
fi

work=$(mktemp -d "$cache/make.XXXXXX")
trap 'rm -rf "$work"' EXIT
rm -f "$output"
truncate -s "${size}M" "$output"
start=$((2048 * 512))
# put OFFSET BYTES...: bytes as numbers.
put() { local at=$1; shift; printf "$(printf '\\x%02x' "$@")" | dd of="$output" bs=1 seek="$at" conv=notrunc status=none; }
le32() { echo $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)); }
mkfs.ext4 -q -d "$tree" -L rhea -E offset=$start "$output" $(((size - 1) * 1024))k
# GRUB: its core lies between the MBR and the partition, and the MBR knows where.
printf 'set root=(hd0,msdos1)\nset prefix=(hd0,msdos1)/boot/grub\nconfigfile /boot/grub/grub.cfg\n' >"$work/early.cfg"
grub-mkimage -O i386-pc -o "$work/core.img" -p '(hd0,msdos1)/boot/grub' -c "$work/early.cfg" \
  biosdisk part_msdos ext2 linux normal configfile serial terminal echo
core=$(stat -c %s "$work/core.img")
((core < start - 512)) || { echo "make-installed-disk.sh: GRUB's core is too large" >&2; exit 1; }
dd if=/usr/lib/grub/i386-pc/boot.img of="$output" bs=440 count=1 conv=notrunc status=none
dd if="$work/core.img" of="$output" bs=512 seek=1 conv=notrunc status=none
# The block list at the end of the core's first sector: where the rest lies, how long it is, where it is loaded.
sectors=$(((core + 511) / 512 - 1))
put $((512 + 500)) 2 0 0 0 0 0 0 0 $((sectors & 255)) $((sectors >> 8)) 0x20 0x08
# The partition table: one bootable Linux partition from sector 2048 to the end.
put 446 0x80 0xfe 0xff 0xff 0x83 0xfe 0xff 0xff $(le32 2048) $(le32 $((size * 2048 - 2048)))
put 510 0x55 0xaa
