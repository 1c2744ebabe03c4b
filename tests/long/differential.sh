#!/bin/bash
# The translator against the host CPU: $RHEA_CASES cases a mode (default 25,000,000: 10^8 in the four modes), in runs of a
# million with fresh seeds, half of them of up to 4 and half of up to 8 instructions. It fails, too, when a row of the table of forms was reached less
# than 100 times in a run. The first seed is $RHEA_SEED (default: the time).
#
#   tests/long/differential.sh [MODE...]
set -uo pipefail
. "$(dirname "$0")/about.sh"
cases=${RHEA_CASES:-25000000} seed=${RHEA_SEED:-$(date +%s)}
modes=("$@")
((${#modes[@]})) || modes=(64 32 32seg 16seg)
status=0
echo "$cases cases a mode from seed $seed"
for mode in "${modes[@]}"; do
  failed=0
  for ((done = 0; done < cases; done += 1000000)); do
    insns=$((done / 1000000 % 2 ? 8 : 4))
    nice -n 19 "$build/tests/differential/differential" --mode "$mode" --count 1000000 --insns $insns \
      --seed $((seed + done)) --at-least 100 >"build/differential-$mode.log" 2>&1 && continue
    failed=$((failed + 1)) status=1
    grep -v '^  #' "build/differential-$mode.log"
  done
  echo "mode $mode: $done cases, $failed runs of $((done / 1000000)) failed"
done
exit $status
