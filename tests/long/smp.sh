#!/bin/bash
# Boots of four vCPUs, $RHEA_BOOTS times (default 200): races show seldom.
set -uo pipefail
. "$(dirname "$0")/about.sh"
boots=${RHEA_BOOTS:-200} failed=0
for ((n = 1; n <= boots; ++n)); do
  RHEA_BUILD=$build tests/real/run.sh linux-4cpu >build/smp.log 2>&1 && continue
  failed=$((failed + 1))
  cat build/smp.log
  cp build/real/linux-4cpu.log "build/smp-$failed.log"
done
echo "$boots boots, $failed failed"
((failed == 0))
