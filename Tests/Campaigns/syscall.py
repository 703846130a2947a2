#!/usr/bin/env python3
"""SIGKILL at the nth write, sync, rename, removal or reservation of a scripted workload, for every n.

The workload rolls segments, is ended in order (which writes a checkpoint and lets segments go) and lives a second time.
strace kills the site as it enters the nth such call of a thread; n counts up until the workload comes to its end. After
every kill the site starts again, every client ends what was open, and what was acknowledged is compared. The control is a
site whose journal is emptied before it starts again.

    make campaign NAME=syscall ARGS="--points 500"
"""

import shutil

from faults.evidence import main
from faults.points import Workload, is_possible

CALLS = ["fdatasync", "pwrite64", "rename", "fsync", "unlink", "fallocate", "ftruncate"]


def point(campaign, call, number):
    """One kill. Returns whether the call came at all."""
    name = f"{call}-{number}"
    load = Workload(campaign, name, campaign.folder / f"{name}-data", [f"{call}:signal=SIGKILL:when={number}"])
    try:
        ended = load.run()
        total = load.settle()
    finally:
        load.site.end_quietly()
        shutil.rmtree(campaign.folder / f"{name}-data", ignore_errors=True)
        shutil.rmtree(campaign.folder / name, ignore_errors=True)
    for key, value in total.items():
        campaign.check(f"no {key.replace('_', ' ')}", value == 0, f"{name}: {value}")
    campaign.count(points=1, acknowledged=sum(p.accepted for p in load.publishers), **total)
    if not ended:
        campaign.count(kills=1, **{f"kills_{call}": 1})
    return not ended


def control(campaign):
    load = Workload(campaign, "control", campaign.folder / "control-data", [])
    try:
        load.run(lives=1)
        load.site.kill()
        shutil.rmtree(campaign.folder / "control-data")
        total = load.settle()
    finally:
        load.site.end_quietly()
    campaign.control("an_emptied_journal_is_seen", total["lost"] > 0 and total["sessions_missing"] > 0, str(total))


def body(campaign, options):
    reason = is_possible()
    if reason:
        raise SystemExit(f"syscall: {reason}")
    control(campaign)
    left = options.points
    for call in CALLS:
        number = 0
        misses = 0
        # Threads differ a little from run to run: two misses in a row are the end.
        while left > 0 and misses < 2 and number < options.each:
            number += 1
            left -= 1
            misses = 0 if point(campaign, call, number) else misses + 1
        campaign.say(f"{call}: up to {number}")
    campaign.check("every kind of call was killed at", all(campaign.counts.get(f"kills_{c}") for c in CALLS[:3]))


if __name__ == "__main__":
    main("syscall", body, [("points", 500, "kills at most"), ("each", 200, "kills of each call at most")], __doc__)
