#!/usr/bin/env python3
"""Random sequences of users, rules and messages against a naive oracle, apart from the other attacks.

    CAUSEWAY=.build/release/causeway Tests/Attacks/access_oracle.py                     # 2,000 sequences
    CAUSEWAY=… Tests/Attacks/access_oracle.py --sequences 60 --seed 7                   # 60, as in `make test`
    CAUSEWAY=… Tests/Attacks/access_oracle.py --parts 4 >oracle.log                     # four at a time

Half of them have an ACL file, half dynamic security. Each part has a seed of its own and says it.
"""

import argparse
import os
import pathlib
import random
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def start(seed, sequences):
    """One part: sequences of both kinds, with a broker of its own."""
    command = [
        sys.executable, "-m", "pytest", "-c", HERE / "pytest.ini", HERE / "test_access_oracle.py",
        "--report", f"access-oracle-{seed}", "--sequences", str(sequences),
    ]
    return subprocess.Popen(command, env={**os.environ, "SEED": str(seed)})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=2_000, help="of all parts together")
    parser.add_argument("--parts", type=int, default=1, help="how many run at a time")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="of the first part")
    options = parser.parse_args()
    each = -(-options.sequences // (2 * options.parts))
    parts = [start(options.seed + number, each) for number in range(options.parts)]
    sys.exit(max(part.wait() for part in parts))


if __name__ == "__main__":
    main()
