#!/bin/bash
# Guests of random bytes: $RHEA_RUNS (default 10,000) in every mode that a CPU may be in. None may harm the host process.
set -uo pipefail
. "$(dirname "$0")/about.sh"
export RHEA_SYSTEM=${RHEA_SYSTEM:-$build/src/tools/system/rhea-system-x86_64}
status=0
for mode in $(tests/fuzz-guests/run.py --list-modes); do
  echo "mode $mode"
  nice -n 19 tests/fuzz-guests/run.py --mode "$mode" --runs "${RHEA_RUNS:-10000}" --seed "${RHEA_SEED:-1}" --seconds 0.2 \
    --jobs "$(nproc)" || status=1
done
exit $status
