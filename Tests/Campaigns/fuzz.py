#!/usr/bin/env python3
"""The fuzzers of Tests/Fuzz, one group after the other, and what each has come to.

    make campaign NAME=fuzz                                  two minutes for each of the seven groups
    make campaign NAME=fuzz ARGS="--seconds 3600 core"       an hour for one
    make campaign NAME=fuzz ARGS="--runs 10000000 --jobs 2"  ten million inputs for each, two groups at a time

Counts are libFuzzer's own. They are added up in .build/fuzz.json for as long as nothing under Sources has changed, so
that many short campaigns make a long one. Ends with 1 if an input failed: it is then in Tests/Fixtures/fuzz/<group>,
and `make test` fails with it until it is mended.
"""

import argparse
import concurrent.futures
import hashlib
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOTALS = ROOT / ".build/fuzz.json"
GROUPS = ["packets", "topics", "text", "core", "access", "configuration", "transport"]
DONE = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)
UNITS = re.compile(r"^stat::number_of_executed_units: *(\d+)", re.MULTILINE)


def state():
    """What is fuzzed, as one number: the sources, and the bodies that check them."""
    found = hashlib.sha256()
    bodies = [path for path in (ROOT / "Tests").rglob("*.swift") if path.name.startswith("Fuzz")]
    for path in sorted([*(ROOT / "Sources").rglob("*.swift"), *bodies]):
        if ".build" not in path.parts:
            found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def run(group, options):
    command = ["nice", "-n", "10", ROOT / "Tests/Fuzz/run.sh"]
    if options.seconds:
        command += ["-t", str(options.seconds)]
    if options.runs:
        command += ["-n", str(options.runs)]
    log = ROOT / f".build/logs/fuzz-{group}.log"
    with open(log, "wb") as output:
        process = subprocess.run([*command, group], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    text = log.read_text(errors="replace")
    done, units = DONE.search(text), UNITS.search(text)
    count = int(done[1]) if done else int(units[1]) if units else 0
    return {"runs": count, "seconds": int(done[2]) if done else None, "status": process.returncode, "log": str(log)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", metavar="group", help=" ".join(GROUPS))
    parser.add_argument("--seconds", type=int, help="for each group; 120 unless --runs is given")
    parser.add_argument("--runs", type=int, help="inputs for each group")
    parser.add_argument("--jobs", type=int, default=1, help="groups at a time")
    options = parser.parse_args()
    groups = options.groups or GROUPS
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        parser.error(f"there is no group {unknown[0]}; there are {' '.join(GROUPS)}")
    (ROOT / ".build/logs").mkdir(parents=True, exist_ok=True)
    # All first: builds do not go side by side.
    subprocess.run([ROOT / "Tests/Fuzz/run.sh", "-b", *groups], stdin=subprocess.DEVNULL, check=True)
    now = state()
    totals = json.loads(TOTALS.read_text()) if TOTALS.exists() else {}
    if totals.get("state") != now:
        totals = {"state": now, "runs": {}}
    failed = 0
    print(f"{'group':15}{'runs':>14}{'seconds':>9}{'in all':>14}")
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for group, result in zip(groups, pool.map(lambda group: run(group, options), groups)):
            totals["runs"][group] = totals["runs"].get(group, 0) + result["runs"]
            TOTALS.write_text(json.dumps(totals, indent=2) + "\n")
            seconds = "-" if result["seconds"] is None else result["seconds"]
            verdict = "" if result["status"] == 0 else f"  FAILED, see {result['log']}"
            print(f"{group:15}{result['runs']:14,}{seconds:>9}{totals['runs'][group]:14,}{verdict}", flush=True)
            failed += result["status"] != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
