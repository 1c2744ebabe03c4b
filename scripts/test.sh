#!/bin/bash
# Installs what is missing, builds, runs all tests. The last line is `N passed, N failed[, N skipped]`; the exit status
# is 0 only if nothing failed.
#
#   test.sh [--quick]     --quick: no sanitizer build and only the fast tests
#
# What runs: the unit tests (release, then ASan+UBSan) and every executable tests/*/run.sh. Such a suite prints one line
# a test, `ok NAME`, `not ok NAME[: why]`, `skip NAME: why` or `known NAME: why` (a failure that is on a list; counted as
# skipped); anything else it prints goes to its log in build/test-logs. It finds the programs in $RHEA_BUILD and must
# end within $RHEA_SUITE_TIMEOUT seconds.
set -uo pipefail
cd "$(dirname "$0")/.."

quick=no
case ${1:-} in
  --quick) quick=yes ;;
  '') ;;
  *) sed -n '2,11p' "$0" | cut -c3- >&2; exit 2 ;;
esac

logs=$PWD/build/test-logs
rm -rf "$logs"
mkdir -p "$logs"
export RHEA_BUILD=$PWD/build/release RHEA_QUICK=$quick RHEA_SUITE_TIMEOUT=${RHEA_SUITE_TIMEOUT:-900}
jobs=${RHEA_JOBS:-$(nproc)}
passed=0 failed=0 skipped=0

pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); echo "not ok $*"; }
skip() { skipped=$((skipped + 1)); echo "skipped: $*"; }

# Reads `ok`, `not ok` and `skip` lines and counts them; what stands before a `not ok` is its story and is shown.
tally() {
  local line story=()
  while IFS= read -r line; do
    case $line in
      'ok '*) pass ;;
      'not ok '*)
        ((${#story[@]})) && printf '    %s\n' "${story[@]}"
        fail "${line#not ok }" ;;
      'skip '*) skip "${line#skip }" ;;
      'known '*) skip "known failure: ${line#known }" ;;
      *) ((${#story[@]} < 40)) && story+=("$line"); continue ;;
    esac
    story=()
  done <"$1"
}

build() {  # PRESET TARGET...
  echo "== build $*"
  if ./scripts/build.sh "$@" >"$logs/build-$1.log" 2>&1; then
    pass
  else
    grep -E 'error|FAILED|undefined' "$logs/build-$1.log" | head -20
    fail "build of preset $1 (see $logs/build-$1.log)"
    return 1
  fi
}

unit_tests() {  # PRESET [CTEST-OPTION...]
  echo "== unit tests, $1"
  ctest --test-dir "build/$1" -j "$jobs" "${@:2}" --timeout 120 --output-on-failure --output-junit "$logs/ctest-$1.xml" \
    >"$logs/ctest-$1.log" 2>&1
  local status=$?
  ./scripts/junit-lines.py "$logs/ctest-$1.xml" "$1" >"$logs/ctest-$1.lines" 2>>"$logs/ctest-$1.log" \
    || fail "results of ctest for $1 could not be read (see $logs/ctest-$1.log)"
  if ((status != 0)) && ! grep -q '^not ok ' "$logs/ctest-$1.lines"; then
    fail "ctest for $1 ended with status $status (see $logs/ctest-$1.log)"
  fi
  tally "$logs/ctest-$1.lines"
}

suite() {  # tests/NAME/run.sh
  local name
  name=$(basename "$(dirname "$1")")
  echo "== $name"
  timeout --kill-after=10 "$RHEA_SUITE_TIMEOUT" "$1" >"$logs/$name.log" 2>&1 </dev/null
  local status=$?
  tally "$logs/$name.log"
  if ((status == 124)); then
    fail "$name took longer than $RHEA_SUITE_TIMEOUT s (see $logs/$name.log)"
  elif ((status != 0)) && ! grep -q '^not ok ' "$logs/$name.log"; then
    fail "$name ended with status $status (see $logs/$name.log)"
  elif ! grep -qE '^(ok|not ok|skip) ' "$logs/$name.log"; then
    fail "$name reported no test (see $logs/$name.log)"
  fi
}

if ! ./scripts/install-deps.sh test; then
  fail "installation of packages"
elif build release; then
  if [[ $quick == yes ]]; then unit_tests release --label-exclude slow; else unit_tests release; fi
  for run in tests/*/run.sh; do
    [[ -x $run ]] && suite "$run"
  done
fi
if [[ $quick == no ]] && build asan unit_tests; then
  unit_tests asan --label-regex '^unit$'
fi

summary="$passed passed, $failed failed"
((skipped)) && summary+=", $skipped skipped"
echo "$summary"
((failed == 0))
