#!/usr/bin/env python3
"""EIO and ENOSPC at the nth sync, write or reservation: nothing is acknowledged after it, and nothing before it is lost.

The journal lies on a loop-mounted ext4. strace makes one call fail, without performing it. From the first refusal on no
publisher may be acknowledged, 5.0 gets 0x97, readiness turns within a second; then the file system loses its power, so that
what was not synced is gone, and what was acknowledged must be there. The control lets every sync succeed without being
one. Needs root, for mounting.

    make campaign NAME=eio ARGS="--points 300 --seed 1"
"""

import shutil
import time

from faults.disk import LoopDisk, is_possible as disk_is_possible
from faults.evidence import main
from faults.peer import Broken, connect_all, hear_out, run
from faults.points import Workload, is_possible

# Call, error, and whether it ends the journal for good.
FAULTS = [("fdatasync", "EIO", True), ("pwrite64", "EIO", True), ("fdatasync", "ENOSPC", True),
          ("pwrite64", "ENOSPC", True), ("fallocate", "ENOSPC", False), ("fallocate", "EIO", True), ("fsync", "EIO", True)]
READINESS_SECONDS_MAX = 1.0


def cut_power(load, disk):
    """The disk goes away under the site, and comes back for another; what the account says then."""
    if load.site.is_running:
        load.site.pause()
        hear_out(load.peers)
    disk.shut_down()
    load.site.end_quietly()
    disk.restart()
    return load.settle()


def point(campaign, disk, call, error, number):
    """One failure. Returns whether it came."""
    name = f"{call}-{error}-{number}"
    journal = disk.path / name
    load = Workload(campaign, name, journal, [f"{call}:error={error}:when={number}"])
    try:
        ended = load.run(lives=1)
        is_hit = not ended
        if is_hit and load.site.is_running and any(p.refused_count for p in load.publishers):
            after_refusal(campaign, load, name)
        total = cut_power(load, disk)
    finally:
        load.site.end_quietly()
        shutil.rmtree(journal, ignore_errors=True)
        shutil.rmtree(campaign.folder / name, ignore_errors=True)
    for key, value in total.items():
        campaign.check(f"no {key.replace('_', ' ')}", value == 0, f"{name}: {value}")
    campaign.count(points=1, acknowledged=sum(p.accepted for p in load.publishers), **total)
    if is_hit:
        campaign.count(failures=1, **{f"failures_{call}_{error}": 1})
    return is_hit


def after_refusal(campaign, load, name):
    """The journal has failed: nobody is acknowledged any more, and it is said."""
    begun = time.monotonic()
    status = 200
    while status == 200 and time.monotonic() - begun < 2 * READINESS_SECONDS_MAX:
        status, text = load.site.readiness()
    seconds = time.monotonic() - begun
    campaign.most(readiness_seconds_max=seconds)
    campaign.check("readiness false within a second", status == 503 and seconds < READINESS_SECONDS_MAX, f"{name}: {status}")
    five, four = load.publishers
    accepted = [p.accepted for p in load.publishers]
    refused = five.refused_count
    for publisher in load.publishers:
        publisher.limit = publisher.next
    for _ in range(5):
        five.acknowledged.append(0)
        five.publish(five.topic, b"after", 1, five.next)
        five.next += 1
    run(load.peers, lambda: five.refused_count >= refused + 5, 5, check=False)
    end = time.monotonic() + 0.1
    run(load.peers, lambda: time.monotonic() > end)
    campaign.check("5.0 gets 0x97", five.refused_count >= refused + 5, name)
    campaign.check("nothing is acknowledged after a failure", accepted == [p.accepted for p in load.publishers], name)
    campaign.count(refusals_seen=1)


def control(campaign, disk):
    """Syncs that say they are and are not."""
    load = Workload(campaign, "control", disk.path / "control", ["fdatasync,fsync:retval=0"])
    try:
        load.run(lives=1)
        total = cut_power(load, disk)
    finally:
        load.site.end_quietly()
    campaign.control("syncs_that_lie_lose", total["lost"] > 0, str(total))


def body(campaign, options):
    reason = is_possible() or disk_is_possible()
    if reason:
        raise SystemExit(f"eio: {reason}")
    with LoopDisk(campaign.folder / "disk", "ext4", 256) as disk:
        control(campaign, disk)
        share = max(1, options.points // len(FAULTS))
        for call, error, _ in FAULTS:
            misses = 0
            for number in range(1, share + 1):
                misses = 0 if point(campaign, disk, call, error, number) else misses + 1
                # A reservation that fails once is made a second later: it need not be noticed.
                if misses > 3:
                    break
            campaign.say(f"{call} {error}: up to {number}")
    campaign.check("failed syncs were seen", campaign.counts.get("failures_fdatasync_EIO"))


if __name__ == "__main__":
    main("eio", body, [("points", 300, "failures")], __doc__)
