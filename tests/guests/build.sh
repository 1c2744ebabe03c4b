#!/bin/bash
# Builds the guest test kernels with the host's g++ into OUT (default
# build/guests of this tree): kernel64.elf, kernel32.elf. Only what is older
# than its sources or any header is compiled again.
set -euo pipefail
shopt -s nullglob
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../build/guests}
mkdir -p "$out"

common=(-std=c++20 -O2 -ffreestanding -fno-exceptions -fno-rtti -fno-stack-protector -fno-threadsafe-statics
        -fno-asynchronous-unwind-tables -fcf-protection=none -mgeneral-regs-only -mno-red-zone -fno-strict-aliasing
        -fno-delete-null-pointer-checks -fno-tree-loop-distribute-patterns -Wall -Wextra -Wno-array-bounds -I "$here/lib")
newest_header=$(find "$here" -name '*.h' -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2-)

build() {   # name flags... -- sources
  local name=$1 flags=() sources=() objects=() s o jobs=()
  shift
  while [[ $1 != -- ]]; do flags+=("$1"); shift; done
  shift
  mkdir -p "$out/$name.o"
  for s in "$@"; do
    o=$out/$name.o/$(basename "$s").o
    objects+=("$o")
    [[ $o -nt $s && $o -nt $newest_header && $o -nt $here/build.sh ]] && continue
    if [[ $s == *.S ]]; then
      g++ "${flags[@]}" -c "$s" -o "$o" &
    else
      g++ "${common[@]}" "${flags[@]}" -c "$s" -o "$o" &
    fi
    jobs+=($!)
    if ((${#jobs[@]} >= 2)); then wait "${jobs[0]}" || exit 1; jobs=("${jobs[@]:1}"); fi
  done
  for j in "${jobs[@]}"; do wait "$j" || exit 1; done
  ld --no-warn-rwx-segments -m "$emulation" -z max-page-size=4096 -z noexecstack --build-id=none -T "$here/lib/kernel.ld" \
     -o "$out/$name.tmp" "${objects[@]}"
  objcopy -O elf32-i386 "$out/$name.tmp" "$out/$name.elf"
  mv "$out/$name.tmp" "$out/$name.sym"
}

emulation=elf_x86_64
build kernel64 -m64 -fpie -mcmodel=small -- "$here"/lib/{boot64,trap64}.S "$here"/lib/{test,trap,paging64,smp64}.cc "$here"/k64/*.{cc,S}
emulation=elf_i386
build kernel32 -m32 -fno-pic -- "$here"/lib/{boot32,trap32}.S "$here"/lib/{test,trap,paging32}.cc "$here"/k32/*.{cc,S}
