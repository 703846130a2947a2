"""A scripted workload under strace, which makes one call fail or the last one: what syscall.py and eio.py share."""

import shutil

from .load import Publisher, Subscriber, add
from .peer import Broken, connect_all, run, subscribe_all
from .site import FaultSite

FILTERS = [("load/q1/#", 1), ("load/q2/#", 2)]
MESSAGES = 150


def strace(*injections):
    """The command before the site's own. -D: the site stays our child, and strace goes with it."""
    calls = ",".join(sorted({name for injection in injections for name in injection.split(":")[0].split(",")}))
    command = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}"]
    for injection in injections:
        command += ["-e", f"inject={injection}"]
    return command


def is_possible():
    return None if shutil.which("strace") else "strace is not installed"


class Workload:
    """Two lives of a site that rolls segments, checkpoints and lets segments go; whatever the disk does meanwhile."""

    def __init__(self, campaign, name, journal, injections):
        self.campaign = campaign
        self.site = FaultSite(
            campaign.binary, name, campaign.folder / name, journal, segment="64KiB", most="64MiB",
            prefix=strace(*injections) if injections else [], log={"level": "error"},
        )
        self.sleeper = Subscriber("sleeper", FILTERS, 5)
        self.worker = Subscriber("worker", FILTERS, 4)
        self.publishers = [Publisher("p1", 1, 5, window=8, size=1000), Publisher("p2", 2, 4, window=8, size=1000)]

    @property
    def peers(self):
        return [*self.publishers, self.worker]

    def serve(self):
        """Starts it; False if it ends before it serves."""
        try:
            self.site.serve(30)
            return True
        except (Broken, OSError):
            return False

    def run(self, lives=2):
        """Runs the workload. Returns whether it came to its end without a failure."""
        for life in range(lives):
            if not self.serve() or not self.live(life):
                return False
            if life + 1 < lives and self.end_in_order() != 0:
                return False
        return True

    def live(self, life):
        try:
            if life == 0:
                for subscriber in (self.sleeper, self.worker):
                    connect_all([subscriber], self.site.port, 10)
                    subscribe_all(subscriber, FILTERS, 10)
                self.sleeper.leave()
            else:
                connect_all([self.worker], self.site.port, 10)
            connect_all(self.publishers, self.site.port, 10)
            for publisher in self.publishers:
                publisher.limit = publisher.next + MESSAGES
            run(self.peers, self.is_over, 30, "the workload ends or fails")
        except (Broken, OSError):
            return False
        return self.site.is_running and not any(p.refused_count for p in self.publishers) and all(
            p.socket is not None for p in self.publishers)

    def is_over(self):
        if not self.site.is_running or any(p.refused_count for p in self.publishers):
            return True
        if any(p.socket is None for p in self.publishers):
            return True
        return all(p.next == p.limit and not p.unanswered for p in self.publishers) and self.worker.has_all(self.publishers)

    def end_in_order(self):
        for peer in self.peers:
            peer.drop()
        try:
            return self.site.stop()
        except AssertionError:
            return -1

    def settle(self):
        """A healthy life: everybody comes back and ends what is open. Returns what is wrong, as counts."""
        for peer in [*self.peers, self.sleeper]:
            peer.drop()
        for publisher in self.publishers:
            publisher.limit = publisher.next
        self.site.end_quietly()
        self.site.process = None
        self.site.prefix = []
        self.site.serve(30)
        connect_all([*self.peers, self.sleeper], self.site.port)
        # A session is promised with its first subscription.
        subscribers = [s for s in (self.sleeper, self.worker) if any(code < 0x80 for code in s.granted.values())]
        missing = sum(1 for subscriber in subscribers if not subscriber.session_present)
        run([*self.peers, self.sleeper], lambda: all(s.has_all(self.publishers) for s in subscribers) and not any(
            p.unanswered for p in self.publishers), 30, check=False)
        total = {"sessions_missing": missing}
        for subscriber in subscribers:
            add(total, subscriber.anomalies(self.publishers))
        self.site.kill()
        return total
