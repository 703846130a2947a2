#!/usr/bin/env python3
"""A site with little memory and a subscriber that does not read: a million messages, and nobody else notices.

The site runs in a memory cgroup of 128 MiB. One subscriber's socket is never read while publishers send to it at QoS 0 and
1; a second pair measures round trips before and meanwhile. The site must not be ended for its memory, must stay below 110
MiB resident, and the other pair's 99th percentile must not more than double. The control is a process in the same cgroup
that takes more than there is, and must be ended for it.

    make campaign NAME=memory ARGS="--messages 1000000"
"""

import os
import pathlib
import subprocess
import sys
import time

from faults.evidence import main
from faults.load import Publisher, Subscriber
from faults.peer import Peer, connect_all, run, subscribe_all
from faults.site import FaultSite

LIMIT_BYTES = 128 << 20
RESIDENT_BYTES_MAX = 110 << 20
MEMORY = pathlib.Path("/sys/fs/cgroup/memory")


class Group:
    """A memory cgroup of version 1 of our own."""

    def __init__(self, name):
        self.path = MEMORY / name
        self.path.mkdir()
        (self.path / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))

    def add(self, pid):
        (self.path / "cgroup.procs").write_text(str(pid))

    @property
    def failures(self):
        return int((self.path / "memory.failcnt").read_text())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Who was in it is gone; its pages may take a moment.
        for _ in range(50):
            try:
                self.path.rmdir()
                return
            except OSError:
                time.sleep(0.1)


class Deaf(Peer):
    """Subscribes, and then leaves everything in its socket."""

    def pump(self):
        return super().pump() if self.granted == {} else True


class Pair:
    """A publisher and a subscriber that measure round trips at QoS 1."""

    def __init__(self, port):
        self.receiver = Echo("echo", [], 5)
        self.sender = Publisher("timer", 1, 5, window=1, topic="timer/t")
        self.sender.limit = 0
        connect_all([self.receiver, self.sender], port)
        subscribe_all(self.receiver, [("timer/#", 1)])

    def measure(self, others, seconds):
        """Round trips in seconds, sorted."""
        times, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            self.sender.limit = self.sender.next + 1
            before, total = time.monotonic(), self.receiver.total
            run([self.sender, self.receiver, *others], lambda: self.receiver.total > total, what="a round trip")
            times.append(time.monotonic() - before)
        return sorted(times)


class Echo(Subscriber):
    pass


def percentile(values, share):
    return values[min(len(values) - 1, int(len(values) * share))]


def body(campaign, options):
    if os.geteuid() != 0 or not (MEMORY / "memory.limit_in_bytes").exists():
        raise SystemExit("memory: needs root and a memory cgroup of version 1")
    site = FaultSite(campaign.binary, "memory-site", campaign.folder / "memory-site", segment="16MiB")
    with Group(f"causeway-{os.getpid()}") as group:
        try:
            site.start()
            group.add(site.pid)
            deaf = Deaf("deaf", 5)
            connect_all([deaf], site.port)
            subscribe_all(deaf, [("flood/#", 1)])
            pair = Pair(site.port)
            quiet = percentile(pair.measure([], 3), 0.99)
            # The flood has a process of its own, so that its Python does not stand in the way of the clock.
            flood = subprocess.Popen([sys.executable, __file__, "--flood", str(site.port), str(options.messages)])
            loaded = []
            try:
                while flood.poll() is None:
                    loaded += pair.measure([], 1)
                    campaign.most(resident_bytes_max=site.memory("VmRSS"))
            finally:
                if flood.poll() is None:
                    flood.kill()
                    flood.wait()
            loaded.sort()
            campaign.check("the flood was taken", flood.returncode == 0, f"{flood.returncode}")
            campaign.check("not ended for its memory", site.is_running)
            resident = site.memory("VmHWM")
            campaign.most(resident_bytes_max=resident, p99_quiet=quiet, p99_flooded=percentile(loaded, 0.99))
            campaign.check("resident below 110 MiB", resident < RESIDENT_BYTES_MAX, f"{resident >> 20} MiB")
            campaign.count(messages=options.messages, round_trips=len(loaded))
            # On two CPUs the flood, its publisher and the clock share what there is: a floor keeps noise out.
            campaign.check("others within twice their quiet p99", percentile(loaded, 0.99) < max(2 * quiet, 0.05),
                           f"{percentile(loaded, 0.99) * 1000:.1f} ms, quiet {quiet * 1000:.1f} ms")
        finally:
            site.end_quietly()
        hog = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read(1); x = bytearray(b'1') * (256 << 20)"],
                               stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        group.add(hog.pid)
        hog.communicate(b"g")
        campaign.control("the_limit_ends_a_hog", hog.returncode == -9, f"(status {hog.returncode})")


def flood(port, messages):
    publishers = [Publisher(f"flood{n}", 1, 5, window=100, size=1024, topic=f"flood/{n}") for n in range(4)]
    for publisher in publishers:
        publisher.limit = messages // 4
        publisher.clean = True
    connect_all(publishers, port)
    run(publishers, lambda: all(p.next == p.limit and not p.unanswered for p in publishers), 1200, "the flood is taken")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--flood"]:
        flood(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main("memory", body, [("messages", 1_000_000, "messages of 1 KiB")], __doc__)
