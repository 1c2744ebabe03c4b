#!/bin/bash
# Makes an initramfs of Debian's busybox-static and an init script, on the spot.
#
#   make-initramfs.sh [OPTIONS] OUTPUT
#     --mode shell        a shell on the console; power off when it ends (default)
#     --mode marker       print RHEA-GUEST-UP with CPU count and uname, power off
#     --mode commands     run the script given by --commands, power off
#     --commands FILE     shell script for --mode commands; `mark TEXT` in it
#                         prints @@TEXT on the console, `ask TEXT` prints it and
#                         waits for a line from the host
#     --program FILE      add a program at its own path, with its shared libraries
#     --tree DIR          add a directory at its own path (no libraries followed)
#     --overlay DIR       add all of DIR (its lib and bin merged into usr)
#     --add SRC:DEST      add one file or directory as DEST (absolute)
#     --modules DIR NAME,NAME...  add these kernel modules, and those that they
#                         need, from DIR (fetch-kernel.sh --modules prints it);
#                         they are loaded in this order before the commands
#     --end poweroff|reboot   how --mode marker/commands end (default poweroff)
#     --plain             no compression (boots faster when it is large)
#     --keep DIR          leave the file tree in DIR, too
#
# $RHEA_BUSYBOX names another static busybox (the i386 one for a 32-bit kernel).
# The console is the kernel's (console=ttyS0). Needs busybox-static and cpio.
set -euo pipefail

mode=shell commands='' end=poweroff plain=no keep='' output='' modules_dir='' modules=()
programs=() trees=() adds=() overlays=()
while (($#)); do
  case $1 in
    --mode) mode=$2; shift 2 ;;
    --commands) commands=$2; shift 2 ;;
    --program) programs+=("$2"); shift 2 ;;
    --tree) trees+=("$2"); shift 2 ;;
    --overlay) overlays+=("$2"); shift 2 ;;
    --add) adds+=("$2"); shift 2 ;;
    --modules) modules_dir=$2; IFS=, read -r -a modules <<<"$3"; shift 3 ;;
    --end) end=$2; shift 2 ;;
    --plain) plain=yes; shift ;;
    --keep) keep=$2; shift 2 ;;
    -*) echo "make-initramfs.sh: unknown option $1" >&2; exit 2 ;;
    *) output=$1; shift ;;
  esac
done
[[ -n $output ]] || { sed -n '2,23p' "$0" >&2; exit 2; }

busybox=${RHEA_BUSYBOX:-$(command -v busybox || true)}
[[ -x $busybox ]] || { echo "skipped: busybox-static is not installed" >&2; exit 77; }
if ldd "$busybox" >/dev/null 2>&1; then echo "skipped: $busybox is not static (install busybox-static)" >&2; exit 77; fi
command -v cpio >/dev/null || { echo "skipped: cpio is not installed" >&2; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=${keep:-$work/root}
mkdir -p "$tree"/{bin,dev,etc,proc,root,sys,tmp,run,mnt}

# Debian merges /bin, /sbin and /lib* into /usr; do as the host does, so that
# paths recorded in programs and scripts hold in the guest.
rmdir "$tree/bin"
mkdir -p "$tree"/usr/{bin,sbin,lib,lib64,lib32}
for d in bin sbin lib lib64 lib32; do ln -sfn "usr/$d" "$tree/$d"; done

# Copies one path to the same place, with the targets of symbolic links.
copy_file() {
  local path dest target
  path=$(realpath "$(dirname "$1")")/$(basename "$1")
  dest=$tree$path
  [[ -e $dest ]] && return
  mkdir -p "$(dirname "$dest")"
  if [[ -L $path ]]; then
    target=$(readlink "$path")
    [[ -L $dest ]] || cp -P "$path" "$dest"
    if [[ $target == /* ]]; then copy_file "$target"; else copy_file "$(dirname "$path")/$target"; fi
  else
    cp "$path" "$dest"
  fi
}
copy_program() {
  local path
  copy_file "$1"
  { ldd "$1" 2>/dev/null || true; } | grep -o '/[^ )]*' | sort -u | while read -r path; do copy_file "$path"; done
}

cp "$busybox" "$tree/bin/busybox"
for applet in $("$busybox" --list); do
  [[ $applet == busybox ]] || ln -sfn busybox "$tree/bin/$applet"
done
for path in "${programs[@]:-}"; do
  [[ -n $path ]] || continue
  dest=$tree$(realpath -s "$path")
  if [[ -L $dest && $(readlink "$dest") == busybox ]]; then rm "$dest"; fi   # the real one wins
  copy_program "$path"
done
for path in "${trees[@]:-}"; do
  [[ -n $path ]] || continue
  mkdir -p "$tree$(dirname "$path")"
  cp -a "$path" "$tree$(dirname "$path")/"
done
for path in "${overlays[@]:-}"; do
  [[ -n $path ]] || continue
  tar -c -C "$path" --exclude './.done' --exclude './.lock' . | tar -x -C "$tree" --keep-directory-symlink --no-same-owner
  find "$path" -type f -perm -u+x -path '*bin/*' | while read -r program; do
    # A script has no libraries.
    { LD_LIBRARY_PATH=$path/usr/lib/x86_64-linux-gnu:$path/lib/x86_64-linux-gnu ldd "$program" 2>/dev/null || true; } |
      { grep -o '/[^ )]*' || true; } | sort -u | while read -r lib; do
        case $lib in "$path"/*) ;; *) copy_file "$lib" ;; esac
      done
  done
done
for pair in "${adds[@]:-}"; do
  [[ -n $pair ]] || continue
  mkdir -p "$tree$(dirname "${pair#*:}")"
  cp -aL "${pair%%:*}" "$tree${pair#*:}"
done
if ((${#modules[@]})); then
  # depmod wants a whole tree; links of the modules will do.
  version=$(basename "$modules_dir") all=$work/all
  mkdir -p "$all/lib/modules" "$tree/usr/lib/modules/$version"
  cp -as "$(realpath "$modules_dir")" "$all/lib/modules/"
  depmod=$(PATH=$PATH:/usr/sbin:/sbin command -v depmod) || { echo "skipped: kmod is not installed" >&2; exit 77; }
  "$depmod" -b "$all" "$version"
  for name in "${modules[@]}"; do
    PATH=$PATH:/usr/sbin:/sbin modprobe -d "$all" -S "$version" --show-depends "$name" >"$work/depends" 2>&1 ||
      { echo "make-initramfs.sh: no module $name in $modules_dir" >&2; exit 2; }
    while read -r verb file _; do
      [[ $verb == insmod ]] || continue   # others are built in
      file=${file#"$all/lib/modules/$version/"}
      mkdir -p "$tree/usr/lib/modules/$version/$(dirname "$file")"
      cp -L "$all/lib/modules/$version/$file" "$tree/usr/lib/modules/$version/$file"
    done <"$work/depends"
    echo "$name" >>"$tree/etc/modules"
  done
  "$depmod" -b "$tree" "$version" 2>/dev/null   # warns of lists that only whole trees have
fi
rm -f "$tree/bin/mark" "$tree/bin/ask"
printf '#!/bin/busybox sh\necho "@@$*"\n' >"$tree/bin/mark"
printf '#!/bin/busybox sh\necho "@@$*"\nread -r answer\necho "$answer"\n' >"$tree/bin/ask"
chmod +x "$tree/bin/mark" "$tree/bin/ask"
echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
echo 'root:x:0:' >"$tree/etc/group"

{
  cat <<'INIT'
#!/bin/busybox sh
export PATH=/usr/bin:/usr/sbin:/bin:/sbin HOME=/root TERM=vt100 LC_ALL=C.UTF-8
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
busybox mkdir -p /dev/shm /dev/pts
busybox mount -t devpts devpts /dev/pts
busybox mount -t tmpfs shm /dev/shm
busybox ln -sfn /proc/self/fd /dev/fd
busybox ip link set lo up 2>/dev/null
[ -e /etc/modules ] && while read -r name; do modprobe "$name"; done </etc/modules
cd /root
exec </dev/console >/dev/console 2>&1
INIT
  case $mode in
    shell)
      cat <<'INIT'
echo
echo "RHEA-GUEST-UP cpus=$(nproc) $(uname -srm)"
echo "Debian kernel with busybox; 'exit' or 'poweroff -f' ends it."
setsid cttyhack sh
INIT
      end=poweroff ;;
    marker)
      echo 'echo "RHEA-GUEST-UP cpus=$(nproc) $(uname -srm)"' ;;
    commands)
      [[ -r $commands ]] || { echo "make-initramfs.sh: --commands file '$commands' missing" >&2; exit 2; }
      cp "$commands" "$tree/etc/commands"
      echo 'echo "RHEA-GUEST-UP cpus=$(nproc) $(uname -srm)"'
      echo 'sh /etc/commands'
      echo 'echo "RHEA-GUEST-DONE $?"' ;;
    *) echo "make-initramfs.sh: unknown mode $mode" >&2; exit 2 ;;
  esac
  echo "$end -f"
} >"$tree/init"
chmod +x "$tree/init"

pack() { (cd "$tree" && find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio --quiet -0 -o -H newc -R 0:0); }
mkdir -p "$(dirname "$output")"
if [[ $plain == yes ]]; then pack >"$output.new"; else pack | gzip -6 >"$output.new"; fi
mv "$output.new" "$output"
