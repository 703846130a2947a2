#!/bin/sh
# Fuzzes the packet decoder and the topic matcher: run.sh [seconds for each, default 120]
# Failing inputs are left in the build folder; copy them to Tests/Fixtures/fuzz/ so that `swift test` replays them.
set -eu
cd "$(dirname "$0")"
seconds=${1:-120}
swift build -c release --sanitize=fuzzer --product FuzzPackets
swift build -c release --sanitize=fuzzer --product FuzzTopics
swift build --product FuzzSeeds
release=$(swift build -c release --show-bin-path)
debug=$(swift build --show-bin-path)
work=.build/corpus
mkdir -p "$work/packets" "$work/topics"
"$debug/FuzzSeeds" ../Fixtures/wire "$work/packets"
# Swift's own crash handler would swallow the signal that makes libFuzzer write the input down.
export SWIFT_BACKTRACE=enable=no
for name in packets topics; do
    case $name in packets) binary=FuzzPackets ;; *) binary=FuzzTopics ;; esac
    timeout $((seconds + 60)) "$release/$binary" "$work/$name" "../Fixtures/fuzz/$name" \
        -dict=mqtt.dict -max_len=4096 -timeout=5 -max_total_time="$seconds" -print_final_stats=1 \
        -artifact_prefix=".build/$name-"
done
