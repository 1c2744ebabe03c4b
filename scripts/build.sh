#!/bin/bash
# Configures and builds: build.sh [PRESET [TARGET...]]; presets: release (default), debug, asan, tsan, fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
shift || true
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
log=build/configure-$preset.log
mkdir -p build
cmake --preset "$preset" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
targets=()
(($#)) && targets=(--target "$@")
exec cmake --build --preset "$preset" "${targets[@]}" -j "${RHEA_JOBS:-$(nproc)}"
