#!/bin/bash
# The slice of the guest fuzzer for CI; more runs: run.py --runs 10000.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export RHEA_SYSTEM=${RHEA_SYSTEM:-${RHEA_BUILD:-$here/../../build/release}/src/tools/system/rhea-system-x86_64}
if python3 "$here/run.py" --runs "${1:-150}" --seed "${2:-1}"; then echo "ok random_guests"; else echo "not ok random_guests"; exit 1; fi
