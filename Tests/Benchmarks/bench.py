#!/usr/bin/env python3
"""Causeway against Debian's Mosquitto, from the same run: `run.sh` builds the generator and calls this.

Brokers run on CPU 0, generators on CPU 1. Rounds alternate between the brokers and the median counts, so that a noisy
neighbour hits both alike. Both listen on 127.0.0.1 and let everyone in; Mosquitto keeps nothing on disk, Causeway runs
with its journal as configured by default: what it acknowledges is on disk.

    bench.py [--list] [--long] [--json FILE] [LOAD...]

CAUSEWAY is the binary (without it only Mosquitto is measured), GENERATOR that of broker-load, HOT_PATHS that of
hot-paths, ROUNDS the rounds for each broker and load (5), SECONDS_EACH the seconds of a round (3).
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

import loads
import report
from brokers import BROKER_CPU, LOAD_CPU, Causeway, Failure, Mosquitto

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Bench:
    """The settings of a run, and the files it shares."""

    def __init__(self, work):
        self.work = pathlib.Path(work)
        self.causeway = os.environ.get("CAUSEWAY")
        self.generator = os.environ["GENERATOR"]
        self.hot_paths = os.environ.get("HOT_PATHS")
        self.rounds = int(os.environ.get("ROUNDS", "5"))
        self.seconds = float(os.environ.get("SECONDS_EACH", "3"))
        self.tls = self.make_certificates()

    def make_certificates(self):
        """An authority and a certificate for localhost, ECDSA P-256, by openssl: no broker's own tool."""
        folder = self.work / "tls"
        folder.mkdir()
        files = {name: str(folder / name) for name in ("ca", "ca.key", "cert", "key", "request", "names")}
        (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        for arguments in (
            ["req", "-x509", *curve, "-keyout", files["ca.key"], "-out", files["ca"], "-days", "30", "-subj", "/CN=Bench CA"],
            ["req", *curve, "-keyout", files["key"], "-out", files["request"], "-subj", "/CN=localhost"],
            ["x509", "-req", "-in", files["request"], "-CA", files["ca"], "-CAkey", files["ca.key"], "-set_serial", "1",
             "-days", "30", "-extfile", files["names"], "-out", files["cert"]],
        ):
            subprocess.run(["openssl", *arguments], check=True, capture_output=True)
        return files

    def brokers(self, load):
        """The brokers of a load, made anew for each, not started."""
        tls = self.tls if load.needs_tls else None
        made = []
        if load.with_mosquitto:
            made.append(Mosquitto(tempfile.mkdtemp(dir=self.work) + "/m", extra=load.mosquitto, tls=tls))
        if self.causeway:
            made.append(Causeway(tempfile.mkdtemp(dir=self.work) + "/c", self.causeway, tls=tls))
        return made

    def run(self, load):
        """All rounds of a load: a list of figures for each broker."""
        rounds = {}
        count = min(self.rounds, load.rounds_max)

        def one_round(broker):
            figures = load.measure(self, broker)
            rounds.setdefault(broker.name, []).append(figures)
            shown = " ".join(f"{key}={value:.1f}" for key, value in figures.items() if isinstance(value, (int, float)))
            print(f"{load.name} {broker.name} {shown}", file=sys.stderr, flush=True)

        if load.fresh:
            for _ in range(count):
                for broker in self.brokers(load):
                    with broker:
                        one_round(broker)
            return rounds
        made = self.brokers(load)
        started = []
        try:
            for broker in made:
                started.append(broker.start())
            for _ in range(count):
                for broker in started:
                    one_round(broker)
        finally:
            for broker in started:
                broker.stop()
            for broker in made:
                shutil.rmtree(broker.folder, ignore_errors=True)
        return rounds


def summary(load, rounds):
    """Medians, ratio and goals of a load, as they are written into the JSON."""
    def values(broker, key):
        return [figures[key] for figures in rounds.get(broker, []) if key in figures]

    def median(broker, key):
        found = values(broker, key)
        return statistics.median(found) if found else None

    metrics = []
    for metric in load.metrics:
        ours, theirs = median("causeway", metric.key), median("mosquitto", metric.key)
        ratio = ours / theirs if ours is not None and theirs else None
        metrics.append({
            "key": metric.key, "title": metric.title, "digits": metric.digits, "causeway": ours, "mosquitto": theirs,
            "ratio": ratio, "rounds": {broker: values(broker, metric.key) for broker in rounds},
            "goals": [{"goal": str(goal), "met": goal.is_met(ours, ratio)} for goal in metric.goals],
        })
    return {
        "name": load.name, "title": load.title, "metrics": metrics,
        "lost": {broker: sum(values(broker, "lost")) for broker in rounds},
        "generator_busy": {broker: median(broker, "busy") for broker in rounds},
    }


def processor_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def describe(bench):
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {
        "begun": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "processor": processor_name(), "cpus": os.cpu_count(), "kernel": platform.release(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "load_average_before": os.getloadavg()[0],
        },
        "versions": {
            "causeway": Causeway.version(bench.causeway) if bench.causeway else None,
            "commit": commit.stdout.strip() or None, "mosquitto": Mosquitto.version(), "python": platform.python_version(),
        },
        "settings": {
            "rounds": bench.rounds, "seconds_each": bench.seconds, "broker_cpu": BROKER_CPU, "load_cpu": LOAD_CPU,
        },
    }


def main():
    parser = argparse.ArgumentParser(description="Causeway against Mosquitto on this machine.")
    parser.add_argument("loads", nargs="*", metavar="LOAD", help="the loads to run; all but the long ones without")
    parser.add_argument("--list", action="store_true", help="name the loads")
    parser.add_argument("--long", action="store_true", help="the long ones too")
    parser.add_argument("--json", default=str(ROOT / ".build/bench.json"), help="where the figures go")
    options = parser.parse_args()
    if options.list:
        for load in loads.LOADS:
            print(f"{load.name:16} {load.title}{' (long)' if load.is_long else ''}")
        return 0
    unknown = set(options.loads) - {load.name for load in loads.LOADS}
    if unknown:
        parser.error(f"no such load: {', '.join(sorted(unknown))}; --list names them")
    chosen = [
        load for load in loads.LOADS
        if (load.name in options.loads if options.loads else options.long or not load.is_long)
    ]
    # 10,000 connections, here and in the brokers and generators that inherit it.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Beside the build, which is on a disk: a journal in memory would say nothing of durable writes.
    build = ROOT / ".build"
    build.mkdir(exist_ok=True)
    work = tempfile.mkdtemp(prefix="bench-", dir=build)
    failed = []
    try:
        bench = Bench(work)
        result = describe(bench)
        result["loads"] = []
        for load in chosen:
            try:
                result["loads"].append(summary(load, bench.run(load)))
            except Failure as failure:
                failed.append(f"{load.name}: {failure}")
                print(f"failed: {failed[-1]}", file=sys.stderr, flush=True)
        if bench.hot_paths and not options.loads:
            table = str(ROOT / "Tests/HotPaths/allocations.json")
            counted = subprocess.run([bench.hot_paths, "allocations", table], capture_output=True, text=True)
            result["allocations"] = counted.stdout.splitlines()
            if counted.returncode != 0:
                failed.append("allocations: " + counted.stdout)
        result["failed"] = failed
    finally:
        shutil.rmtree(work, ignore_errors=True)
    path = pathlib.Path(options.json)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(report.text(result))
    print(f"\n{path}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
