"""What is measured: the rows of the table, each with the load behind it and what it has to reach."""

import dataclasses
import json
import re
import subprocess
import typing

import connections
from brokers import LOAD_CPU, Failure, pin


@dataclasses.dataclass(frozen=True)
class Goal:
    """What a figure has to reach: `ours` or its `ratio` to Mosquitto's, at least or at most a value."""

    of: str
    comparison: str
    value: float

    def __str__(self):
        sign = "≥" if self.comparison == "at least" else "≤"
        return f"{sign} {self.value:,.10g}" + (" ×" if self.of == "ratio" else "")

    def is_met(self, ours, ratio):
        value = ratio if self.of == "ratio" else ours
        if value is None:
            return None
        return value >= self.value if self.comparison == "at least" else value <= self.value


def at_least(value, of="ratio"):
    return Goal(of, "at least", value)


def at_most(value, of="ratio"):
    return Goal(of, "at most", value)


@dataclasses.dataclass(frozen=True)
class Metric:
    key: str
    title: str
    goals: tuple = ()
    digits: int = 0


@dataclasses.dataclass(frozen=True)
class Load:
    """One load with its figures. `measure(bench, broker)` runs it once and returns them by key, and `lost`."""

    name: str
    title: str
    measure: typing.Callable
    metrics: tuple
    mosquitto: str = ""
    needs_tls: bool = False
    fresh: bool = False
    rounds_max: int = 1_000
    is_long: bool = False
    with_mosquitto: bool = True


NUMBER = re.compile(r"(\w+)=([0-9.]+)(?:\s|$)")


def broker_load(bench, broker, mode, *options, seconds=None):
    """Runs the C generator on its CPU; returns the numbers of its line and the broker's processor time."""
    command = [
        bench.generator, mode, "127.0.0.1", str(broker.port), "--seconds", str(seconds or bench.seconds),
        *map(str, options),
    ]
    before = broker.processor_seconds()
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=pin(LOAD_CPU))
    if done.returncode != 0:
        raise Failure(f"{broker.name}: {' '.join(command)}: {done.stderr.strip()} {broker.log()}")
    numbers = {key: float(value) for key, value in NUMBER.findall(done.stdout)}
    numbers["processor"] = broker.processor_seconds() - before
    return numbers


def throughput(mode, *options):
    """As fast as it goes. What a second of the broker's CPU delivers says the same on a machine that others use too."""
    def measure(bench, broker):
        numbers = broker_load(bench, broker, mode, *options)
        if "total" in numbers:
            numbers["per_cpu"] = numbers["total"] / numbers["processor"]
        return numbers

    return measure


WARMUP_SECONDS = 1


def paced(rate, qos):
    """20 pairs at a fixed rate in an open loop: latency counts from the moment a message was due."""
    def measure(bench, broker):
        options = ("--rate", rate, "--clients", 20, "--qos", qos, "--warmup", WARMUP_SECONDS)
        numbers = broker_load(bench, broker, "latency", *options)
        numbers["cpu"] = numbers["processor"] / (rate * (bench.seconds + WARMUP_SECONDS)) * 1e6
        return numbers

    return measure


def swift_generator(bench, broker, mode, *options):
    """Runs `causeway bench` on the generator's CPU; returns its JSON and the broker's processor time."""
    command = [
        bench.causeway, "bench", mode, "--port", str(broker.tls_port), "--cafile", bench.tls["ca"], "--json", "-",
        *map(str, options),
    ]
    before = broker.processor_seconds()
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=pin(LOAD_CPU))
    # Figures come with status 1 as well, where connections were lost.
    if done.returncode not in (0, 1) or not done.stdout:
        raise Failure(f"{broker.name}: {' '.join(command)}: {done.stderr.strip()} {broker.log()}")
    return json.loads(done.stdout), broker.processor_seconds() - before


TLS_PAYLOAD_BYTES = 16_384
STORM_CLIENTS = 10_000


def tls_throughput(bench, broker):
    """Payload bytes that pass through, for each second of broker CPU: the generator encrypts and decrypts as much as
    the broker, so by the clock it would be measured as well."""
    options = ("--clients", 10, "--payload", TLS_PAYLOAD_BYTES, "--window", 200, "--rounds", 1, "--warmup", 0)
    figures, processor = swift_generator(bench, broker, "pairs", *options, "--seconds", bench.seconds)
    measured = figures["rounds"][0]
    megabytes = measured["count"] * TLS_PAYLOAD_BYTES / 1e6
    return {
        "per_cpu": megabytes / processor, "per_second": megabytes / measured["seconds"], "lost": measured["lost"],
        "busy": measured["generatorBusy"],
    }


def storm(bench, broker):
    """10,000 idle TLS clients go without a word and come back at once, each as a device does: again after a while."""
    figures, processor = swift_generator(
        bench, broker, "connections", "--clients", STORM_CLIENTS, "--storms", 1, "--idle", 2, "--deadline", 120
    )
    wave = figures["storms"][0]
    return {
        "seconds": wave["seconds"], "dropped": wave["dropped"] + figures["lostWhileIdle"], "retries": wave["retries"],
        "first": figures["first"]["seconds"], "processor": processor,
    }


def match_cost(bench, broker):
    """The core alone, by `hot-paths match`: no broker takes part."""
    if not bench.hot_paths:
        raise Failure("HOT_PATHS names no binary")
    done = subprocess.run([bench.hot_paths, "match", "--json"], capture_output=True, text=True, preexec_fn=pin(LOAD_CPU))
    if done.returncode != 0:
        raise Failure(f"hot-paths match: {done.stderr}")
    cost = {figure["subscriptions"]: figure["nanoseconds"] for figure in json.loads(done.stdout)}
    return {"small": cost[1_000], "large": cost[100_000], "growth": cost[100_000] / cost[1_000]}


RATE = "messages/s"
PER_CPU = Metric("per_cpu", "for each second of broker CPU")

LOADS = (
    Load(
        "pairs", "QoS 0, 10 one-to-one pairs, 64 B, 2,000 in flight over all",
        throughput("pairs", "--clients", 10, "--payload", 64, "--window", 2000),
        (Metric("rate", RATE, (at_least(12),)), PER_CPU),
    ),
    Load(
        # Within what Mosquitto queues for one client as shipped (1,000), so that both brokers deliver everything.
        "fan-in", "QoS 0, fan-in 50 → 1, 64 B, 1,000 in flight over all",
        throughput("fanin", "--clients", 50, "--payload", 64, "--window", 1000),
        (Metric("rate", RATE, (at_least(10),)), PER_CPU),
    ),
    Load(
        "fan-out", "QoS 0, fan-out 1 → 50, 64 B, 10,000 deliveries in flight over all",
        throughput("fanout", "--clients", 50, "--payload", 64, "--window", 10000),
        (Metric("rate", "deliveries/s", (at_least(15),)), PER_CPU),
    ),
    Load(
        "qos1-pairs", "QoS 1, 10 pairs, clean sessions, 64 B, 200 in flight over all",
        throughput("pairs", "--qos", 1, "--clients", 10, "--payload", 64, "--window", 200),
        (Metric("rate", RATE, (at_least(7),)), PER_CPU),
    ),
    Load(
        "qos1-many", "QoS 1, 50 pairs, clean sessions, 256 B, 20 in flight for each client",
        throughput("pairs", "--qos", 1, "--clients", 50, "--payload", 256, "--inflight", 20),
        (Metric("rate", RATE, (at_least(7),)), PER_CPU),
    ),
    Load(
        "persistent",
        "QoS 1 into an offline persistent session, 50 publishers × 20 in flight, 64 B, acknowledged after fdatasync "
        "(Mosquitto: in memory, without durability)",
        throughput("persistent", "--clients", 50, "--payload", 64, "--inflight", 20),
        (Metric("rate", "acknowledged/s", (at_least(100_000, "ours"), at_least(1.5))),),
        mosquitto="max_queued_messages 0",
    ),
    Load(
        "latency-qos1", "Latency at 2,000 messages/s, QoS 1, 20 pairs (Mosquitto with `set_tcp_nodelay true`)",
        paced(2_000, 1),
        (Metric("p50", "p50, µs", (at_most(1),), 1), Metric("p99", "p99, µs", (at_most(1),), 1)),
        mosquitto="set_tcp_nodelay true",
    ),
    Load(
        "latency-qos0", "Latency at 20,000 messages/s, QoS 0, 20 pairs (Mosquitto with `set_tcp_nodelay true`)",
        paced(20_000, 0),
        (
            Metric("p50", "p50, µs", (at_most(1),), 1), Metric("p99", "p99, µs", (at_most(1),), 1),
            Metric("cpu", "broker CPU, µs a message", (at_most(1),), 1),
        ),
        mosquitto="set_tcp_nodelay true",
    ),
    Load(
        "cpu", "Broker CPU at 20,000 messages/s over 20 publishers, QoS 0 (Mosquitto as shipped, which delays small writes)",
        paced(20_000, 0),
        (Metric("cpu", "broker CPU, µs a message", (at_most(1),), 1),),
    ),
    Load(
        "wildcards",
        "Finding the subscribers of a topic, one of ten subscriptions with `+` or `#` (the subscription tree alone)",
        match_cost,
        (
            Metric("small", "ns among 1,000 subscriptions"), Metric("large", "ns among 100,000 subscriptions"),
            Metric("growth", "growth", (at_most(2, "ours"),), 2),
        ),
        with_mosquitto=False,
    ),
    Load(
        "tls-handshake", "TLS 1.3, ECDSA P-256: full handshakes with CONNECT and CONNACK",
        connections.handshakes(resumed=False),
        (Metric("per_second", "for each second of broker CPU", (at_least(1),)),),
        needs_tls=True,
    ),
    Load(
        "tls-resumed", "TLS 1.3: resumed handshakes with CONNECT and CONNACK",
        connections.handshakes(resumed=True),
        (Metric("per_second", "for each second of broker CPU", (at_least(1),)),),
        needs_tls=True,
    ),
    Load(
        "tls-throughput", "TLS 1.3, QoS 0, 10 pairs, 16 KiB payloads",
        tls_throughput,
        (Metric("per_cpu", "MB for each second of broker CPU", (at_least(1),)), Metric("per_second", "MB/s")),
        needs_tls=True,
    ),
    Load(
        "storm", "10,000 idle TLS clients lose their connections and come back at once",
        storm,
        (
            Metric("dropped", "clients not back", (at_most(0, "ours"),)),
            Metric("seconds", "seconds until all are back", (at_most(60, "ours"),), 1),
        ),
        needs_tls=True, fresh=True, rounds_max=1,
    ),
    Load(
        "memory", "1,000 idle connections, plain and TLS",
        connections.idle_memory,
        (
            Metric("base", "RSS without connections, MB", (at_most(40, "ours"),), 1),
            Metric("plain", "KiB for each plain connection", (at_most(6, "ours"),), 1),
            Metric("tls", "KiB for each TLS connection", (at_most(40, "ours"),), 1),
        ),
        needs_tls=True, fresh=True, rounds_max=3,
    ),
)
