#!/bin/sh
# Builds the load generator and measures: see bench.py, which takes the arguments (run.sh --list names the loads).
#
#   CAUSEWAY   path of the causeway binary; without it only Mosquitto is measured
#   HOT_PATHS  path of the hot-paths binary, for the match cost and the allocations of a release build
#   ROUNDS     rounds for each broker and load (5)      SECONDS_EACH  seconds of a round (3)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
scratch=${SCRATCH:-$here/.build}
swift build -c release --package-path "$here" --scratch-path "$scratch" >/dev/null
GENERATOR=$(swift build -c release --package-path "$here" --scratch-path "$scratch" --show-bin-path)/broker-load
export GENERATOR
exec python3 "$here/bench.py" "$@"
