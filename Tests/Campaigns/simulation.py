#!/usr/bin/env python3
"""Whole sites by seeds (ADR 0018), many of them, on all cores: what `make test` runs with few.

    make campaign NAME=simulation ARGS="--seeds 50000"

Writes .build/evidence/simulation.json; ends with 1 if an invariant was broken or a planted fault was not noticed.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHUNK = 500


def run(product, first, seeds, steps):
    report = ROOT / f".build/evidence/simulation-{first}.json"
    command = [product, "--first", str(first), "--seeds", str(seeds), "--json", str(report)]
    if steps:
        command += ["--steps", str(steps)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True), report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50_000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--steps", type=int, help="events of each world before it comes to rest")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--product", help="a causeway-sim that is built already")
    options = parser.parse_args()
    product = options.product
    if not product:
        build = ["swift", "build", "-c", "release", "--product", "causeway-sim"]
        subprocess.run(build, cwd=ROOT, stdin=subprocess.DEVNULL, check=True)
        product = str(ROOT / ".build/release/causeway-sim")
    (ROOT / ".build/evidence").mkdir(parents=True, exist_ok=True)
    ends = options.first + options.seeds
    chunks = [(first, min(CHUNK, ends - first)) for first in range(options.first, ends, CHUNK)]
    running, reports = [], []
    broken = False
    while chunks or running:
        while chunks and len(running) < options.jobs:
            running.append(run(product, *chunks.pop(0), options.steps))
        process, report = running.pop(0)
        output, _ = process.communicate()
        print(output, end="", flush=True)
        broken = broken or process.returncode != 0
        reports.append(json.loads(report.read_text()))
        report.unlink()
    controls = subprocess.run([product, "--controls", "--seeds", "200"], stdin=subprocess.DEVNULL, text=True,
                              capture_output=True)
    print(controls.stdout, end="")
    totals = {}
    for report in reports:
        for name, count in report["totals"].items():
            totals[name] = totals.get(name, 0) + count
    evidence = {
        "campaign": "simulation",
        "first": options.first,
        "seeds": sum(report["seeds"] for report in reports),
        "totals": totals,
        "violations": [violation for report in reports for violation in report["violations"]],
        "controls": controls.stdout.splitlines(),
    }
    path = ROOT / ".build/evidence/simulation.json"
    path.write_text(json.dumps(evidence, indent=1) + "\n")
    print(f"{evidence['seeds']} seeds, {len(evidence['violations'])} violations, {path}")
    return 1 if broken or controls.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
