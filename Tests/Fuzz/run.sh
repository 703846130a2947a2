#!/bin/sh
# Fuzzes what reads bytes from outside: run.sh [-t seconds] [-n runs] [group ...]
# Groups: packets topics text core access configuration transport; all of them if none is named. Each goes on for so
# many seconds (120, unless runs are given) or until so many inputs were run, whichever comes first.
# `run.sh -b [group ...]` only builds. `run.sh -s [group ...]` writes the inputs of the corpus that add coverage to
# Seeds/<group>.hex, which every corpus begins with.
# Inputs that fail are left in Tests/Fixtures/fuzz/<group>/, where `swift test` replays them. The status is 1 if there
# are any.
set -eu
cd "$(dirname "$0")"
usage() {
    sed -n '2,4p' "$0" >&2
    exit 64
}
seconds= runs= does=run
while getopts t:n:bs option; do
    case $option in
        t) seconds=$OPTARG ;;
        n) runs=$OPTARG ;;
        b) does=build ;;
        s) does=seeds ;;
        *) usage ;;
    esac
done
shift $((OPTIND - 1))
if [ -z "$seconds$runs" ]; then seconds=120; fi
groups=${*:-packets topics text core access configuration transport}
# Swift's own crash handler would swallow the signal that makes libFuzzer write the input down.
export SWIFT_BACKTRACE=enable=no
# Short inputs find more than long ones: a run takes less time, and a change more often hits what matters.
choose() {
    case $1 in
        packets) binary=FuzzPackets dictionary=mqtt.dict length=160 ;;
        topics) binary=FuzzTopics dictionary=mqtt.dict length=96 ;;
        text) binary=FuzzText dictionary=mqtt.dict length=128 ;;
        core) binary=FuzzCore dictionary= length=160 ;;
        access) binary=FuzzAccess dictionary=access.dict length=256 ;;
        configuration) binary=FuzzConfiguration dictionary=configuration.dict length=256 ;;
        transport) binary=FuzzTransport dictionary=transport.dict length=224 ;;
        *) echo "there is no group $1" >&2; exit 64 ;;
    esac
}
for name in $groups; do choose "$name"; done
build() { swift build -c release --product "$1"; }
build FuzzSeeds
built=$(swift build -c release --show-bin-path)
status=0
for name in $groups; do
    choose "$name"
    build "$binary"
    if [ "$does" = build ]; then continue; fi
    work=.build/corpus/$name
    failed=../Fixtures/fuzz/$name
    mkdir -p "$work" "$failed"
    if [ "$does" = seeds ]; then
        rm -rf ".build/merged/$name"
        mkdir -p ".build/merged/$name" Seeds
        "$built/$binary" -merge=1 -max_len=$length ".build/merged/$name" "$work" 2>/dev/null
        "$built/FuzzSeeds" "$name" ".build/merged/$name" "Seeds/$name.hex"
        continue
    fi
    if [ -f "Seeds/$name.hex" ]; then "$built/FuzzSeeds" "Seeds/$name.hex" "$work"; fi
    if [ "$name" = packets ]; then "$built/FuzzSeeds" ../Fixtures/wire "$work"; fi
    if [ "$name" = configuration ]; then
        for file in ../../docker/examples/*.yaml; do
            if [ -f "$file" ]; then { printf '\000'; cat "$file"; } >"$work/$(basename "$file")"; fi
        done
    fi
    echo "group $name"
    # shellcheck disable=SC2086
    "$built/$binary" "$work" "$failed" ${dictionary:+-dict=$dictionary} -max_len=$length -timeout=10 \
        ${seconds:+-max_total_time=$seconds} ${runs:+-runs=$runs} -print_final_stats=1 -artifact_prefix="$failed/" || {
        status=1
        echo "group $name FAILED: the input is in Tests/Fixtures/fuzz/$name" >&2
    }
done
exit $status
