#!/bin/bash
# The program as its users meet it: options and their refusals, lines, resets and exits, a debugger. The guests are tiny
# firmware images, assembled on the spot.
here=$(dirname "$0")
status=0
python3 "$here/run.py" "$@" || status=1
python3 "$here/faults.py" "$@" || status=1
exit $status
