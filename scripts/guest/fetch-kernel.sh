#!/bin/bash
# Fetches a Debian guest (kernel package or memtest86+) and unpacks it into the
# cache, never into the system: only `apt-get download` and `dpkg-deb -x`.
#
#   fetch-kernel.sh [--modules] KIND
#
# KIND is cloud-amd64, amd64, 686-pae, memtest86+ or busybox-i386 (a 32-bit
# static busybox for 686-pae's initramfs). Prints the path of the
# file to boot. --modules also unpacks the package's modules and prints their
# directory on a second line. Exit 77, with one line `skipped: why`, when the
# package cannot be had (no network, no such package).
#
# The cache is $RHEA_GUEST_CACHE, by default build/guest-cache of this tree.
# $RHEA_GUEST_KERNEL_KIND (cloud_amd64 for cloud-amd64) names a file to use
# instead, for machines without network.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${RHEA_GUEST_CACHE:-$root/build/guest-cache}
modules=no
if [[ ${1:-} == --modules ]]; then modules=yes; shift; fi
kind=${1:?usage: fetch-kernel.sh [--modules] cloud-amd64|amd64|686-pae|memtest86+|busybox-i386}

skip() { echo "skipped: $*" >&2; exit 77; }

case $kind in
  cloud-amd64) package=linux-image-cloud-amd64 arch=amd64 ;;
  amd64)       package=linux-image-amd64 arch=amd64 ;;
  686-pae)     package=linux-image-686-pae arch=i386 ;;
  memtest86+)  package=memtest86+ arch=amd64 ;;
  busybox-i386) package=busybox-static arch=i386 ;;
  *) echo "fetch-kernel.sh: unknown kind '$kind' (cloud-amd64, amd64, 686-pae, memtest86+, busybox-i386)" >&2; exit 2 ;;
esac

override=RHEA_GUEST_KERNEL_${kind//[-+]/_}
if [[ -n ${!override:-} ]]; then echo "${!override}"; exit 0; fi

dir=$cache/$kind
boot_file() {
  case $kind in
    memtest86+) find "$dir/boot" -name 'memtest86+x64.bin' 2>/dev/null | head -1 ;;
    busybox-*) find "$dir/bin" -name busybox 2>/dev/null | head -1 ;;
    *) find "$dir/boot" -name 'vmlinuz-*' 2>/dev/null | sort -V | tail -1 ;;
  esac
}
answer() {
  boot_file
  if [[ $modules == yes ]]; then find "$dir/lib/modules" -mindepth 1 -maxdepth 1 | head -1; fi
}

mkdir -p "$dir"
exec 9>"$dir/.lock"
flock 9   # parallel tests fetch once
if [[ -n $(boot_file) && ( $modules == no || -d $dir/lib/modules ) ]]; then answer; exit 0; fi

# A foreign architecture, or a machine whose lists are empty, gets package lists
# of its own below the cache: the system's dpkg and apt state stay as they are.
apt_args=(-o "APT::Sandbox::User=$(id -un)")
private_lists() {
  local state=$cache/apt
  mkdir -p "$state/lists/partial" "$state/archives/partial" "$state/parts"
  [[ -e $state/status ]] || : >"$state/status"
  local source=$state/sources.list
  local codename key=/usr/share/keyrings/debian-archive-keyring.gpg
  codename=$(. /etc/os-release; echo "${VERSION_CODENAME:-bookworm}")
  local mirror=${RHEA_DEBIAN_MIRROR:-http://deb.debian.org}
  echo "deb [signed-by=$key] $mirror/debian $codename main" >"$source"
  apt_args+=(-o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "Dir::State=$state"
            -o "Dir::State::Lists=$state/lists" -o "Dir::State::status=$state/status"
            -o "Dir::Cache=$state" -o "Dir::Cache::archives=$state/archives"
            -o "Dir::Etc::SourceList=$source" -o "Dir::Etc::SourceParts=$state/parts")
  apt-get "${apt_args[@]}" -qq update >&2 || skip "no package lists for $arch (no network?)"
}

command -v apt-get >/dev/null || skip "apt-get is not installed"
command -v dpkg-deb >/dev/null || skip "dpkg-deb is not installed"
if [[ $arch != "$(dpkg --print-architecture)" ]] || ! apt-cache show "$package" >/dev/null 2>&1; then
  private_lists
fi

# linux-image-amd64 and friends are empty packages that depend on the real one.
if [[ $package == linux-image-* ]]; then
  real=$(apt-cache "${apt_args[@]}" depends "$package" 2>/dev/null |
         sed -n 's/^ *Depends: *\(linux-image-[0-9][^ :]*\).*/\1/p' | head -1)
  [[ -n $real ]] || skip "package $package ($arch) not found"
  package=$real
fi

work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get "${apt_args[@]}" -qq download "$package" >&2) || skip "cannot download $package ($arch)"
deb=$(echo "$work"/*.deb)
if [[ $modules == yes ]]; then
  dpkg-deb -x "$deb" "$dir"
else
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dir" --wildcards './boot/*' './bin/busybox' 2>/dev/null || true
fi
[[ -n $(boot_file) ]] || skip "$package does not hold what was expected"
answer
