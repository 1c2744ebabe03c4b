#!/bin/bash
# What a machine sounds like: tones of the PC speaker and of an HDA codec found in WAV files and in the host's sound
# systems, as far as those are installed.
exec python3 "$(dirname "$0")/run.py" "$@"
