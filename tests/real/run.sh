#!/bin/bash
# Real guests, each to a marker. Prints `ok NAME`, `not ok NAME: why` or
# `skip NAME: why`, last `N passed, N failed`; exit 1 if anything failed.
#
#   tests/real/run.sh [--full] [NAME-GLOB...]
#
# Without --full it is the subset for CI; with it memtest86+, stress-ng and every
# CPU model run, too. The emulator is $RHEA_SYSTEM, its accelerator $RHEA_ACCEL
# (default tcg). $RHEA_REAL_SLOW multiplies the time limits.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
guest=$root/scripts/guest
emulator=${RHEA_SYSTEM:-${RHEA_BUILD:-$root/build/release}/src/tools/system/rhea-system-x86_64}
accel=${RHEA_ACCEL:-tcg}
slow=${RHEA_REAL_SLOW:-1}
out=$root/build/real
mkdir -p "$out"
quick=yes
[[ ${1:-} == --full ]] && { quick=no; shift; }
globs=("$@")
passed=0 failed=0 skipped=0

wanted() {   # full|quick NAME
  local g
  [[ $quick == yes && $1 == full ]] && return 1
  ((${#globs[@]})) || return 0
  for g in "${globs[@]}"; do [[ $2 == $g ]] && return 0; done
  return 1
}
ok() { echo "ok $1"; ((++passed)); }
not_ok() { echo "not ok $1: $2"; ((++failed)); tail -n 8 "$out/$1.log" 2>/dev/null | tr -d '\033\r' | sed 's/^/    /' | cut -c1-160; }
skip() { echo "skip $1: $2"; ((++skipped)); }

base=(-accel "$accel" -nodefaults -no-user-config -display none -no-reboot)

# run NAME SECONDS MARKER OPTIONS... : the emulator ends by itself and has printed MARKER.
run() {
  local name=$1 seconds=$2 marker=$3 status begin=$SECONDS
  shift 3
  timeout -k 5 $((seconds * slow)) "$emulator" "${base[@]}" "$@" >"$out/$name.log" 2>&1 </dev/null
  status=$?
  if ! grep -aqE "$marker" "$out/$name.log"; then
    not_ok "$name" "no '$marker' (status $status, $((SECONDS - begin)) s)"
  elif ((status)); then
    not_ok "$name" "marker seen, but status $status"
  else
    ok "$name"
  fi
}

# until NAME SECONDS MARKER OPTIONS... : stopped once MARKER has been printed.
until_marker() {
  local name=$1 seconds=$2 marker=$3 pid end
  shift 3
  end=$((SECONDS + seconds * slow))
  : >"$out/$name.log"
  "$emulator" "${base[@]}" "$@" >"$out/$name.log" 2>&1 </dev/null &
  pid=$!
  while ((SECONDS < end)) && kill -0 $pid 2>/dev/null && ! tr -d '\033' <"$out/$name.log" | grep -aqE "$marker"; do sleep 0.3; done
  kill $pid 2>/dev/null
  wait $pid 2>/dev/null
  if tr -d '\033' <"$out/$name.log" | grep -aqE "$marker"; then ok "$name"; else not_ok "$name" "no '$marker' within $((seconds * slow)) s"; fi
}

# dialogue NAME SECONDS STEP... -- OPTIONS... : console.py's steps on a machine without default devices.
dialogue() {
  local name=$1 seconds=$2 said
  shift 2
  local steps=()
  while [[ $1 != -- ]]; do steps+=("$1"); shift; done
  shift
  said=$(python3 "$here/console.py" "$out/$name.log" $((seconds * slow)) "${steps[@]}" -- \
    "$emulator" -accel "$accel" -nodefaults -no-user-config -display none "$@" 2>&1)
  if [[ $said == ok ]]; then ok "$name"; else not_ok "$name" "$said"; fi
}

kernel() { "$guest/fetch-kernel.sh" "$1" 2>"$out/fetch.log"; }
why() { tail -n 1 "$out/fetch.log"; }

# linux NAME tier cpus EXTRA-APPEND OPTIONS...
linux() {
  local name=$1 tier=$2 cpus=$3 append=$4
  shift 4
  wanted "$tier" "$name" || return
  [[ -n ${cloud:-} ]] || cloud=$(kernel cloud-amd64) || cloud=''
  [[ -n $cloud ]] || { skip "$name" "$(why)"; return; }
  [[ -e $out/marker.gz ]] || "$guest/make-initramfs.sh" --mode marker "$out/marker.gz" || { skip "$name" "no initramfs"; return; }
  "${ending:-run}" "$name" 60 "RHEA-GUEST-UP cpus=$cpus " -m 256 -smp "$cpus" -serial stdio -kernel "$cloud" -initrd "$out/marker.gz" \
      -append "console=ttyS0 panic=-1 $append" "$@"
}

# ---- firmware alone ----
if wanted quick seabios; then
  until_marker seabios 20 'No bootable device|Booting from|No more devices' -m 64 \
    -chardev stdio,id=debug -device isa-debugcon,iobase=0x402,chardev=debug
fi

for machine in q35 isapc; do
  if wanted quick seabios-$machine; then
    until_marker seabios-$machine 20 'No bootable device|Booting from|No more devices' -machine $machine -m 64 \
      -chardev stdio,id=debug -device isa-debugcon,iobase=0x402,chardev=debug
  fi
done

# The shell of OVMF, and a kernel that it starts.
ovmf=/usr/share/OVMF/OVMF_CODE_4M.fd
for machine in pc q35; do
  if wanted quick ovmf-$machine; then
    if [[ -r $ovmf ]]; then
      cp /usr/share/OVMF/OVMF_VARS_4M.fd "$out/vars-$machine.fd"
      until_marker ovmf-$machine 90 'Shell>' -machine $machine -m 256 -cpu max -nodefaults -serial stdio \
        -drive if=pflash,format=raw,readonly=on,file=$ovmf -drive "if=pflash,format=raw,file=$out/vars-$machine.fd"
      if cmp -s /usr/share/OVMF/OVMF_VARS_4M.fd "$out/vars-$machine.fd"; then not_ok ovmf-$machine-vars "no variable was saved"; fi
    else
      skip ovmf-$machine "needs the package ovmf"
    fi
  fi
done

# Variables that only code in system-management mode can write: set in one run, there in the next.
if wanted full ovmf-secure; then
  if [[ -r ${ovmf%.fd}.secboot.fd ]]; then
    cp /usr/share/OVMF/OVMF_VARS_4M.fd "$out/vars-secure.fd"
    secure=(-machine q35,smm=on -m 256 -cpu max -smp 4 -global driver=cfi.pflash01,property=secure,value=on
            -drive "if=pflash,format=raw,readonly=on,file=${ovmf%.fd}.secboot.fd" -drive "if=pflash,format=raw,file=$out/vars-secure.fd")
    guid=11111111-2222-3333-4444-555555555555
    dialogue ovmf-secure-set 300 'expect Shell>' "send setvar HELLO -guid $guid -nv -bs =0x42\r" 'expect Shell>' 'send reset -s\r' end -- "${secure[@]}"
    dialogue ovmf-secure 300 'expect Shell>' "send dmpstore HELLO -guid $guid\r" 'expect 00000000: 42' -- "${secure[@]}"
    rm -f "$out/vars-secure.fd"
  else
    skip ovmf-secure "needs the package ovmf"
  fi
fi

# ---- Debian kernels ----
linux linux-1cpu quick 1 "quiet" -cpu max
linux linux-4cpu quick 4 "quiet" -cpu max
linux linux-q35-1cpu quick 1 "quiet" -machine q35 -cpu max
linux linux-q35-4cpu quick 4 "quiet" -machine q35 -cpu max
if [[ -r $ovmf ]]; then
  linux linux-ovmf-pc quick 1 "quiet" -cpu max -bios /usr/share/ovmf/OVMF.fd
  linux linux-ovmf-q35 quick 4 "quiet" -machine q35 -cpu max -bios /usr/share/ovmf/OVMF.fd
fi
linux linux-qemu64 quick 1 "quiet" -cpu qemu64
linux linux-haswell quick 1 "quiet" -cpu Haswell
linux linux-host quick 1 "quiet" -cpu "$([[ $accel == tcg* && $emulator == *qemu* ]] && echo max || echo host)"
linux linux-noapic quick 1 "quiet noapic nolapic" -cpu max
linux linux-nopcid quick 1 "quiet nopcid" -cpu max
linux linux-la57 quick 1 "quiet" -cpu max,+la57
linux linux-no5lvl full 1 "quiet no5lvl" -cpu max
linux linux-nosmp full 1 "nosmp quiet" -cpu max -smp 2,sockets=1,cores=2
ending=until_marker linux linux-noacpi full 1 "quiet acpi=off" -cpu max  # nothing to power off with
linux linux-nohpet full 1 "quiet hpet=disable" -cpu max
linux linux-16cpu full 16 "quiet" -cpu max -m 512
linux linux-64cpu full 64 "quiet" -cpu max -m 1024
linux linux-topology full 8 "quiet" -cpu max -smp 8,sockets=2,cores=2,threads=2
linux linux-single-thread full 4 "quiet" -cpu max -accel tcg,thread=single
linux linux-6GiB full 1 "quiet" -cpu max -m 6G
linux linux-pti full 1 "quiet pti=on" -cpu max
linux linux-mwait full 2 "quiet idle=mwait" -cpu max
linux linux-nox2apic full 4 "quiet" -cpu max,-x2apic
linux linux-tsc-frequency full 2 "quiet" -cpu max,tsc-frequency=1G
if [[ $quick == no ]]; then  # rare hangs
  for i in $(seq 20); do linux "linux-smp-again-$i" full 4 "quiet" -cpu max; done
fi

# The kernel inside the image, by its PVH entry point.
if wanted quick linux-pvh; then
  if cloud=$(kernel cloud-amd64) && command -v lz4 >/dev/null; then
    [[ -e $out/marker.gz ]] || "$guest/make-initramfs.sh" --mode marker "$out/marker.gz"
    python3 -c 'import sys; d = open(sys.argv[1], "rb").read(); sys.stdout.buffer.write(d[d.find(b"\x02\x21\x4c\x18"):])' "$cloud" |
      lz4 -dc >"$out/vmlinux" 2>/dev/null
    run linux-pvh 60 'RHEA-GUEST-UP cpus=2 ' -cpu max -m 256 -smp 2 -serial stdio -kernel "$out/vmlinux" -initrd "$out/marker.gz" \
        -append "console=ttyS0 quiet panic=-1"
    rm -f "$out/vmlinux"
  else
    skip linux-pvh "${cloud:+needs lz4}"
  fi
fi
linux linux-tinycache full 1 "quiet" -cpu max -accel tcg,tb-size=1
if [[ $quick == no ]]; then
  for model in kvm64 Nehalem Westmere SandyBridge IvyBridge Broadwell Skylake-Client Skylake-Server Cascadelake-Server \
               Icelake-Server Opteron_G1 Opteron_G2 Opteron_G3 Opteron_G4 Opteron_G5 EPYC EPYC-Rome EPYC-Milan; do
    linux "linux-$model" full 1 quiet -cpu "$model"
  done
fi

if wanted quick linux-686-pae; then
  if pae=$(kernel 686-pae) && busybox=$(kernel busybox-i386); then
    [[ -e $out/marker32.gz ]] || RHEA_BUSYBOX=$busybox "$guest/make-initramfs.sh" --mode marker "$out/marker32.gz"
    run linux-686-pae 60 'RHEA-GUEST-UP cpus=1 .* i686' -cpu max -m 256 -serial stdio -kernel "$pae" -initrd "$out/marker32.gz" \
        -append "console=ttyS0 quiet panic=-1"
    wanted full linux-686-qemu32 && run linux-686-qemu32 60 'RHEA-GUEST-UP cpus=1 .* i686' -cpu qemu32 -m 256 -serial stdio \
        -kernel "$pae" -initrd "$out/marker32.gz" -append "console=ttyS0 quiet panic=-1"
  else
    skip linux-686-pae "$(why)"
  fi
fi

# ---- USB: what a Debian kernel finds behind each kind of controller; disks keep what was written ----
if wanted quick usb; then
  modules=$("$guest/fetch-kernel.sh" --modules amd64 2>/dev/null | tail -n 1)
  if stock=$(kernel amd64) && [[ -d $modules ]]; then
    cat >"$out/usb-commands.sh" <<'COMMANDS'
i=0; while [ $i -lt 150 ] && [ "$(ls -d /sys/block/sd? 2>/dev/null | wc -l)" -lt 4 ]; do sleep 0.2; i=$((i + 1)); done
sleep 1
for d in /sys/bus/usb/devices/*-*; do
  [ -e $d/idVendor ] && echo "usb $(cat $d/speed) $(cat $d/product) $(cat $d/serial)"
done
for b in /sys/block/sd?; do
  disk=/dev/${b##*/}
  p=$(readlink -f $b/device); while [ -n "$p" ] && [ ! -e $p/serial ]; do p=${p%/*}; done
  serial=$(cat $p/serial)
  echo "before $serial $(sha256sum <$disk | cut -c1-64)"
  dd if=/dev/zero bs=64k count=9 2>/dev/null | tr '\0' $serial | dd of=$disk bs=64k seek=3 conv=fsync 2>/dev/null
  echo 3 >/proc/sys/vm/drop_caches
  echo "after $serial $(sha256sum <$disk | cut -c1-64)"
done
for n in /sys/class/input/input*/name; do echo "input $(cat $n)"; done
COMMANDS
    "$guest/make-initramfs.sh" --mode commands --commands "$out/usb-commands.sh" \
      --modules "$modules" xhci-pci,ehci-pci,uhci-hcd,usb-storage,sd_mod,usbhid,hid-generic,evdev "$out/usb.gz"
    drives=() want=()
    for serial in u e x y; do
      head -c 1500160 /dev/urandom >"$out/usb-$serial.img"
      want+=("before $serial $(sha256sum <"$out/usb-$serial.img" | cut -c1-64)")
      drives+=(-drive "if=none,id=$serial,file=$out/usb-$serial.img,format=raw")
    done
    run usb 120 'RHEA-GUEST-DONE 0' -cpu max -m 256 -serial stdio -kernel "$stock" -initrd "$out/usb.gz" \
      -append "console=ttyS0 quiet panic=-1" "${drives[@]}" \
      -usb -device usb-hub,port=1 -device usb-kbd,port=1.3 -device usb-storage,drive=u,serial=u,port=2 \
      -device usb-ehci,id=e -device usb-tablet,bus=e.0 -device usb-storage,bus=e.0,drive=e,serial=e \
      -device qemu-xhci,id=x -device usb-storage,bus=x.0,drive=x,serial=x -device usb-storage,bus=x.0,drive=y,serial=y \
      -device usb-mouse,bus=x.0
    for serial in u e x y; do want+=("after $serial $(sha256sum <"$out/usb-$serial.img" | cut -c1-64)"); done
    want+=('usb 480 QEMU USB Tablet 1' 'usb 12 QEMU USB Keyboard 1' 'usb 12 QEMU USB Hub 314159' 'usb 12 QEMU USB HARDDRIVE u'
           'usb 480 QEMU USB HARDDRIVE e' 'usb 5000 QEMU USB HARDDRIVE' 'input QEMU QEMU USB Mouse')
    bad=''
    for line in "${want[@]}"; do grep -aqF "$line" "$out/usb.log" || bad="no '$line'"; done
    [[ -z $bad ]] || not_ok usb-content "$bad"
    rm -f "$out"/usb-?.img
  else
    skip usb "needs Debian's kernel and its modules"
  fi
fi

# ---- gdb on a running kernel: breakpoint, step, watchpoint, threads ----
if wanted quick linux-gdb; then
  if command -v gdb >/dev/null && cloud=$(kernel cloud-amd64); then
    cat >"$out/gdb-commands.sh" <<'COMMANDS'
grep -E ' (__x64_sys_newuname|jiffies_64|linux_banner)$' /proc/kallsyms | while read -r a t n; do echo "@$n=0x$a"; done
echo GDB-READY
i=0; while [ $i -lt 1000000 ]; do uname >/dev/null; i=$((i+1)); done
COMMANDS
    "$guest/make-initramfs.sh" --mode commands --commands "$out/gdb-commands.sh" "$out/gdb.gz"
    place=$(mktemp -d) log=$out/linux-gdb.log
    : >"$log"
    "$emulator" "${base[@]}" -cpu max -smp 4 -m 256 -serial stdio -kernel "$cloud" -initrd "$out/gdb.gz" -gdb "unix:$place/gdb" \
      -append "console=ttyS0 quiet nokaslr panic=-1" </dev/null >"$log" 2>&1 &
    pid=$!
    for ((i = 0; i < 200 * slow; ++i)); do grep -q GDB-READY "$log" && break; sleep 0.3; done
    symbol() { sed -n "s/^@$1=\(0x[0-9a-f]*\).*/\1/p" "$log"; }
    cat >"$out/script.gdb" <<SCRIPT
set pagination off
set confirm off
set architecture i386:x86-64
target remote $place/gdb
break *$(symbol __x64_sys_newuname)
continue
printf "at %lx\n", \$rip
stepi
printf "behind %lx\n", \$rip
delete
x/s $(symbol linux_banner)
watch *(unsigned long*)$(symbol jiffies_64)
continue
continue
delete
hbreak *$(symbol __x64_sys_newuname)
continue
info threads
monitor info jit
detach
SCRIPT
    timeout $((60 * slow)) gdb -nx -batch -x "$out/script.gdb" >"$out/gdb.said" 2>&1
    cat "$out/gdb.said" >>"$log"
    bad=''
    kill -0 $pid 2>/dev/null || bad='the emulator has ended'
    address=$(symbol __x64_sys_newuname)
    for words in "^at ${address#0x}" "^behind ${address:2:14}" 'Linux version' 'Hardware watchpoint' 'New value' 'CPU#0' 'CPU#3' 'Hardware assisted breakpoint'; do
      grep -q "$words" "$out/gdb.said" || bad="gdb did not say '$words'"
    done
    kill $pid 2>/dev/null
    wait $pid 2>/dev/null
    rm -rf "$place"
    if [[ -z $bad ]]; then ok linux-gdb; else not_ok linux-gdb "$bad"; fi
  else
    skip linux-gdb "needs gdb and the kernel"
  fi
fi

# ---- what programs compute in the guest equals the host's ----
if wanted quick same-output; then
  cat >"$out/commands.sh" <<'COMMANDS'
export OPENSSL_CONF=/dev/null
cd /root
for d in sha256 sha512 sha3-256 blake2b512 md5 sha1; do openssl dgst -$d -r /etc/sample; done
for c in aes-128-cbc aes-256-ctr chacha20 camellia-256-cbc aria-128-ctr; do
  openssl enc -$c -K 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff -iv 0123456789abcdef0123456789abcdef </etc/sample 2>/dev/null | sha256sum
done
python3 -S -E -c '
import hashlib, math, zlib, struct
h = hashlib.sha256()
for i in range(1, 20000):
    x = i * 0.7371
    h.update(struct.pack("<dddd", math.sin(x), math.exp(-x / 1000), math.log(x), x ** 1.5))
    h.update(repr(x / 3).encode())
print(h.hexdigest(), zlib.crc32(open("/etc/sample", "rb").read()), pow(3, 10**5 + 7, 2**521 - 1) % 10**20)'
for s in sha256 "-evp aes-128-gcm" "-evp chacha20-poly1305" rsa1024 ecdsap256; do
  openssl speed -seconds 1 -bytes 4096 $s >/tmp/speed 2>&1 && echo "speed $s" || cat /tmp/speed
done
for o in -O0 -O2 "-O3 -mavx2 -mfma"; do
  gcc -fpreprocessed -fno-use-linker-plugin -w $o -o /tmp/program /etc/program.c && sha256sum /tmp/program && /tmp/program
done
for o in -O0 -O2 -O3; do $(cat /etc/cc1) -quiet -fpreprocessed -fdiagnostics-color=never $o -o - /etc/program.c | sha256sum; done
COMMANDS
  sample=$out/sample
  cc1=$(gcc -print-prog-name=cc1 2>/dev/null || true)
  echo "$cc1" >"$out/cc1"
  head -c 700000 "$(command -v bash)" >"$sample"
  cat >"$out/program.c" <<'PROGRAM'
typedef unsigned long u64;
struct item { struct item *next; double weight; int key[8]; };
double total(struct item *i, int n) { double s = 0; for (; i; i = i->next) for (int k = 0; k < n; ++k) s += i->weight * i->key[k & 7]; return s; }
u64 mix(u64 x, int r) { switch (r % 9) { case 0: return x * 31; case 1: return x ^ x >> 7; case 5: return x / 10; case 8: return x % 97; default: return x + r; } }
void sort(int *v, int n) { for (int i = 1; i < n; ++i) { int x = v[i], k = i; while (k && v[k - 1] > x) v[k] = v[k - 1], --k; v[k] = x; } }
float dot(const float *a, const float *b, int n) { float s = 0; for (int i = 0; i < n; ++i) s += a[i] * b[i]; return s; }
int printf(const char *, ...);
int main(void) {
  struct item second = {0, 0.1, {9, 8, 7, 6, 5, 4, 3, 2}}, first = {&second, 1.0 / 3, {1, 2, 3, 4, 5, 6, 7, 8}};
  float a[100], b[100];
  u64 x = 1;
  for (int i = 0; i < 100; ++i) a[i] = 1.0f / (i + 1), b[i] = i * 0.37f;
  for (int i = 0; i < 100000; ++i) x = mix(x, i);
  int v[] = {5, -3, 99, 0, 17, 4};
  sort(v, 6);
  printf("%.17g %.9g %lx %d %d %d\n", total(&first, 1000), dot(a, b, 100), x, v[0], v[3], v[5]);
  return 0;
}
PROGRAM
  python=$(PATH=/usr/bin:/bin command -v python3 || true)
  if [[ -x $cc1 && -n $python && -x /usr/bin/openssl ]] && cloud=$(kernel cloud-amd64); then
    library=/usr/lib/$(basename "$(readlink -f "$python")")
    rm -rf "$out/pythonlib"
    mkdir -p "$out/pythonlib"
    (cd "$library" && tar -c --exclude test --exclude idlelib --exclude lib2to3 --exclude ensurepip --exclude 'config-*' \
       --exclude dist-packages --exclude pydoc_data --exclude unittest . | tar -x -C "$out/pythonlib")
    compiler=()  # what the gcc command needs besides cc1
    for f in Scrt1.o crti.o crtn.o crtbeginS.o crtendS.o libgcc.a libgcc_s.so libgcc_s.so.1 libc.so libc_nonshared.a; do
      f=$(realpath -s "$(gcc -print-file-name=$f)")
      compiler+=(--add "$f:$f")
    done
    for f in gcc "$(gcc -print-prog-name=collect2)" as ld; do compiler+=(--program "$(command -v "$f")"); done
    "$guest/make-initramfs.sh" --mode commands --commands "$out/commands.sh" --plain --keep "$out/same-root" "${compiler[@]}" \
      --program /usr/bin/openssl --program "$python" --program "$(readlink -f "$python")" --program "$cc1" \
      --add "$out/pythonlib:$library" --add "$sample:/etc/sample" --add "$out/cc1:/etc/cc1" --add "$out/program.c:/etc/program.c" "$out/same.cpio"
    in_root=(chroot "$out/same-root")
    ((EUID)) && in_root=(unshare -r chroot "$out/same-root")
    mkdir -p "$out/same-root/root"
    if "${in_root[@]}" /bin/busybox env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 sh /etc/commands >"$out/same.native" 2>&1; then
      # Models with FMA only: libm chooses its functions by CPUID, and they differ in the last bit.
      for cpu in max Haswell; do
        [[ $cpu == Haswell && $quick == yes ]] && continue
        timeout $((180 * slow)) "$emulator" "${base[@]}" -cpu $cpu -m 768 -serial stdio -kernel "$cloud" -initrd "$out/same.cpio" \
          -append "console=ttyS0 quiet loglevel=0 panic=-1" </dev/null >"$out/same-output.log" 2>&1
        tr -d '\r' <"$out/same-output.log" | sed -n '/RHEA-GUEST-UP/,/RHEA-GUEST-DONE/{//!p}' >"$out/same.guest"
        if [[ -s $out/same.native ]] && diff -q "$out/same.native" "$out/same.guest" >/dev/null; then
          ok "same-output-$cpu"
        else
          not_ok "same-output-$cpu" "differs: $(diff "$out/same.native" "$out/same.guest" | head -2 | tail -1 | cut -c1-100)"
        fi
      done
    else
      skip same-output "the programs don't run in a chroot here: $(tail -n 1 "$out/same.native")"
    fi
    rm -rf "$out/same-root" "$out/pythonlib"
  else
    skip same-output "needs gcc, python3 and openssl"
  fi
fi

# ---- memtest86+ ----
for machine in pc q35; do
  name=memtest86+-$machine
  wanted full $name || continue
  if memtest=$(kernel memtest86+); then
    dialogue $name 900 'expect Pass: *[1-9]|\*\*\*\*\*\*PASS' "shot $out/$name.png" 'absent Errors: *[1-9]' -- -machine $machine -cpu max -m 32 \
      -vga std -kernel "$memtest" -append "console=ttyS0,115200 nomch nosmp"
  else
    skip $name "$(why)"
  fi
done

# ---- stress-ng --verify ----
if wanted full stress-ng; then
  packages=$("$guest/fetch-package.sh" stress-ng libapparmor1 libbsd0 libmd0 libipsec-mb1 libjudydebian1 libkmod2 libsctp1 libxxhash0 \
             libjpeg62-turbo libegl1 libgbm1 libgles2 libglvnd0 libdrm2 libwayland-server0 libexpat1 libatomic1 liblzma5 libzstd1 2>"$out/fetch.log")
  if [[ -x $packages/usr/bin/stress-ng ]] && cloud=$(kernel cloud-amd64); then
    mkdir -p "$out/stress-root/usr/bin" "$out/stress-root/usr/lib/x86_64-linux-gnu"
    cp "$packages/usr/bin/stress-ng" "$out/stress-root/usr/bin/"
    for lib in $(LD_LIBRARY_PATH=$packages/usr/lib/x86_64-linux-gnu:$packages/lib/x86_64-linux-gnu ldd "$packages/usr/bin/stress-ng" | grep -o '/[^ )]*'); do
      case $lib in "$packages"/*) cp -L "$lib" "$out/stress-root/usr/lib/x86_64-linux-gnu/" ;; esac
    done
    cat >"$out/stress.sh" <<'COMMANDS'
stress-ng --temp-path /dev/shm --verify --metrics-brief --cpu 1 --cpu-method all --cpu-ops 400 --timeout 300s && echo STRESS-CPU-GOOD
stress-ng --temp-path /dev/shm --verify --vm 1 --vm-bytes 32M --vm-method all --vm-ops 3000 --timeout 300s && echo STRESS-VM-GOOD
stress-ng --temp-path /dev/shm --verify --vecmath 1 --vecmath-ops 50 --matrix 1 --matrix-ops 100 --crypt 1 --crypt-ops 20 --timeout 200s && echo STRESS-MATH-GOOD
COMMANDS
    "$guest/make-initramfs.sh" --mode commands --commands "$out/stress.sh" --overlay "$out/stress-root" --plain "$out/stress.cpio"
    rm -rf "$out/stress-root"
    timeout $((1200 * slow)) "$emulator" "${base[@]}" -cpu max -smp 2 -m 512 -serial stdio -kernel "$cloud" -initrd "$out/stress.cpio" \
      -append "console=ttyS0 quiet panic=-1" </dev/null >"$out/stress-ng.log" 2>&1
    for part in CPU VM MATH; do
      if grep -aq "STRESS-$part-GOOD" "$out/stress-ng.log" && ! grep -aqE 'fail:|verification failed|Oops|BUG:' "$out/stress-ng.log"; then
        ok "stress-ng-$part"
      else
        cp "$out/stress-ng.log" "$out/stress-ng-$part.log"
        not_ok "stress-ng-$part" "no STRESS-$part-GOOD, or a failure"
      fi
    done
  else
    skip stress-ng "$(tail -n 1 "$out/fetch.log")"
  fi
fi

# ---- disks, random numbers and ports on virtio, disks on AHCI ----
. "$here/virtio.sh"
. "$here/network.sh"
. "$here/boot.sh"
. "$here/tables.sh"
. "$here/installed.sh"
. "$here/hotplug.sh"
script quick disks.py linux-disks-formats
script full disks.py linux-disks-floppies linux-disks-cache-modes linux-disks-throttles linux-disks-holes linux-disks-full-host-disk \
  linux-disks-read-errors linux-disks-removable linux-disks-snapshots \
  linux-disks-queues linux-disks-smart

echo "# $skipped skipped ($emulator)"
echo "$passed passed, $failed failed"
((failed == 0))
