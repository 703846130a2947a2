#!/usr/bin/env python3
"""Random sequences of users, rules and messages against a naive oracle, apart from the other attacks.

    CAUSEWAY=.build/release/causeway Tests/Attacks/access_oracle.py            # 2,000 sequences
    CAUSEWAY=… Tests/Attacks/access_oracle.py --short --seed 7                 # 100, as in `make test`
"""

import argparse
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="100 sequences")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    environment = dict(os.environ)
    if options.seed is not None:
        environment["SEED"] = str(options.seed)
    command = [sys.executable, "-m", "pytest", "-c", str(HERE / "pytest.ini"), str(HERE / "test_access_oracle.py")]
    command += [] if options.short else ["--campaign"]
    sys.exit(subprocess.run(command, env=environment).returncode)


if __name__ == "__main__":
    main()
