#!/bin/bash
# Real guests: memtest86+, stress-ng --verify, every CPU model, sixteen vCPUs, a translation cache of 1 MiB and what CI runs.
#
#   tests/long/guests.sh [NAME-GLOB...]
set -uo pipefail
. "$(dirname "$0")/about.sh"
RHEA_BUILD=$build exec nice -n 19 tests/real/run.sh --full "$@"
