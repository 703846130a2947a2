#!/usr/bin/env python3
"""A disk that fills up, twenty times: nothing is acknowledged without space, alarms have theirs, and it passes by itself.

The journal lies on a tmpfs of 64 MiB, and a subscriber with a persistent session is away. Publishers of MQTT 5.0 and
3.1.1 send until they are refused; then readiness must turn within a second, alarms must still be taken, and nothing else.
Every other time the space is somebody else's file and returns when that is deleted; else it returns because the
subscriber comes and takes its messages. The site is never restarted in between. At the end it is killed, and what was
acknowledged must be there. The control is Mosquitto on a small disk, which acknowledges what it cannot keep.

    make campaign NAME=diskfull ARGS="--cycles 20 --seed 1"
"""

import os
import time

from faults.disk import SmallDisk, is_possible
from faults.evidence import main
from faults.load import Publisher, Subscriber, add
from faults.peer import Broken, connect_all, run, subscribe_all
from faults.site import FaultSite
from support.nodes import Mosquitto

FILTERS = [("load/q1/#", 1), ("load/q2/#", 2), ("alarm/#", 1)]
READINESS_SECONDS_MAX = 1.0
RECOVERY_SECONDS_MAX = 5.0
# Checkpoints that free something are sought twice a second; longer than this, it is full.
SETTLED_SECONDS = 1.5


class DiskFull:
    """A site on a small disk, with its clients."""

    def __init__(self, campaign, disk):
        self.campaign = campaign
        self.disk = disk
        self.site = FaultSite(
            campaign.binary, "full-site", campaign.folder / "full-site", disk.path / "data", segment="4MiB", most="1GiB",
            journal={"reserve": "4MiB", "reserve_topics": ["alarm/#"]},
        )
        self.keeper = Subscriber("keeper", FILTERS, 5)
        self.fillers = [Publisher("f1", 1, 5, size=4000), Publisher("f2", 2, 5, size=4000)]
        self.old = Publisher("old", 1, 4, window=4, size=4000)
        self.alarms = [Publisher("alarm5", 1, 5, topic="alarm/5"), Publisher("alarm4", 1, 4, topic="alarm/4")]

    @property
    def publishers(self):
        return [*self.fillers, self.old, *self.alarms]

    def play(self, cycles):
        try:
            self.site.start()
            pid = self.site.pid
            connect_all([self.keeper], self.site.port)
            subscribe_all(self.keeper, FILTERS)
            self.keeper.leave()
            for alarm in self.alarms:
                alarm.limit = 0
            connect_all(self.publishers, self.site.port)
            for number in range(1, cycles + 1):
                self.cycle(number)
                self.campaign.count(cycles=1)
            self.campaign.check("no restart in between", self.site.is_running and self.site.pid == pid)
            self.end()
        finally:
            self.site.end_quietly()

    def cycle(self, number):
        campaign, publishers = self.campaign, self.publishers
        foreign = self.disk.path / "foreign"
        # What the journal has let go of but not returned leaves too little for a file that matters.
        is_foreign = number % 2 == 1 and self.disk.free_bytes > 20 << 20
        if is_foreign:
            with open(foreign, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, self.disk.free_bytes - campaign.random.randrange(6 << 20, 10 << 20))
            campaign.count(filled_by_others=1)
        self.fill()
        self.while_full()
        if is_foreign:
            foreign.unlink()
        else:
            self.drain()
        self.recover()
        if is_foreign:
            self.drain()

    def fill(self):
        """Fills the disk until it stays full: what the subscriber has let go of is found and freed by the way."""
        campaign, publishers = self.campaign, self.publishers
        for _ in range(50):
            if self.old.socket is None:
                connect_all([self.old], self.site.port)
            for filler in self.fillers:
                filler.refused_count = 0
            for publisher in publishers:
                publisher.is_paused = False
            run(publishers, lambda: all(f.refused_count for f in self.fillers), 60, "a refusal")
            refused_at = time.monotonic()
            for publisher in publishers:
                publisher.is_paused = True
            status = 200
            while status == 200 and time.monotonic() - refused_at < READINESS_SECONDS_MAX:
                status, text = self.site.readiness()
            seconds = time.monotonic() - refused_at
            run(publishers, lambda: not any(f.unanswered for f in self.fillers), 10, "open exchanges end or are refused")
            if status == 503:
                campaign.most(readiness_seconds_max=seconds)
                campaign.check("readiness says why", "disk_full" in text, text)
                end = time.monotonic() + SETTLED_SECONDS
                run(publishers, lambda: time.monotonic() > end)
                if self.site.readiness()[0] == 503:
                    return
            else:
                # Ready again already: then messages must be taken again, too.
                accepted = self.fillers[0].accepted
                self.fillers[0].limit = self.fillers[0].next + 1
                self.fillers[0].is_paused = False
                run(publishers, lambda: not self.fillers[0].unanswered and self.fillers[0].next == self.fillers[0].limit)
                campaign.check("readiness false within a second", self.fillers[0].accepted > accepted, f"{status}")
                self.fillers[0].limit = None
            campaign.count(freed_by_the_way=1)
        raise Broken("the disk does not stay full")

    def while_full(self):
        """Alarms are taken, the rest is not, and nobody is cut off."""
        campaign = self.campaign
        accepted = [f.accepted for f in self.fillers]
        refused = [f.refused_count for f in self.fillers]
        for filler in self.fillers:
            for _ in range(10):
                filler.acknowledged.append(0)
                filler.publish(filler.topic, b"refused", filler.qos, filler.next)
                filler.next += 1
        old_accepted = self.old.accepted
        for alarm in self.alarms:
            alarm.is_paused = False
            alarm.limit = alarm.next + 10
        self.old.ping()
        pings = self.old.pings
        run(self.publishers, lambda: all(a.next == a.limit and not a.unanswered for a in self.alarms), 10, "alarms are taken",
            check=False)
        campaign.check("alarms are taken", not any(a.unanswered for a in self.alarms) and not any(
            a.refused_count for a in self.alarms), f"{[len(a.unanswered) for a in self.alarms]} open")
        run(self.publishers, lambda: all(f.refused_count >= r + 10 for f, r in zip(self.fillers, refused)), 10, check=False)
        run(self.publishers, lambda: self.old.pings > pings, 10, "a 3.1.1 client is still answered its PINGREQ")
        campaign.check("5.0 gets 0x97", all(f.refused_count >= r + 10 for f, r in zip(self.fillers, refused)))
        campaign.check("nothing is acknowledged without space", accepted == [f.accepted for f in self.fillers])
        campaign.check("3.1.1 gets no PUBACK", self.old.accepted == old_accepted and self.old.socket is not None)
        campaign.count(refused=20, alarms_taken=20)

    def recover(self):
        """Space has returned: it goes on by itself."""
        campaign = self.campaign
        returned = time.monotonic()
        status = 0
        while status != 200 and time.monotonic() - returned < 2 * RECOVERY_SECONDS_MAX:
            status, _ = self.site.readiness()
            run(self.publishers, lambda: True)
            time.sleep(0.05)
        seconds = time.monotonic() - returned
        campaign.most(recovery_seconds_max=seconds)
        campaign.check("it goes on by itself", status == 200 and seconds < RECOVERY_SECONDS_MAX, f"{status}, {seconds:.1f} s")
        # Who was owed an answer that 3.1.1 has no words for is sent away, and comes again.
        waited = len(self.old.unanswered)
        run(self.publishers, lambda: self.old.socket is None or not self.old.unanswered, 10, "the 3.1.1 client is sent away")
        if self.old.socket is None:
            connect_all([self.old], self.site.port)
        run(self.publishers, lambda: not self.old.unanswered, 10, "the 3.1.1 client is answered")
        campaign.count(old_messages_sent_again=waited)
        mark = [f.accepted + 5 for f in self.fillers]
        for filler in self.fillers:
            filler.refused_count = 0
            filler.is_paused = False
            filler.limit = filler.next + 5
        run(self.publishers, lambda: all(f.accepted >= m for f, m in zip(self.fillers, mark)), 10, "messages are taken again")
        for filler in self.fillers:
            filler.limit = None
            filler.is_paused = True

    def drain(self):
        """The subscriber takes what is there, and goes again."""
        connect_all([self.keeper], self.site.port)
        self.campaign.check("the session is present", self.keeper.session_present)
        run([self.keeper, *self.publishers], lambda: self.keeper.has_all(self.publishers), 60, "the queue is taken")
        # What is open ends, so that the site can let go of it.
        end = time.monotonic() + 0.3
        run([self.keeper, *self.publishers], lambda: time.monotonic() > end)
        self.keeper.leave()

    def end(self):
        """kill -9, and everything acknowledged is there."""
        for filler in self.fillers:
            filler.limit = filler.next + 200
            filler.is_paused = False
        run(self.fillers, lambda: all(f.next == f.limit and not f.unanswered for f in self.fillers), 30, "the last messages")
        self.site.kill()
        for publisher in self.publishers:
            publisher.drop()
        self.site.serve()
        connect_all([self.keeper], self.site.port)
        run([self.keeper], lambda: self.keeper.has_all(self.publishers), 30, check=False)
        total = self.keeper.anomalies([p for p in self.publishers])
        # The refused ones have no payload of a number: they must not have come either.
        for key, value in total.items():
            self.campaign.check(f"no {key.replace('_', ' ')}", value == 0, f"{value}")
        self.campaign.count(acknowledged=sum(p.accepted for p in self.publishers), delivered=self.keeper.total, **total)


def control_on_mosquitto(campaign, disk):
    """Mosquitto acknowledges what the disk has no room for."""
    node = Mosquitto("mosquitto", campaign.folder / "mosquitto", lines=["autosave_interval 1"])
    node.lines = [line if not line.startswith("persistence_location") else f"persistence_location {disk.path}/"
                  for line in node.lines]
    subscriber, publisher = Subscriber("offline", []), Publisher("a1", 1, size=4000)
    publisher.limit = 2 * (disk.free_bytes // 4000)
    try:
        node.start()
        connect_all([subscriber], node.port)
        subscribe_all(subscriber, FILTERS)
        subscriber.leave()
        connect_all([publisher], node.port)
        run([publisher], lambda: publisher.accepted >= publisher.limit, 60, "mosquitto takes everything", check=False)
        node.kill()
        publisher.drop()
        try:
            node.start()
            connect_all([subscriber], node.port)
            run([subscriber], lambda: subscriber.has_all([publisher]), 3, check=False)
        except AssertionError:
            campaign.say("mosquitto does not start on what it had written: all of it is lost")
    finally:
        node.end_quietly()
    lost = len(subscriber.lacks(publisher))
    campaign.control("mosquitto_acknowledges_without_space", lost > 0, f"({lost} of {publisher.accepted} lost)")
    campaign.count(control_lost=lost, control_acknowledged=publisher.accepted)


def body(campaign, options):
    reason = is_possible()
    if reason:
        raise SystemExit(f"diskfull: {reason}")
    with SmallDisk(campaign.folder / "small", options.megabytes) as disk:
        DiskFull(campaign, disk).play(options.cycles)
    with SmallDisk(campaign.folder / "control", 2) as disk:
        control_on_mosquitto(campaign, disk)


if __name__ == "__main__":
    main("diskfull", body, [("cycles", 20, "times that the disk fills up"), ("megabytes", 64, "its size")], __doc__)
