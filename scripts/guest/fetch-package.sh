#!/bin/bash
# Unpacks Debian packages below the guest cache, without installing them:
#   fetch-package.sh PACKAGE...
# Prints the root they were unpacked to. A package that cannot be had is
# reported on standard error and skipped. Dependencies are not followed.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${RHEA_GUEST_CACHE:-$root/build/guest-cache}
dest=$cache/packages
mkdir -p "$dest/.done"
exec 9>"$dest/.lock"
flock 9
for package in "$@"; do
  [[ -e $dest/.done/$package ]] && continue
  work=$(mktemp -d "$cache/fetch.XXXXXX")
  if (cd "$work" && apt-get -o "APT::Sandbox::User=$(id -un)" -qq download "$package" >/dev/null 2>&1); then
    dpkg-deb --fsys-tarfile "$work"/*.deb |
      tar -x -C "$dest" --exclude './usr/share/doc*' --exclude './usr/share/man*' --exclude './usr/share/locale*' --keep-directory-symlink
    touch "$dest/.done/$package"
  else
    echo "fetch-package.sh: skipped $package: cannot be downloaded" >&2
  fi
  rm -rf "$work"
done
echo "$dest"
