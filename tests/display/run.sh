#!/bin/bash
# What a machine shows: screen dumps of SeaBIOS in text and graphics, and windows where there is an Xvfb.
exec python3 "$(dirname "$0")/run.py" "$@"
