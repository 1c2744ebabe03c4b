#!/bin/bash
# Kills and full disks, many rounds, then triples of option values: images.sh [ROUNDS]. Wants a release build.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-200}
git log -1 --format='commit %h'
tool=build/release/tests/interop/block_tool
img=build/release/src/tools/img/rhea-img
tests/interop/kill.py "$tool" "$img" "$rounds"
tests/interop/faults.py "$tool" "$img" "$rounds"
if command -v strace >/dev/null; then tests/interop/faults.py "$tool" "$img" "$rounds" "" each; fi
tests/interop/options.py "$tool" "$img" --triples
