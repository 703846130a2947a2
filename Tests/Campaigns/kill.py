#!/usr/bin/env python3
"""The kill test for a night: as Tests/Integration/test_kill.py, with ten times the kills unless told otherwise.

    make campaign NAME=kill ARGS="--factor 50"
"""

import argparse
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
KILLS_ONE_RUN = 20


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--factor", type=int, default=10, help="times the twenty kills of the ordinary test")
    parser.add_argument("--seed", help="repeat a run")
    options = parser.parse_args()
    environment = dict(os.environ, KILLS_FACTOR=str(options.factor))
    if options.seed:
        environment["SEED"] = options.seed
    command = [
        sys.executable, "-m", "pytest", "-c", str(ROOT / "Tests/Integration/pytest.ini"), "-s",
        str(ROOT / "Tests/Integration/test_kill.py"),
    ]
    status = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL).returncode
    print(f"{KILLS_ONE_RUN * options.factor} kills: {'nothing lost, nothing twice' if status == 0 else 'FAILED'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
