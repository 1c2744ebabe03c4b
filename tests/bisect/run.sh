#!/bin/bash
# Deterministic runs repeat, every switch of the translator leads through the same states, and bisect.py finds a planted
# fault. The guest is the firmware, which needs no disk.
exec python3 "$(dirname "$0")/run.py" "$@"
