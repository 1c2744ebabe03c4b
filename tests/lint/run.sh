#!/bin/bash
# Checks on the text of the tree: one `ok`/`not ok` line a check, with what was found before it.
set -uo pipefail
cd "$(dirname "$0")/../.."
status=0

check() {  # NAME COMMAND...
  local name=$1
  shift
  if "$@"; then echo "ok lint/$name"; else echo "not ok lint/$name"; status=1; fi
}

clang_format_clean() {
  local report
  report=$(git ls-files -z '*.cc' '*.h' | xargs -0 clang-format --dry-run -Werror 2>&1) && return 0
  grep -oE '^[^ :]+\.(cc|h):[0-9]+' <<<"$report" | awk -F: '!seen[$1]++ {print "not formatted: " $1 " (line " $2 ")"}'
  return 1
}

# The release programs have what the compiler and linker flags promise.
hardened() {
  local program headers bad=0
  for program in "$@"; do
    headers=$(readelf -Whldn "$program" 2>&1)
    for want in 'DYN \(Position-Independent' GNU_RELRO 'NOW' 'GNU_STACK.* RW '; do
      grep -qE "$want" <<<"$headers" || { echo "$program lacks: $want"; bad=1; }
    done
    grep -q __stack_chk_fail <<<"$(readelf -Ws "$program")" || { echo "$program lacks stack protectors"; bad=1; }
    grep -q endbr64 <<<"$(objdump -d --disassemble=main "$program" 2>/dev/null)" || { echo "$program lacks CET landing pads"; bad=1; }
  done
  return $bad
}

shell_syntax() {
  local file bad=0
  while IFS= read -r -d '' file; do
    bash -n "$file" || bad=1
    [[ -x $file ]] || { echo "not executable: $file"; bad=1; }
  done < <(git ls-files -z '*.sh' .ci/run)
  return $bad
}

check include_direction ./tests/lint/include_direction.py
check coroutine_rule ./tests/lint/coroutine_rule.py
check plain_text ./tests/lint/plain_text.py
check shell_syntax shell_syntax
if command -v clang-format >/dev/null; then
  check clang_format clang_format_clean
else
  echo "skip lint/clang_format: clang-format is not installed"
fi
mapfile -t programs < <(find "${RHEA_BUILD:-build/release}" -type f -perm -u+x -name 'rhea-*' ! -name '*.so' 2>/dev/null)
if ((${#programs[@]})); then
  check hardening hardened "${programs[@]}"
else
  echo "skip lint/hardening: no release programs are built"
fi
program=$(find "${RHEA_BUILD:-build/release}" -type f -perm -u+x -name rhea-system-x86_64 2>/dev/null | head -1)
if [[ -n $program ]]; then
  check general_registers ./tests/lint/general_registers.py "$program" "${RHEA_BUILD:-build/release}"
else
  echo "skip lint/general_registers: rhea-system-x86_64 is not built"
fi
check self_test python3 ./tests/lint/lint_test.py
exit $status
