#!/bin/bash
# Sourced by run.sh: the firmware's tables as Linux reads them: SMBIOS by dmidecode and in /sys, ACPI with a table of the
# user's.
if wanted quick firmware-tables; then
  name=firmware-tables dir=$out/firmware-tables.d
  dmi=$("$guest/fetch-package.sh" dmidecode 2>"$out/fetch.log")/usr/sbin/dmidecode
  if cloud=$(kernel cloud-amd64) && [[ -x $dmi ]] && needs $name; then
    mkdir -p "$dir"
    cat >"$dir/commands" <<'COMMANDS'
/dmidecode
for f in bios_vendor bios_version bios_date sys_vendor product_name product_version product_serial product_uuid product_sku product_family \
         board_vendor board_name board_version board_serial board_asset_tag chassis_vendor chassis_version chassis_serial chassis_asset_tag; do
  echo "dmi $f=$(cat /sys/class/dmi/id/$f)"
done
for t in /sys/firmware/acpi/tables/*; do [ -f $t ] && echo "acpi ${t##*/} $(wc -c <$t)"; done
echo "extra $(tail -c +37 /sys/firmware/acpi/tables/RHEA) $(dd if=/sys/firmware/acpi/tables/RHEA bs=1 skip=10 count=14 2>/dev/null)"
echo "file $(tail -c +37 /sys/firmware/acpi/tables/OEMX)"
grep . /sys/firmware/acpi/interrupts/sci
dmesg | grep -iE 'acpi.*(error|warning|checksum)' | grep -v 'verification disabled' | sed 's/^/complaint /'
COMMANDS
    "$guest/make-initramfs.sh" --mode commands --commands "$dir/commands" --add "$dmi:/dmidecode" --program "$dmi" "$dir/initramfs.gz"
    printf 'a table of mine' >"$dir/data"
    # A whole table: header with a wrong checksum, which is put right.
    printf 'OEMX\x31\0\0\0\1\0RHEATSRHEATEST\1\0\0\0RHEA\1\0\0\0all of a file' >"$dir/table"
    for machine in pc q35; do
      run $name-$machine 60 'RHEA-GUEST-DONE 0' -machine $machine -cpu max -m 256 -smp 2 -serial stdio -kernel "$cloud" -initrd "$dir/initramfs.gz" \
        -append "console=ttyS0 quiet panic=-1" -uuid 12345678-9abc-def0-1234-56789abcdef0 \
        -smbios "type=0,vendor=Bios Maker,version=B 1,date=01/02/2003,release=4.5" \
        -smbios "type=1,manufacturer=System Maker,product=Thing,version=V 2,serial=S-3,sku=K 4,family=Kin" \
        -smbios "type=2,manufacturer=Board Maker,product=Board,version=V 5,serial=S-6,asset=A-7,location=Left" \
        -smbios "type=3,manufacturer=Case Maker,version=V 8,serial=S-9,asset=A-10,sku=K 11" \
        -smbios "type=11,value=first string,value=second string" \
        -acpitable "sig=RHEA,rev=7,oem_id=ABCDEF,oem_table_id=GHIJKLMN,data=$dir/data" -acpitable "file=$dir/table"
      for line in 'dmi bios_vendor=Bios Maker' 'dmi bios_version=B 1' 'dmi bios_date=01/02/2003' 'BIOS Revision: 4.5' 'dmi sys_vendor=System Maker' \
          'dmi product_name=Thing' 'dmi product_version=V 2' 'dmi product_serial=S-3' 'dmi product_uuid=12345678-9abc-def0-1234-56789abcdef0' \
          'dmi product_sku=K 4' 'dmi product_family=Kin' 'dmi board_vendor=Board Maker' 'dmi board_name=Board' 'dmi board_version=V 5' 'dmi board_serial=S-6' \
          'dmi board_asset_tag=A-7' 'Location In Chassis: Left' 'dmi chassis_vendor=Case Maker' 'dmi chassis_version=V 8' 'dmi chassis_serial=S-9' \
          'dmi chassis_asset_tag=A-10' 'SKU Number: K 11' 'String 1: first string' 'String 2: second string' 'Size: 256 MB' \
          'extra a table of mine ABCDEFGHIJKLMN' 'file all of a file' 'acpi RHEA 51' 'acpi OEMX 49' 'acpi FACP' 'acpi APIC'; do
        grep -aqF "$line" "$out/$name-$machine.log" || not_ok "$name-$machine-content" "no '$line'"
      done
      if line=$(grep -a '^complaint' "$out/$name-$machine.log"); then not_ok "$name-$machine-complaints" "$line"; fi
    done
    rm -rf "$dir"
  else
    skip $name "${cloud:+needs dmidecode}"
  fi
fi
