#!/bin/bash
# Runs every fuzzer for a short while, from its corpus in tests/fuzz/corpus/NAME if it has one. An input that fails is
# kept in build/fuzz/crashes. RHEA_FUZZ_SECONDS says for how many seconds each; without it nothing is run, because the
# build of its own that the fuzzers need would take continuous integration beyond half an hour.
set -uo pipefail
cd "$(dirname "$0")/../.."

skip() { echo "skip fuzz: $*"; exit 0; }
[[ -n ${RHEA_FUZZ_SECONDS:-} ]] || skip "needs a build of its own; RHEA_FUZZ_SECONDS=10 tests/fuzz/run.sh runs it"
command -v clang++-19 >/dev/null || skip "clang-19 is not installed"
./scripts/build.sh fuzz fuzzers || { echo "not ok fuzz/build"; exit 1; }
echo "ok fuzz/build"

crashes=$PWD/build/fuzz/crashes
mkdir -p "$crashes"
status=0
for fuzzer in build/fuzz/fuzzers/*_fuzz; do
  [[ -x $fuzzer ]] || continue
  name=$(basename "$fuzzer")
  corpus=()
  [[ -d tests/fuzz/corpus/$name ]] && corpus=("$(mktemp -d)" "tests/fuzz/corpus/$name")
  length=4096
  [[ $name == formats_fuzz ]] && length=80000 # of the smallest whole images
  if "$fuzzer" -max_total_time="$RHEA_FUZZ_SECONDS" -timeout=10 -rss_limit_mb=2048 -max_len=$length -verbosity=0 \
    -artifact_prefix="$crashes/$name-" "${corpus[@]}" 2>&1 | tail -30; then
    echo "ok fuzz/$name"
  else
    echo "not ok fuzz/$name"
    status=1
  fi
done
exit $status
