#!/bin/bash
# Builds the guest test kernels and runs them in an emulator; see run.py --help.
# Without arguments: the quick subset.
#   RHEA_SYSTEM=qemu-system-x86_64 tests/guests/run.sh [--config GLOB] [--test GLOB]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
"$here/build.sh" "$here/../../build/guests"
(($#)) || set -- --quick   # CI
export RHEA_SYSTEM=${RHEA_SYSTEM:-${RHEA_BUILD:-$here/../../build/release}/src/tools/system/rhea-system-x86_64}
exec python3 "$here/run.py" --kernels "$here/../../build/guests" "$@"
