#!/bin/bash
# Makes a live CD with a desktop from Debian's packages: kernel, live-boot, LXDE
# with automatic login, the Calamares installer, GRUB for BIOS and UEFI.
#
#   make-live-iso.sh OUTPUT.iso
#
# Needs root (for chroot), a Debian mirror, debootstrap, squashfs-tools, xorriso,
# mtools, grub-pc-bin and grub-efi-amd64-bin; about 4 GiB in $TMPDIR and a quarter
# of an hour. Exit 77, with one line `skipped: why`, when something is missing.
# $RHEA_DEBIAN_MIRROR names a mirror other than deb.debian.org.
set -euo pipefail

output=${1:?usage: make-live-iso.sh OUTPUT.iso}
mirror=${RHEA_DEBIAN_MIRROR:-http://deb.debian.org/debian}
skip() { echo "skipped: $*" >&2; exit 77; }

[[ $(id -u) == 0 ]] || skip "needs root"
export PATH=$PATH:/usr/sbin:/sbin
for program in debootstrap mksquashfs grub-mkrescue xorriso mformat; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
for grub in i386-pc x86_64-efi; do [[ -d /usr/lib/grub/$grub ]] || skip "GRUB for $grub is not installed"; done

work=$(mktemp -d)
root=$work/root iso=$work/iso
cleanup() {
  umount "$root/dev" "$root/proc" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT

packages=(
  linux-image-amd64 live-boot live-config live-config-systemd user-setup
  systemd-sysv dbus dbus-x11 udev kmod locales sudo policykit-1 lxpolkit
  lxde-core lightdm lightdm-gtk-greeter xterm
  fdisk ifupdown xserver-xorg-core xserver-xorg-video-fbdev xserver-xorg-video-vesa xserver-xorg-input-libinput
  calamares calamares-settings-debian
  grub-pc-bin grub-efi-amd64-bin grub2-common parted dosfstools e2fsprogs squashfs-tools rsync cryptsetup-bin
  network-manager isc-dhcp-client iproute2 ca-certificates alsa-utils
)
debootstrap --variant=minbase bookworm "$root" "$mirror" >"$work/log" 2>&1 ||
  skip "debootstrap: $(tail -n 1 "$work/log")"
echo 'APT::Install-Recommends "false";' >"$root/etc/apt/apt.conf.d/90live"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"   # nothing is started while it is built
chmod +x "$root/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$root/etc/resolv.conf"
mount --bind /proc "$root/proc"
mount --bind /dev "$root/dev"
DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root" apt-get install -y "${packages[@]}" >"$work/log" 2>&1 ||
  skip "installing packages: $(tail -n 1 "$work/log")"
umount "$root/dev" "$root/proc"
rm -f "$root"/usr/sbin/policy-rc.d "$root"/var/cache/apt/archives/*.deb
echo live >"$root/etc/hostname"

mkdir -p "$iso/live" "$iso/boot/grub"
cp "$root"/boot/vmlinuz-* "$iso/live/vmlinuz"
cp "$root"/boot/initrd.img-* "$iso/live/initrd.img"
cat >"$iso/boot/grub/grub.cfg" <<'GRUB'
set timeout=10
insmod all_video
insmod gfxterm
loadfont unicode
terminal_output gfxterm
menuentry "Debian live desktop" {
  linux /live/vmlinuz boot=live components quiet username=user hostname=live noeject
  initrd /live/initrd.img
}
menuentry "Debian live desktop, messages on the serial line" {
  linux /live/vmlinuz boot=live components username=user hostname=live noeject console=tty0 console=ttyS0,115200
  initrd /live/initrd.img
}
GRUB
# With /boot: what is installed from the CD needs its kernel.
mksquashfs "$root" "$iso/live/filesystem.squashfs" -comp gzip -noappend -no-progress -quiet
grub-mkrescue -o "$output.new" "$iso" >"$work/log" 2>&1 || { tail -n 3 "$work/log" >&2; exit 1; }
mv "$output.new" "$output"
