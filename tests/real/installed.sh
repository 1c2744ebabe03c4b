#!/bin/bash
# Sourced by run.sh: installed systems from GRUB to the login prompt, a shell and their own power-off, by BIOS and by UEFI,
# from each kind of disk; Debian's installer, in text and with its windows. All of them belong to --full.
disks=${RHEA_GUEST_CACHE:-$root/build/guest-cache}

installed_disk() {  # NAME OPTIONS... : sets $image; made once
  local name=$1
  shift
  image=$disks/$name.img
  [[ -e $image ]] && return
  "$guest/make-installed-disk.sh" --size 1024 "$@" "$image.new" 2>"$out/fetch.log" && mv "$image.new" "$image"
}
# installed NAME CPUS OPTIONS... : from $image, which stays as it is
installed() {
  local name=$1 cpus=$2
  shift 2
  dialogue "$name" 600 'expect rhea-disk login: ' 'send root\r' 'expect root@rhea-disk' 'send echo IT-HAS-$(nproc)-$(systemctl is-system-running --wait)-$(findmnt -no LABEL /)\r' \
    "expect IT-HAS-$cpus-running-rhea" 'send poweroff\r' end -- -cpu max -m 512 -smp "$cpus" -snapshot "$@"
}

for machine in pc q35; do
  for cpus in 1 4; do
    for bus in ide ahci virtio; do
      name=debian-$machine-${cpus}cpu-$bus
      wanted full $name || continue
      installed_disk debian-bios || { skip $name "$(why)"; continue; }
      disk=(-drive "file=$image,format=raw,if=none,id=d")
      case $bus-$machine in
        ide-pc) disk+=(-device ide-hd,drive=d) ;;
        ide-q35) disk+=(-device piix4-ide,id=more -device ide-hd,drive=d,bus=more.0) ;;
        ahci-pc) disk+=(-device ahci,id=sata -device ide-hd,drive=d,bus=sata.0) ;;
        ahci-q35) disk+=(-device ide-hd,drive=d) ;;
        virtio-*) disk+=(-device virtio-blk-pci,drive=d) ;;
      esac
      installed $name $cpus -machine $machine "${disk[@]}"
    done
    name=debian-uefi-$machine-${cpus}cpu
    if wanted full $name; then
      if [[ ! -r $ovmf ]]; then
        skip $name "needs the package ovmf"
      elif installed_disk debian-uefi --uefi; then
        cp /usr/share/OVMF/OVMF_VARS_4M.fd "$out/$name.fd"
        installed $name $cpus -machine $machine -drive "if=pflash,format=raw,readonly=on,file=$ovmf" \
          -drive "if=pflash,format=raw,snapshot=off,file=$out/$name.fd" -drive "file=$image,format=raw"
        rm -f "$out/$name.fd"
      else
        skip $name "$(why)"
      fi
    fi
    name=debian-i386-$machine-${cpus}cpu
    if wanted full $name; then
      if installed_disk debian-i386 --arch i386; then
        installed $name $cpus -machine $machine -drive "file=$image,format=raw"
      else
        skip $name "$(why)"
      fi
    fi
  done
done

# ---- Debian's installer ----
installer() {  # FOLDER: sets $installer to the folder of its kernel and initrd
  installer=$("$guest/fetch-package.sh" debian-installer-12-netboot-amd64 2>"$out/fetch.log")/usr/lib/debian-installer/images/12/amd64/$1/debian-installer/amd64
  [[ -e $installer/linux ]] || { sed -i '$!d;s/^$/cannot be downloaded/' "$out/fetch.log"; return 1; }
}
for machine in pc q35; do
  name=installer-text-$machine
  if wanted full $name; then
    # First question on the serial port; the network, found by DHCP; the mirror, whose list of components it reads. The
    # mirror is named here, because the installer's own choice has a double slash in its addresses, which some proxies refuse;
    # they don't have the components either.
    if installer text; then
      dialogue $name 900 'expect Select a language' 'send \r' 'expect Select your location' 'send \r' 'expect Configure the keyboard|Keymap to use' 'send \r' \
        'expect Configure the network.*Hostname' 'send \r' 'expect Domain name' 'send \r' 'expect Loading additional components' 'expect Retrieving ' \
        -- -machine $machine -cpu max -m 1200 -nic user,model=e1000 -kernel "$installer/linux" -initrd "$installer/initrd.gz" \
        -append "console=ttyS0 vga=normal fb=false mirror/country=manual mirror/http/hostname=deb.debian.org mirror/http/directory=/debian mirror/http/proxy= ---"
    else
      skip $name "$(why)"
    fi
  fi
  name=installer-menu-$machine
  if wanted full $name; then
    # As from a CD without serial port: the boot menu is a picture, loaded by network.
    if installer text; then
      dialogue $name 900 'picture 100' "shot $out/$name.png" 'key down' changed 'key down' changed -- -machine $machine -cpu max -m 768 -vga std \
        -boot n -nic "user,model=e1000,tftp=${installer%/debian-installer/amd64},bootfile=pxelinux.0"
    else
      skip $name "$(why)"
    fi
  fi
done
if wanted full installer-gtk; then
  if installer gtk; then
    # The banner and the smoothed letters have hundreds of colours; the second question follows the first.
    dialogue installer-gtk 900 'expect Linux version' 'picture 500' "shot $out/installer-gtk-1.png" 'key ret' changed \
      "shot $out/installer-gtk-2.png" -- -machine pc -cpu max -m 1024 -vga std -nic user,model=e1000 -usb -device usb-tablet \
      -kernel "$installer/linux" -initrd "$installer/initrd.gz" -append "vga=788 console=ttyS0 console=tty0 ---"
  else
    skip installer-gtk "$(why)"
  fi
fi
