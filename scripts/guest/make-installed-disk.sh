#!/bin/bash
# Makes the raw image of an installed Debian 12: one ext4 file system with Debian's kernel and systemd, GRUB, a login on
# the serial port (root, no password). Needs no loop devices.
#
#   make-installed-disk.sh [--size MIB] [--arch amd64|i386] [--uefi] OUTPUT
#
# By default the disk boots by BIOS: an MBR, GRUB's core behind it. With --uefi it has a GPT, and GRUB is in an EFI system
# partition. --arch i386 is a 32-bit system with the 686-pae kernel. The file system is found by its label, whatever
# controller the disk is on. The unpacked systems are kept in the guest cache, so that a second image takes seconds.
# Needs debootstrap, grub-pc-bin, e2fsprogs, for --uefi also grub-efi-amd64-bin, mtools and fdisk, and root for debootstrap.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
size=2048 arch=amd64 uefi=no output=
while (($#)); do
  case $1 in
    --size) size=$2; shift 2 ;;
    --arch) arch=$2; shift 2 ;;
    --uefi) uefi=yes; shift ;;
    -*) echo "make-installed-disk.sh: unknown option $1" >&2; exit 2 ;;
    *) output=$1; shift ;;
  esac
done
[[ -n $output ]] || { sed -n '2,10p' "$0" >&2; exit 2; }
export PATH=$PATH:/usr/sbin:/sbin
tools=(debootstrap grub-mkimage mkfs.ext4) grub=i386-pc
[[ $uefi == yes ]] && tools+=(sfdisk mformat) grub=x86_64-efi
for tool in "${tools[@]}"; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed" >&2; exit 77; }
done
[[ -e /usr/lib/grub/$grub/kernel.img ]] || { echo "skipped: GRUB for $grub is not installed" >&2; exit 77; }
((EUID == 0)) || { echo "skipped: debootstrap needs root" >&2; exit 77; }

case $arch in
  amd64) cache=installed kernel_package=linux-image-amd64 ;;
  i386) cache=installed-i386 kernel_package=linux-image-686-pae ;;
  *) echo "make-installed-disk.sh: unknown architecture '$arch' (amd64, i386)" >&2; exit 2 ;;
esac
cache=${RHEA_GUEST_CACHE:-$root/build/guest-cache}/$cache
tree=$cache/root
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
if [[ ! -e $cache/.done ]]; then
  rm -rf "$tree"
  mirror=$(grep -rhE '^(deb|URIs)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
    grep -oE 'https?://[^ ]+/debian/?( |$)' | head -1 || true)
  mirror=${mirror% }
  debootstrap --arch="$arch" --variant=minbase --include=$kernel_package,systemd-sysv,udev,login,iproute2,kmod,e2fsprogs,fio \
    bookworm "$tree" "${mirror:-http://deb.debian.org/debian}" >"$cache/log" 2>&1 ||
    { echo "skipped: debootstrap failed, see $cache/log" >&2; exit 77; }
  chroot "$tree" passwd -d root >/dev/null
  echo rhea-disk >"$tree/etc/hostname"
  mkdir -p "$tree/etc/systemd/system/getty.target.wants" "$tree/boot/grub"
  ln -sf /lib/systemd/system/serial-getty@.service "$tree/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service"
  rm -rf "$tree"/var/cache/apt/archives/*.deb
  touch "$cache/.done"
fi
echo 'LABEL=rhea / ext4 errors=remount-ro 0 1' >"$tree/etc/fstab"
kernel=$(basename "$(ls "$tree"/boot/vmlinuz-* | head -1)")
cat >"$tree/boot/grub/grub.cfg" <<CFG
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=1
menuentry "Debian" {
  linux /boot/$kernel root=LABEL=rhea ro console=ttyS0 quiet
  initrd /boot/initrd.img-${kernel#vmlinuz-}
}
CFG

work=$(mktemp -d "$cache/make.XXXXXX")
trap 'rm -rf "$work"' EXIT
rm -f "$output"
truncate -s "${size}M" "$output"
# put OFFSET BYTES...: bytes as numbers.
put() { local at=$1; shift; printf "$(printf '\\x%02x' "$@")" | dd of="$output" bs=1 seek="$at" conv=notrunc status=none; }
le32() { echo $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)); }
# root_file_system START-IN-SECTORS KIB
root_file_system() { mkfs.ext4 -q -d "$tree" -L rhea -E offset=$(($1 * 512)) "$output" "${2}k"; }

make_bios() {
  local core sectors
  root_file_system 2048 $(((size - 1) * 1024))
  # GRUB: its core lies between the MBR and the partition, and the MBR knows where.
  printf 'set root=(hd0,msdos1)\nset prefix=(hd0,msdos1)/boot/grub\nconfigfile /boot/grub/grub.cfg\n' >"$work/early.cfg"
  grub-mkimage -O i386-pc -o "$work/core.img" -p '(hd0,msdos1)/boot/grub' -c "$work/early.cfg" \
    biosdisk part_msdos ext2 linux normal configfile serial terminal echo
  core=$(stat -c %s "$work/core.img")
  ((core < 2047 * 512)) || { echo "make-installed-disk.sh: GRUB's core is too large" >&2; exit 1; }
  dd if=/usr/lib/grub/i386-pc/boot.img of="$output" bs=440 count=1 conv=notrunc status=none
  dd if="$work/core.img" of="$output" bs=512 seek=1 conv=notrunc status=none
  # The block list at the end of the core's first sector: where the rest lies, how long it is, where it is loaded.
  sectors=$(((core + 511) / 512 - 1))
  put $((512 + 500)) 2 0 0 0 0 0 0 0 $((sectors & 255)) $((sectors >> 8)) 0x20 0x08
  # The partition table: one bootable Linux partition from sector 2048 to the end.
  put 446 0x80 0xfe 0xff 0xff 0x83 0xfe 0xff 0xff $(le32 2048) $(le32 $((size * 2048 - 2048)))
  put 510 0x55 0xaa
}

make_uefi() {
  local system=2048 system_sectors=81920 start last
  start=$((system + system_sectors)) last=$((size * 2048 - 2048))
  sfdisk -q "$output" <<TABLE
label: gpt
start=$system, size=$system_sectors, type=uefi
start=$start, size=$((last - start)), type=linux
TABLE
  root_file_system $start $(((last - start) / 2))
  # GRUB as the loader that firmware takes from a disk it knows nothing about.
  printf 'search --label rhea --set=root\nset prefix=($root)/boot/grub\nconfigfile /boot/grub/grub.cfg\n' >"$work/early.cfg"
  grub-mkimage -O x86_64-efi -o "$work/bootx64.efi" -p /boot/grub -c "$work/early.cfg" \
    part_gpt ext2 fat linux normal configfile search search_label serial terminal echo
  mformat -i "$output@@$((system * 512))" -T $system_sectors -F -v EFI ::
  mmd -i "$output@@$((system * 512))" ::/EFI ::/EFI/BOOT
  mcopy -i "$output@@$((system * 512))" "$work/bootx64.efi" ::/EFI/BOOT/BOOTX64.EFI
}

if [[ $uefi == yes ]]; then make_uefi; else make_bios; fi
