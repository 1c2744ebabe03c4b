#!/bin/bash
# Formats all C++ files of the tree, or those named.
set -euo pipefail
cd "$(dirname "$0")/.."
if (($#)); then exec clang-format -i "$@"; fi
git ls-files -z '*.cc' '*.h' | xargs -0 clang-format -i
