"""The fault campaigns in a short form: each with its control, which must be seen, and its seed (SEED=…) in the output.

Tests/Campaigns has the same code with full counts; Docs/Durability.md says what each one promises.
"""

import importlib
import os
import pathlib
import random
import sys
from types import SimpleNamespace

import pytest

CAMPAIGNS = pathlib.Path(__file__).resolve().parents[1] / "Campaigns"
sys.path.insert(0, str(CAMPAIGNS))

from faults import disk, points  # noqa: E402
from faults.evidence import Campaign  # noqa: E402

SHORT = {
    "kill": {"rounds": 4, "queued": 20_000},
    "power": {"rounds": 3, "queued": 5_000, "megabytes": 512},
    "syscall": {"points": 9, "each": 3},
    "eio": {"points": 14},
    "corrupt": {"mutations": 10},
    "diskfull": {"cycles": 2, "megabytes": 64},
    "qos2": {"each": 2},
    "history": {"messages": 5_000, "cuts": 5.0, "kills": 1},
    "recovery": {"messages": 20_000, "sessions": 200},
    "upgrade": {"restarts": 3},
    "memory": {"messages": 10_000},
    "clock": {"steps": 3},
}


def reason_not_to(name):
    """Why a campaign cannot run here. Faults of disks and memory need root; a checkout on a laptop may lack it."""
    if name in ("power", "eio", "diskfull") and disk.is_possible():
        return disk.is_possible()
    if name in ("syscall", "eio") and points.is_possible():
        return points.is_possible()
    if name == "memory" and (os.geteuid() != 0 or not pathlib.Path("/sys/fs/cgroup/memory/cgroup.procs").exists()):
        return "needs root and a memory cgroup of version 1"
    return None


@pytest.mark.parametrize("name", SHORT)
def test_a_campaign_of_faults_in_its_short_form(name, causeway, tmp_path, monkeypatch):
    reason = reason_not_to(name)
    if reason:
        pytest.skip(reason)
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"seed {seed}")
    campaign = Campaign(name, seed, causeway, tmp_path)
    importlib.import_module(name).body(campaign, SimpleNamespace(**SHORT[name]))
    # How fast a debug build is on a machine that does other things too says nothing; the campaign judges that.
    checks = {check: holds for check, holds in campaign.checks.items() if not check.startswith(("serving within", "others"))}
    assert checks and all(checks.values()), checks
    assert campaign.controls and all(campaign.controls.values()), f"a control saw nothing: {campaign.controls}"
