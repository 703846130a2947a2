#!/usr/bin/env python3
"""Power cuts: what was acknowledged before the file system lost everything unsynced is there when it comes back.

The journal lies on a loop-mounted ext4 or xfs. A cut stops the site (SIGSTOP), takes what it had already said, shuts the
file system down without flushing its log, kills the site, and mounts again: only what was synced is left. Load, sessions
and comparison are those of kill.py. The control is the same under eatmydata, which turns every sync into nothing: it must
be seen to lose. Needs root, for mounting.

    make campaign NAME=power ARGS="--rounds 100 --seed 1"
"""

import signal

from faults.disk import LoopDisk, is_possible
from faults.evidence import main
from faults.peer import Broken, connect_all, hear_out, run, subscribe_all
from faults.load import Publisher, Subscriber
from faults.rounds import FILTERS, Rounds
from faults.site import FaultSite


class PowerRounds(Rounds):
    """Rounds that end with the file system's power."""

    def __init__(self, campaign, options, disk):
        site = FaultSite(campaign.binary, f"{disk.kind}-site", campaign.folder / f"{disk.kind}-site", disk.path / "data")
        super().__init__(campaign, options, site)
        self.disk = disk

    def cut(self):
        cut(self.site, self.disk, self.publishers + self.online)

    def restart(self):
        self.disk.restart()
        return self.site.serve()


def cut(site, disk, talkers):
    """Stops everything at one instant; what had been said until then was said."""
    site.process.signal(signal.SIGSTOP)
    hear_out(talkers)
    disk.shut_down()
    site.kill()


def control_without_sync(campaign, disk, cuts=2):
    """The same cut where no sync is a sync. Loss must be seen, be it of messages or of the whole journal."""
    site = FaultSite(
        campaign.binary, "eatmydata-site", campaign.folder / "eatmydata-site", disk.path / "control",
        prefix=["eatmydata"],
    )
    subscriber, publisher = Subscriber("offline", []), Publisher("a1", 1)
    lost = 0
    try:
        for _ in range(cuts):
            site.start()
            connect_all([subscriber], site.port)
            subscribe_all(subscriber, FILTERS)
            subscriber.leave()
            connect_all([publisher], site.port)
            mark = publisher.accepted + 500
            run([publisher], lambda: publisher.accepted >= mark)
            cut(site, disk, [publisher])
            publisher.drop()
            disk.restart()
            try:
                site.serve()
                connect_all([subscriber], site.port)
                run([subscriber], lambda: subscriber.has_all([publisher]), 2, check=False)
                subscriber.drop()
            except Broken:
                pass
            lost = len(subscriber.lacks(publisher))
            site.end_quietly()
            publisher.unanswered.clear()
    finally:
        site.end_quietly()
    campaign.control(f"eatmydata_on_{disk.kind}_loses", lost > 0, f"({lost} of {publisher.accepted} lost)")
    campaign.count(control_lost=lost, control_acknowledged=publisher.accepted)


def body(campaign, options):
    reason = is_possible()
    if reason:
        raise SystemExit(f"power: {reason}")
    for kind in ("ext4", "xfs"):
        with LoopDisk(campaign.folder / f"{kind}-disk", kind, options.megabytes) as disk:
            PowerRounds(campaign, options, disk).play(options.rounds)
            control_without_sync(campaign, disk)


if __name__ == "__main__":
    main("power", body, [
        ("rounds", 100, "cuts on each of ext4 and xfs"), ("megabytes", 2048, "size of each file system"),
        ("queued", 1_000_000, "messages queued for a session that is away"),
    ], __doc__)
