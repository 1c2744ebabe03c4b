#!/bin/bash
# Installs the Debian packages that are missing, and only those.
#
#   install-deps.sh [run|test]   what to prepare for (default run)
#
# run: build and boot a guest. test: also what the tests, checks and fuzzers need.
# Needs root or sudo when something is missing; does nothing otherwise.
set -euo pipefail

packages=(cmake ninja-build g++ ccache pkg-config git
          libfmt-dev libzydis-dev libxbyak-dev liburing-dev nlohmann-json3-dev zlib1g-dev libzstd-dev libisal-dev libdeflate-dev libslirp-dev libgtest-dev libgmock-dev
          libssl3 libcurl4 seabios ovmf ipxe-qemu busybox-static cpio zstd xz-utils)
case ${1:-run} in
  run) ;;
  test) packages+=(qemu-utils python3 clang-format binutils gdb lz4 clang-19 libclang-rt-19-dev
                   libgtk-3-dev libsdl2-dev libxkbcommon-dev libasound2-dev libpulse-dev 7zip libqcow-utils libvmdk-utils libvhdi-utils nbdkit cryptsetup-bin
                   grub-pc-bin grub-efi-amd64-bin grub-common xorriso mtools isolinux syslinux-common) ;;
  *) echo "usage: install-deps.sh [run|test]" >&2; exit 2 ;;
esac

command -v dpkg-query >/dev/null || { echo "install-deps.sh: this is not a Debian system; please install: ${packages[*]}" >&2; exit 1; }

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $state == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || { echo "install-deps.sh: as root, please install: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "Installing: ${missing[*]}"
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" </dev/null; }
# An index that is too old names files that are gone, hence the second try; one broken source among several is no
# reason to give up.
apt update || true
apt install -y --no-install-recommends "${missing[@]}" >/dev/null
