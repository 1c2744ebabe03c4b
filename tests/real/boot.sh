#!/bin/bash
# Sourced by run.sh: what firmware boots from and in which order, boot loaders on their media (GRUB on CD and floppy,
# isolinux and pxelinux with their menus), a real-mode guest, and the firmware tables that Linux reads.

needs() {  # NAME PROGRAM-OR-FILE... : skips the test when one is missing
  local name=$1 what
  shift
  for what in python3 "$@"; do
    if [[ $what == /* ]]; then [[ -e $what ]] && continue; else command -v "$what" >/dev/null && continue; fi
    skip "$name" "needs $what"
    return 1
  done
}

# ---- the boot order ----
boot_media=$out/boot-media
says() {  # FILE TEXT SIZE: a medium whose boot sector says TEXT
  mkdir -p "$boot_media"
  [[ -e $boot_media/says.bin ]] || {
    as --32 -o "$boot_media/says.o" "$here/says.S" &&
      ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$boot_media/says.bin" "$boot_media/says.o"
  } || return 1
  cp "$boot_media/says.bin" "$boot_media/$1"
  printf '%s\0' "$2" | dd of="$boot_media/$1" bs=256 seek=1 conv=notrunc status=none
  truncate -s "$3" "$boot_media/$1"
}
says_cd() {  # FILE TEXT
  says "$1.sector" "$2" 2048 && mkdir -p "$boot_media/$1.d" && cp "$boot_media/$1.sector" "$boot_media/$1.d/boot" &&
    xorriso -as mkisofs -quiet -b boot -no-emul-boot -boot-load-size 4 -o "$boot_media/$1" "$boot_media/$1.d" 2>/dev/null
}
order() {  # NAME SECONDS STEP... -- OPTIONS... : beside a disk, a CD, a floppy and a network that each say what they are
  local name=boot-$1 m=$boot_media seconds=$2
  shift 2
  wanted quick "$name" || return
  needs "$name" as xorriso /usr/lib/ipxe/qemu/efi-e1000.rom || return
  if [[ ! -e $m/net.bin ]]; then
    says disk.img DISK 1M && says disk2.img SECOND 1M && says floppy.img FLOPPY 1440K && says leaves.img 'LEAVES?' 1440K &&
      says_cd cd.iso CD && says_cd again.iso 'AGAIN!' && says net.bin NETWORK 512
  fi || { skip "$name" "no media"; return; }
  dialogue "$name" "$seconds" "$@"
}
m=$boot_media
hd=(-drive "file=$m/disk.img,format=raw,if=none,id=hd" -device ide-hd,drive=hd)
cd=(-drive "file=$m/cd.iso,format=raw,if=none,id=cd,media=cdrom" -device ide-cd,drive=cd)
again=(-drive "file=$m/again.iso,format=raw,if=none,id=cd,media=cdrom" -device ide-cd,drive=cd)
fd=(-drive "file=$m/floppy.img,format=raw,if=floppy")
vd=(-drive "file=$m/disk2.img,format=raw,if=none,id=vd")
nic=(-nic "user,model=e1000,tftp=$m,bootfile=net.bin")
all=("${fd[@]}" "${hd[@]}" "${cd[@]}" "${nic[@]}" -m 64)
order disk 20 'expect ^DISK$' -- "${all[@]}" -boot c
order cd 20 'expect ^CD$' -- "${all[@]}" -boot order=dc
order floppy 20 'expect ^FLOPPY$' -- "${all[@]}" -boot a
order network 40 'expect ^NETWORK$' -- "${all[@]}" -boot n
order default 20 'expect ^DISK$' -- "${all[@]}"
order next-device 20 'expect ^LEAVES\?CD$' -- -m 64 -drive "file=$m/leaves.img,format=raw,if=floppy" "${cd[@]}" "${hd[@]}" -boot adc
order once 30 'expect ^AGAIN!DISK$' -- -m 64 "${again[@]}" "${hd[@]}" -boot order=c,once=d
order bootindex 20 'expect ^SECOND$' -- "${all[@]}" "${vd[@]}" -device virtio-blk-pci,drive=vd,bootindex=1
order bootindex-before 20 'expect ^SECOND$' -- -m 64 "${hd[@]},bootindex=2" "${cd[@]},bootindex=3" "${vd[@]}" -device virtio-blk-pci,drive=vd,bootindex=1
order bootindex-q35 20 'expect ^SECOND$' -- -machine q35 -m 64 "${cd[@]},bootindex=3" "${hd[@]},bootindex=2" "${vd[@]}" \
  -device ahci,id=more -device ide-hd,bus=more.3,drive=vd,bootindex=1
order menu 40 'screen Press ESC for boot menu' 'key esc' 'screen Select boot device:.*1\. .*2\. .*3\. ' 'key 3' 'expect ^CD$' -- \
  -m 64 -vga std "${fd[@]}" "${hd[@]}" "${cd[@]}" -boot menu=on,splash-time=8000,order=cad
order menu-times-out 20 'screen Press ESC' 'expect ^DISK$' -- -m 64 -vga std "${hd[@]}" -boot menu=on,splash-time=1500
order strict 30 'screen No bootable device' 'absent DISK' -- -m 64 -vga std "${hd[@]}" "${vd[@]}" -device virtio-blk-pci,drive=vd -boot strict=on
order strict-chosen 20 'expect ^SECOND$' -- -m 64 "${hd[@]}" "${vd[@]}" -device virtio-blk-pci,drive=vd,bootindex=1 -boot strict=on
order reboot-timeout 20 end -- -m 64 -boot reboot-timeout=500 -no-reboot
order usb-disk-xhci 40 'expect ^SECOND$' -- -m 64 "${hd[@]}" "${vd[@]}" -device qemu-xhci -device usb-storage,drive=vd,bootindex=1
order usb-cd-ehci 40 'expect ^CD$' -- -m 64 "${cd[@]:0:2}" -device usb-ehci,id=e -device usb-storage,bus=e.0,drive=cd
order usb-disk-behind-hubs 60 'expect ^SECOND$' -- -m 64 "${vd[@]}" -usb -device usb-hub,port=1 -device usb-hub,port=1.2 \
  -device usb-storage,port=1.2.3,drive=vd
for kib in 360 720 1200 2880; do
  [[ ! -d $m ]] || says floppy$kib.img FLOPPY$kib ${kib}K
  order floppy-$kib 20 "expect ^FLOPPY$kib$" -- -m 64 -drive "file=$m/floppy$kib.img,format=raw,if=floppy" -boot a
done
unset hd cd again fd vd nic all m kib
rm -rf "$boot_media"

# ---- a real-mode guest from a floppy ----
for machine in pc q35 isapc; do
  name=real-mode-$machine
  if wanted quick $name && needs $name as; then
    as --32 -o "$out/real-mode.o" "$here/real_mode.S" 2>"$out/$name.log" &&
      ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$out/real-mode.img" "$out/real-mode.o" && truncate -s 1440K "$out/real-mode.img"
    dialogue $name 30 'expect REAL-MODE-DONE' end 'absent BAD' -- -machine $machine -m 64 -vga std -no-reboot \
      -drive "file=$out/real-mode.img,format=raw,if=floppy"
  fi
done

# ---- GRUB on a CD and on a floppy ----
# UEFI firmware has the serial port in its console already.
grub_words='if [ $grub_platform = pc ]; then
  serial --unit=0 --speed=115200
  terminal_input serial console
  terminal_output serial console
fi
'
grub_cd() {  # NAME tier OPTIONS... : a rescue CD: its menu, its shell
  local name=$1 dir=$out/$1.d
  wanted "$2" "$name" || return
  shift 2
  needs "$name" grub-mkrescue xorriso mformat /usr/lib/grub/i386-pc /usr/lib/grub/x86_64-efi || return
  mkdir -p "$dir/tree/boot/grub"
  printf '%sset timeout=-1\nmenuentry "The rescue entry" {\n echo RESCUE-$grub_platform\n sleep 60\n}\n' "$grub_words" >"$dir/tree/boot/grub/grub.cfg"
  grub-mkrescue -o "$dir/cd.iso" "$dir/tree" --compress=no --fonts= --locales= --themes= \
    --install-modules="normal serial terminal echo sleep ls cat linux biosdisk iso9660 lsmmap date" >"$dir/log" 2>&1 ||
    grub-mkrescue -o "$dir/cd.iso" "$dir/tree" >"$dir/log" 2>&1 || { skip "$name" "grub-mkrescue: $(tail -n 1 "$dir/log")"; return; }
  dialogue "$name" 120 'expect The rescue entry' 'picture 2' "shot $out/grub.png" 'send c' 'expect grub> ' 'send ls\r' 'expect \(cd' 'send ls /boot/grub/\r' \
    'expect grub.cfg' 'send configfile /boot/grub/grub.cfg\r' 'expect The rescue entry' 'send \r' 'expect RESCUE-(pc|efi)' \
    -- -m 256 -vga std "$@" -drive "file=$dir/cd.iso,format=raw,media=cdrom"
  rm -rf "$dir"
}
grub_cd grub-cd quick
grub_cd grub-cd-q35 full -machine q35
grub_cd grub-cd-uefi full -machine q35 -bios /usr/share/ovmf/OVMF.fd

if wanted quick grub-floppy && needs grub-floppy grub-mkimage /usr/lib/grub/i386-pc; then
  printf 'insmod test\n%secho FLOPPY-$root\nls -l (fd0)\n' "$grub_words" >"$out/floppy.cfg"
  grub-mkimage -O i386-pc -o "$out/floppy.core" -p '(fd0)' -c "$out/floppy.cfg" biosdisk serial terminal echo ls test
  cat /usr/lib/grub/i386-pc/boot.img "$out/floppy.core" >"$out/floppy.img"
  truncate -s 1440K "$out/floppy.img"
  # No hard disk: GRUB's boot sector reads from the drive it was loaded from.
  dialogue grub-floppy 60 'expect FLOPPY-fd0' 'expect 1440KiB' 'expect grub rescue> |grub> ' 'send ls\r' 'expect \(fd0\)' \
    -- -m 64 -drive "file=$out/floppy.img,format=raw,if=floppy"
  rm -f "$out"/floppy.{cfg,core,img}
fi

# ---- isolinux and pxelinux: menus on the text screen; the chosen entry is a kernel ----
syslinux_menu() {  # FOLDER: menu.c32 and its libraries, a kernel that ends at once
  cp /usr/lib/syslinux/modules/bios/{ldlinux,menu,libutil}.c32 "$1/" && cp "$2" "$1/linux" && cp "$out/marker.gz" "$1/initrd" &&
    cat >"$3" <<'CFG'
DEFAULT menu.c32
PROMPT 0
MENU TITLE Rhea's own menu
LABEL first
  MENU LABEL The first entry
  LOCALBOOT -1
LABEL second
  MENU LABEL The second entry
  KERNEL linux
  APPEND initrd=initrd console=ttyS0 quiet panic=-1
CFG
}
syslinux_steps=('screen Rhea.s own menu.*The first entry.*The second entry' 'picture 3' "shot $out/menu.png" 'key down ret' 'expect RHEA-GUEST-UP cpus=1' end)
for machine in pc q35; do
  name=isolinux-$machine tier=quick
  [[ $machine == q35 ]] && tier=full
  if wanted $tier $name && needs $name xorriso /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/menu.c32; then
    if cloud=$(kernel cloud-amd64) && { [[ -e $out/marker.gz ]] || "$guest/make-initramfs.sh" --mode marker "$out/marker.gz"; }; then
      dir=$out/$name.d
      mkdir -p "$dir/tree"
      cp /usr/lib/ISOLINUX/isolinux.bin "$dir/tree/"
      syslinux_menu "$dir/tree" "$cloud" "$dir/tree/isolinux.cfg"
      xorriso -as mkisofs -quiet -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table -o "$dir/cd.iso" "$dir/tree" 2>/dev/null
      dialogue $name 90 "${syslinux_steps[@]}" -- -machine $machine -m 256 -vga std -cpu max -no-reboot -drive "file=$dir/cd.iso,format=raw,media=cdrom"
      rm -rf "$dir"
    else
      skip $name "$(why)"
    fi
  fi
done
if wanted full pxelinux && needs pxelinux /usr/lib/PXELINUX/pxelinux.0 /usr/lib/ipxe/qemu/efi-e1000.rom && cloud=$(kernel cloud-amd64); then
  [[ -e $out/marker.gz ]] || "$guest/make-initramfs.sh" --mode marker "$out/marker.gz"
  dir=$out/pxelinux.d
  mkdir -p "$dir/pxelinux.cfg"
  cp /usr/lib/PXELINUX/pxelinux.0 "$dir/"
  syslinux_menu "$dir" "$cloud" "$dir/pxelinux.cfg/default"
  dialogue pxelinux 120 "${syslinux_steps[@]}" -- -m 256 -vga std -cpu max -no-reboot -boot n -nic "user,model=e1000,tftp=$dir,bootfile=pxelinux.0"
  rm -rf "$dir"
fi
unset machine name tier dir
