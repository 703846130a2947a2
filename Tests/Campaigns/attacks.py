#!/usr/bin/env python3
"""The attacks with full counts, first against the site, then (with --compare) against stock mosquitto.

    make campaign NAME=attacks
    make campaign NAME=attacks ARGS="--only test_c3 --seed 7"

The reports are .build/attacks.json and .build/attacks-mosquitto.json; `python -m attack.table` in Tests/Attacks writes
Docs/Attacks.md from them. Ends with pytest's status for the site.
"""

import argparse
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(options, *more):
    command = [
        sys.executable, "-m", "pytest", "-c", ROOT / "Tests/Attacks/pytest.ini", ROOT / "Tests/Attacks", "--campaign",
        *more,
    ]
    if options.only:
        command += ["-k", options.only]
    environment = dict(os.environ)
    if options.seed is not None:
        environment["SEED"] = str(options.seed)
    return subprocess.run([str(word) for word in command], env=environment, cwd=ROOT).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="tests whose names match, as pytest's -k")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--compare", action="store_true", help="stock mosquitto as well, for the table")
    options = parser.parse_args()
    status = run(options)
    if options.compare:
        # What mosquitto does differently is the result, not a failure of this campaign.
        run(options, "--broker", "mosquitto")
    sys.exit(status)


if __name__ == "__main__":
    main()
