#!/bin/bash
# Every fuzzer for an hour. The outcome goes into docs/verification.md with the commit and the machine.
set -euo pipefail
. "$(dirname "$0")/about.sh"
RHEA_FUZZ_SECONDS=${RHEA_FUZZ_SECONDS:-3600} exec ./tests/fuzz/run.sh
