#!/bin/bash
# Every fuzzer for an hour. The outcome goes into docs/verification.md with the commit and the machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
git log -1 --format='commit %h'
grep -m1 'model name' /proc/cpuinfo
RHEA_FUZZ_SECONDS=${RHEA_FUZZ_SECONDS:-3600} exec ./tests/fuzz/run.sh
