#!/bin/sh
# Causeway against Debian's Mosquitto, from the same run: run.sh [modes...]
#
# Brokers run on CPU 0, the load generator on CPU 1. Rounds alternate between the brokers and the median counts, so
# that a noisy neighbour hits both alike. Both brokers listen on plain TCP on 127.0.0.1 and let everyone in; Mosquitto
# keeps nothing on disk, Causeway runs with its journal as configured by default.
#
#   CAUSEWAY   path of the causeway binary; without it only Mosquitto is measured
#   ROUNDS     rounds for each broker and mode (5)      SECONDS_EACH  seconds of a round (3)
#   PAYLOAD    bytes of payload (64)                    RATE          messages each second, latency mode (20000)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-3}
payload=${PAYLOAD:-64}
rate=${RATE:-20000}
modes=${*:-pairs fanin fanout qos1 latency}
mosquitto=$(command -v mosquitto || echo /usr/sbin/mosquitto)
broker_cpu=0
load_cpu=1

swift build -c release --package-path "$here" ${SCRATCH:+--scratch-path "$SCRATCH"} >/dev/null
load=$(swift build -c release --package-path "$here" ${SCRATCH:+--scratch-path "$SCRATCH"} --show-bin-path)/broker-load

work=$(mktemp -d)
pids=""
stop() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    for pid in $pids; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

mosquitto_port=$("$load" free-port)
cat >"$work/mosquitto.conf" <<CONF
listener $mosquitto_port 127.0.0.1
allow_anonymous true
persistence false
log_type error
CONF
# Mosquitto gives up root's rights for a user of its own, who has to find its configuration.
chmod 755 "$work"
taskset -c $broker_cpu "$mosquitto" -c "$work/mosquitto.conf" &
mosquitto_pid=$!
pids="$mosquitto_pid"
"$load" wait 127.0.0.1 "$mosquitto_port"

causeway_pid=""
if [ -n "${CAUSEWAY:-}" ]; then
    causeway_port=$("$load" free-port)
    mkdir "$work/journal"
    cat >"$work/site.yaml" <<CONF
site: bench
listeners:
  - { bind: "127.0.0.1:$causeway_port", allow_anonymous: true }
journal: { path: "$work/journal" }
CONF
    taskset -c $broker_cpu "$CAUSEWAY" site -c "$work/site.yaml" >"$work/causeway.log" 2>&1 &
    causeway_pid=$!
    pids="$pids $causeway_pid"
    "$load" wait 127.0.0.1 "$causeway_port" || { cat "$work/causeway.log" >&2; exit 1; }
fi

# Ticks of CPU time that a process has used.
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

# One round: a line of broker-load, with the CPU time that the broker used for each message of the latency mode.
round() {
    name=$1 port=$2 pid=$3 mode=$4
    shift 4
    before=$(ticks "$pid")
    line=$(taskset -c $load_cpu "$load" "$mode" 127.0.0.1 "$port" --payload "$payload" --seconds "$seconds" "$@")
    after=$(ticks "$pid")
    echo "broker=$name $line ticks=$((after - before))" >>"$work/$mode"
    echo "$name $line" >&2
}

# The middle value of a field of one broker's rounds.
median() {
    sed -n "s/^broker=$2 .* $3=\([0-9.]*\).*/\1/p" "$work/$1" | sort -g |
        awk '{ value[NR] = $1 } END { print NR ? (NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2) : 0 }'
}

for mode in $modes; do
    options="--window 10000"
    case $mode in
        # Within what Mosquitto queues for one client as shipped (1,000), so that both brokers deliver everything.
        fanin) options="--window 1000" ;;
        latency) options="--rate $rate --clients 20" ;;
    esac
    index=0
    while [ $index -lt "$rounds" ]; do
        # shellcheck disable=SC2086
        round mosquitto "$mosquitto_port" "$mosquitto_pid" "$mode" $options
        # shellcheck disable=SC2086
        [ -z "$causeway_pid" ] || round causeway "$causeway_port" "$causeway_pid" "$mode" $options
        index=$((index + 1))
    done
done

hertz=$(getconf CLK_TCK)
version=$("$mosquitto" -h | sed -n '1s/.*version //p')
echo
echo "Median of $rounds rounds of $seconds s, $payload-byte payloads, brokers on CPU $broker_cpu, generator on CPU $load_cpu; Mosquitto $version"
echo
echo "| mode | measure | Causeway | Mosquitto | ratio | lost (C / M) |"
echo "|---|---|---:|---:|---:|---:|"
row() {
    awk -v mode="$1" -v measure="$2" -v ours="$3" -v theirs="$4" -v lost="$5" -v digits="$6" 'BEGIN {
        ratio = theirs > 0 && ours > 0 ? sprintf("%.2f", ours / theirs) : "-"
        shape = "%." digits "f"
        printf "| %s | %s | %s | %s | %s | %s |\n", mode, measure, (ours > 0 ? sprintf(shape, ours) : "-"), sprintf(shape, theirs), ratio, lost
    }'
}
for mode in $modes; do
    lost="$(median "$mode" causeway lost) / $(median "$mode" mosquitto lost)"
    if [ "$mode" = latency ]; then
        for field in p50 p99 p999; do
            row "latency at $rate/s" "$field, µs" "$(median latency causeway $field)" "$(median latency mosquitto $field)" "$lost" 1
        done
        # CPU time covers the warm-up second as well.
        per_message() { awk -v ticks="$(median latency "$1" ticks)" -v hz="$hertz" -v n="$rate" -v s="$seconds" 'BEGIN { print ticks / hz / (n * (s + 1)) * 1e6 }'; }
        row "latency at $rate/s" "broker CPU, µs/message" "$(per_message causeway)" "$(per_message mosquitto)" "$lost" 1
    else
        row "$mode" "messages/s" "$(median "$mode" causeway rate)" "$(median "$mode" mosquitto rate)" "$lost" 0
    fi
done
