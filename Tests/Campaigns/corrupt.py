#!/usr/bin/env python3
"""Damage on the disk: bits that flip, blocks of zeros, files cut short, files that change places.

A site with acknowledged messages for a session that is away is killed; its journal is copied, damaged in one place, and
opened by a site. It must start or refuse in words, never die of it; deliver nothing that was not published; and when
something acknowledged is missing, say so. The controls: an undamaged copy misses nothing and reports nothing; and a
checker that is kept from reading the report must object to the loss.

    make campaign NAME=corrupt ARGS="--mutations 300 --seed 1"
"""

import shutil
import time

from faults.evidence import main
from faults.load import Publisher, Subscriber
from faults.peer import Broken, connect_all, run, subscribe_all
from faults.site import FaultSite

FILTERS = [("load/q1/#", 1), ("load/q2/#", 2)]
REPORTS = ("damaged", "lost", "cut off", "cannot", "not a", "unsupported")
MESSAGES = 600
QUIET_SECONDS = 1.0


def flip(random, data):
    at = random.randrange(len(data))
    data[at] ^= 1 << random.randrange(8)


def zero(random, data):
    at = random.randrange(len(data)) & ~4095
    data[at:at + 4096] = bytes(len(data[at:at + 4096]))


def truncate(random, data):
    del data[random.randrange(len(data)):]


def scramble(random, data):
    at = random.randrange(len(data))
    for offset in range(at, min(len(data), at + random.randrange(1, 64))):
        data[offset] = random.randrange(256)


def mutate(random, folder):
    """One change, of a kind drawn at random; returns its name. Written bytes are likelier than the empty rest."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".segment", ".checkpoint", ".id") and path.stat().st_size)
    segments = [path for path in files if path.suffix == ".segment"]
    kind = random.choice([flip, flip, zero, truncate, scramble, "swap", "remove"])
    if kind == "swap" and len(segments) > 1:
        one, other = random.sample(segments, 2)
        spare = folder / "swapping"
        one.rename(spare)
        other.rename(one)
        spare.rename(other)
        return "swap"
    # That the last file of all is gone, nothing in the folder can tell: an earlier one is removed.
    path = random.choice([file for file in files if file != segments[-1]] if kind == "remove" else files)
    if kind == "remove":
        path.unlink()
        return f"remove {path.suffix}"
    if kind == "swap":
        kind = flip
    data = bytearray(path.read_bytes())
    written = len(bytes(data).rstrip(b"\0")) or len(data)
    part = data[:written]
    kind(random, part)
    data = part + (data[written:] if kind is not truncate else b"")
    path.write_bytes(data)
    return f"{kind.__name__} {path.suffix}"


class Damaged:
    """A pristine journal, and sites that open damaged copies of it."""

    def __init__(self, campaign):
        self.campaign = campaign
        self.pristine = campaign.folder / "pristine"
        self.publishers = [Publisher("p1", 1, 4, size=300), Publisher("p2", 2, 5, size=300)]

    def make(self):
        site = FaultSite(self.campaign.binary, "origin", self.campaign.folder / "origin", self.pristine, segment="64KiB")
        sleeper = Subscriber("sleeper", FILTERS)
        try:
            site.start()
            connect_all([sleeper], site.port)
            subscribe_all(sleeper, FILTERS)
            sleeper.leave()
            for life in range(2):
                connect_all(self.publishers, site.port)
                for publisher in self.publishers:
                    publisher.limit = publisher.next + MESSAGES // 2
                run(self.publishers, lambda: all(p.next == p.limit and not p.unanswered for p in self.publishers))
                for publisher in self.publishers:
                    publisher.leave()
                # The first life ends in order, with a checkpoint; the second does not.
                if life == 0:
                    site.stop()
                    site.serve()
                else:
                    site.kill()
        finally:
            site.end_quietly()

    def open(self, number, change):
        """Opens a copy after a change. Returns what was wrong, how many were missing, and whether it was said."""
        name = f"copy-{number}"
        folder = self.campaign.folder / name
        shutil.copytree(self.pristine, folder / "data")
        what = change(folder / "data" / "journal")
        site = FaultSite(self.campaign.binary, name, folder, folder / "data", segment="64KiB")
        sleeper = Subscriber("sleeper", FILTERS)
        refused = False
        try:
            try:
                site.serve(30)
            except (Broken, OSError):
                refused = True
            if refused:
                status = site.process.process.poll()
                self.campaign.check("no crash", status is not None and status >= 0, f"{what}: status {status}")
            else:
                connect_all([sleeper], site.port)
                self.hear(sleeper)
                self.campaign.check("no crash", site.is_running, what)
            log = site.log
        finally:
            site.end_quietly()
            shutil.rmtree(folder, ignore_errors=True)
        found = sleeper.anomalies(self.publishers)
        said = any(word in line for line in log.splitlines() if " error " in line or refused for word in REPORTS) or refused
        self.campaign.count(missing=found["lost"], refused=int(refused), reported=int(said))
        self.campaign.check("nothing damaged is delivered", not found["damaged"] and not found["never_published"], what)
        self.campaign.check("nothing of QoS 2 comes twice", not found["qos2_duplicates"], what)
        return what, found["lost"], said


    def hear(self, sleeper):
        """Takes what the site has, until it has been quiet for a while."""
        total, quiet_since = -1, time.monotonic()
        while time.monotonic() - quiet_since < QUIET_SECONDS and not sleeper.has_all(self.publishers):
            if sleeper.total != total:
                total, quiet_since = sleeper.total, time.monotonic()
            end = time.monotonic() + 0.05
            run([sleeper], lambda: time.monotonic() > end)


def unchanged(folder):
    return "nothing"


def is_silent_loss(lost, said):
    """The check: what is missing must have been reported."""
    return lost > 0 and not said


def body(campaign, options):
    damaged = Damaged(campaign)
    damaged.make()
    what, lost, said = damaged.open(0, unchanged)
    campaign.check("an undamaged journal misses nothing", lost == 0, f"{lost}")
    campaign.check("an undamaged journal reports nothing", not said)
    unreported = 0
    for number in range(1, options.mutations + 1):
        what, lost, said = damaged.open(number, lambda folder: mutate(campaign.random, folder))
        campaign.check("what is missing is reported", not is_silent_loss(lost, said), f"{number}: {what}, {lost} missing")
        unreported += is_silent_loss(lost, False)
        campaign.count(mutations=1)
    campaign.control("loss_without_its_report_is_seen", unreported > 0, f"({unreported} times)")


if __name__ == "__main__":
    main("corrupt", body, [("mutations", 300, "damaged copies")], __doc__)
