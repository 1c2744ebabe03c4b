#!/bin/bash
# The monitors as people and programs meet them: the same dialogues with Rhea and with QEMU where it is installed, many
# clients, floods and garbage, lines of every kind. No guest is needed.
exec python3 "$(dirname "$0")/run.py" "$@"
