#!/bin/bash
# The unit tests and a guest of four vCPUs under ThreadSanitizer.
set -uo pipefail
. "$(dirname "$0")/about.sh"
./scripts/build.sh tsan unit_tests rhea-system-x86_64 || exit 1
export TSAN_OPTIONS="halt_on_error=0 exitcode=66 ${TSAN_OPTIONS:-}"
status=0
ctest --test-dir build/tsan --label-regex '^unit$' --timeout 900 --output-on-failure || status=1
RHEA_BUILD=$PWD/build/tsan RHEA_REAL_SLOW=20 tests/real/run.sh linux-4cpu || status=1
if grep -a 'WARNING: ThreadSanitizer' build/real/linux-4cpu.log; then status=1; fi
exit $status
