#!/usr/bin/env python3
"""A wall clock that jumps by up to three days, forth and back: keep alive and expiry do not care.

The site runs under faketime with a wall clock that a file sets and a monotonic clock left alone. Clients with a keep alive
of two seconds ping every half second while the clock is stepped; none may be cut off. A message that expires in an hour
must be given to a session that comes a moment later although three days have passed on the wall; one that expires in a
second must not be given after two. A restart in between must lose nothing. The control lets the monotonic clock jump too,
where keep alive must cut somebody off.

    make campaign NAME=clock ARGS="--steps 12 --seed 1"
"""

import glob
import shutil
import time

from faults.evidence import main
from faults.load import Publisher, Subscriber, payload
from faults.peer import Peer, connect_all, run, subscribe_all
from faults.rounds import wait_while_coming
from faults.site import FaultSite
from support.wire import connect, packet, text

DAY_SECONDS = 86_400


class Pinger(Peer):
    """A client with a keep alive of two seconds that keeps it."""

    def __init__(self, name, version):
        super().__init__(name, version, True)
        self.last = 0.0

    def _connect(self):
        return connect(self.name, self.version, 0x02, 2)

    def fill(self):
        now = time.monotonic()
        if now - self.last > 0.5:
            self.last = now
            self.ping()


class Sender(Peer):
    """Publishes with an expiry."""

    def send(self, name, number, seconds):
        identifier = self._identifier()
        head = text(f"load/{name}") + identifier.to_bytes(2, "big") + b"\x05\x02" + seconds.to_bytes(4, "big")
        self.unanswered[identifier] = [2, head + payload(name, number, 0), 1, number, False]
        self._send(packet(0x32, head + payload(name, number, 0)))


class Wall:
    """A site under faketime, and the file that says what its wall clock says."""

    def __init__(self, campaign, name, fakes_monotonic):
        self.file = campaign.folder / f"{name}.time"
        self.set(0)
        library = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")[0]
        environment = {
            "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
        }
        if not fakes_monotonic:
            environment["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
        # Through env: libfaketime moves the environment of the first process it is in, where Swift looks for arguments.
        self.site = FaultSite(campaign.binary, name, campaign.folder / name, prefix=["env"], environment=environment)

    def set(self, seconds):
        self.file.write_text(f"{seconds:+d}\n")


def body(campaign, options):
    if not shutil.which("faketime"):
        raise SystemExit("clock: faketime is not installed")
    wall = Wall(campaign, "clock-site", False)
    site = wall.site
    pingers = [Pinger(f"ping{n}", 4 + n % 2) for n in range(6)]
    sleeper, sender = Subscriber("sleeper", [], 5), Sender("sender", 5)
    publisher = Publisher("steady", 1, 4)
    lasting, short = 0, 0
    try:
        site.start()
        connect_all([sleeper], site.port)
        subscribe_all(sleeper, [("load/#", 1)])
        connect_all([*pingers, sender, publisher], site.port)
        everybody = [*pingers, sender, publisher]
        for step in range(options.steps):
            sleeper.leave()
            sender.send("lasting", lasting, 3600)
            sender.send("short", short, 1)
            lasting, short = lasting + 1, short + 1
            run(everybody, lambda: not sender.unanswered, what="PUBACK")
            jump = campaign.random.choice([-3 * DAY_SECONDS, 3 * DAY_SECONDS, -3600, 3600, 1, -1])
            wall.set(jump)
            end = time.monotonic() + 2.5
            run(everybody, lambda: time.monotonic() > end)
            dropped = sum(1 for pinger in pingers if pinger.socket is None)
            campaign.check("nobody is cut off", dropped == 0, f"{dropped} after {jump:+d} s")
            publisher.is_paused = True
            if step == options.steps // 2:
                site.kill()
                for peer in everybody:
                    peer.drop()
                site.serve()
                connect_all(everybody, site.port)
            publisher.is_paused = False
            connect_all([sleeper], site.port)
            run([sleeper, *everybody], lambda: sleeper.counts["lasting"][lasting - 1:lasting] == b"\1", 5, check=False)
            campaign.count(steps=1)
        got = sleeper.counts["lasting"]
        # The restart reads expiry from the wall clock that was written down: what it decided is not judged.
        survived = sum(1 for n in range(lasting) if got[n:n + 1] == b"\1")
        campaign.count(lasting_delivered=survived, short_delivered=sum(sleeper.counts["short"]))
        campaign.check("what lasts is given", survived >= lasting - 1, f"{survived} of {lasting}")
        campaign.check("what has expired is not", sum(sleeper.counts["short"]) <= 1, f"{sum(sleeper.counts['short'])}")
        publisher.is_paused = True
        run([sleeper, publisher], lambda: not publisher.unanswered)
        wait_while_coming([sleeper], lambda: sleeper.has_all([publisher]))
        for name in ("lost", "qos2_duplicates", "out_of_order"):
            value = sleeper.anomalies([publisher])[name]
            campaign.check(f"no {name.replace('_', ' ')}", value == 0, f"{value}")
        campaign.count(acknowledged=publisher.accepted)
    finally:
        site.end_quietly()
    control(campaign)


def control(campaign):
    wall = Wall(campaign, "control-site", True)
    pingers = [Pinger(f"ping{n}", 4) for n in range(3)]
    try:
        wall.site.start()
        connect_all(pingers, wall.site.port)
        wall.set(3 * DAY_SECONDS)
        run(pingers, lambda: any(pinger.socket is None for pinger in pingers), 5, check=False)
        cut = sum(1 for pinger in pingers if pinger.socket is None)
    finally:
        wall.site.end_quietly()
    campaign.control("a_jump_of_the_monotonic_clock_is_seen", cut > 0, f"({cut} of {len(pingers)} cut off)")


if __name__ == "__main__":
    main("clock", body, [("steps", 12, "steps of the wall clock")], __doc__)
