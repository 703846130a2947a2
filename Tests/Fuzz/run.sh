#!/bin/sh
# Fuzzes what reads bytes from outside: run.sh [seconds for each, default 120] [group ...]
# Groups: packets topics text core access configuration transport; all of them if none is named.
# Failing inputs are left in the build folder; copy them to Tests/Fixtures/fuzz/<group>/ so that `swift test` replays
# them.
set -eu
cd "$(dirname "$0")"
seconds=${1:-120}
if [ $# -gt 0 ]; then shift; fi
groups=${*:-packets topics text core access configuration transport}
# The bodies look at internals, as tests do.
flags="-c release --sanitize=fuzzer -Xswiftc -enable-testing"
swift build --product FuzzSeeds
debug=$(swift build --show-bin-path)
# Swift's own crash handler would swallow the signal that makes libFuzzer write the input down.
export SWIFT_BACKTRACE=enable=no
for name in $groups; do
    case $name in
        packets) binary=FuzzPackets dictionary=mqtt.dict length=4096 ;;
        topics) binary=FuzzTopics dictionary=mqtt.dict length=4096 ;;
        text) binary=FuzzText dictionary=mqtt.dict length=256 ;;
        core) binary=FuzzCore dictionary= length=1200 ;;
        access) binary=FuzzAccess dictionary=access.dict length=2048 ;;
        configuration) binary=FuzzConfiguration dictionary=configuration.dict length=4096 ;;
        transport) binary=FuzzTransport dictionary=transport.dict length=1200 ;;
        *) echo "there is no group $name" >&2; exit 64 ;;
    esac
    # shellcheck disable=SC2086
    swift build $flags --product "$binary"
    # shellcheck disable=SC2086
    release=$(swift build $flags --show-bin-path)
    work=.build/corpus/$name
    mkdir -p "$work"
    if [ "$name" = packets ]; then "$debug/FuzzSeeds" ../Fixtures/wire "$work"; fi
    if [ "$name" = configuration ]; then
        for file in ../../docker/examples/*.yaml; do
            if [ -f "$file" ]; then { printf '\000'; cat "$file"; } >"$work/$(basename "$file")"; fi
        done
    fi
    timeout $((seconds + 60)) "$release/$binary" "$work" "../Fixtures/fuzz/$name" \
        ${dictionary:+-dict=$dictionary} -max_len=$length -timeout=10 -max_total_time="$seconds" -print_final_stats=1 \
        -artifact_prefix=".build/$name-"
done
