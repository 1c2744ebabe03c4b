#!/bin/bash
# The program as its users meet it: options and their refusals, lines, resets and exits, a debugger. The guests are tiny
# firmware images, assembled on the spot.
exec python3 "$(dirname "$0")/run.py" "$@"
