"""Rounds of load, cut, restart and comparison: what kill.py and power.py have in common."""

import time

from support.nodes import Mosquitto

from .load import Publisher, Subscriber, add, payload, require
from .peer import Peer, Broken, connect_all, hear_out, run, subscribe_all
from .site import FaultSite

LOAD_SECONDS = (0.05, 0.5)
# The subscribers that are away come for their messages every so many rounds.
ROUNDS_AWAY = 10
FILTERS = [("load/q1/#", 1), ("load/q2/#", 2), ("wills/#", 2)]
SERVING_SECONDS_MAX = 1.0
# Nothing came for so long: nothing more is coming.
QUIET_SECONDS = 10.0
RESIDENT_BYTES_MAX = 400 << 20


class Rounds:
    """A site with its clients over many lives."""

    def __init__(self, campaign, options, site=None, name="r"):
        self.campaign = campaign
        self.options = options
        self.site = site or FaultSite(campaign.binary, f"{name}-site", campaign.folder / f"{name}-site")
        self.publishers = [
            Publisher("a1", 1, 4, retain_every=20), Publisher("b1", 1, 5, retain_every=20),
            Publisher("a2", 2, 4, retain_every=20), Publisher("b2", 2, 5, retain_every=20),
        ]
        self.online = [Subscriber("online-4", FILTERS, 4), Subscriber("online-5", FILTERS, 5)]
        self.offline = [Subscriber("offline-4", FILTERS, 4), Subscriber("offline-5", FILTERS, 5)]
        # Wills that must be there: their publication was followed by an acknowledgement.
        self.promised_wills = set()
        self.clean_goodbyes = set()
        self.serving = []

    @property
    def subscribers(self):
        return self.online + self.offline

    # The parts of a round that power.py does otherwise.

    def cut(self):
        self.site.kill()

    def restart(self):
        return self.site.serve()

    def prepare(self):
        self.site.start()
        connect_all(self.subscribers, self.site.port)
        for subscriber in self.subscribers:
            subscribe_all(subscriber, FILTERS)
        for subscriber in self.offline:
            subscriber.leave()
        queued = getattr(self.options, "queued", 0)
        if queued:
            hoard(self.campaign, self.site.port, queued)

    def play(self, rounds):
        """Plays rounds, and compares everything at the end."""
        try:
            self.prepare()
            for number in range(1, rounds + 1):
                self.round(number)
                if number % 20 == 0:
                    self.campaign.say(
                        f"{self.site.name}: {number} of {rounds}, {sum(p.accepted for p in self.publishers)} "
                        f"acknowledged, serving after at most {max(self.serving):.3f} s"
                    )
            self.finish()
        finally:
            self.site.end_quietly()

    def round(self, number):
        campaign = self.campaign
        away = number % ROUNDS_AWAY == 0
        talkers = self.publishers + self.online
        connect_all(self.publishers, self.site.port)
        if number == 1:
            require(not any(p.session_present for p in self.publishers), "a session before the first CONNECT")
        will, goodbye = f"w{number}", f"g{number}"
        dying = Peer(will, 5, True, (f"wills/{will}", payload(will, 0), 2))
        leaving = Peer(goodbye, 4, True, (f"wills/{goodbye}", payload(goodbye, 0), 2))
        connect_all([dying, leaving], self.site.port)
        leaving.leave()
        self.clean_goodbyes.add(goodbye)
        end = time.monotonic() + campaign.random.uniform(*LOAD_SECONDS)
        run(talkers, lambda: time.monotonic() > end)
        dying.drop()
        if number % 2:
            # Seen by somebody, and something later was acknowledged: it is on disk, the journal being one.
            run(talkers, lambda: self.online[0].wills[will], what="a will is given to who is there")
            mark = self.publishers[0].accepted + self.publishers[0].window + 1
            run(talkers, lambda: self.publishers[0].accepted >= mark, what="acknowledgements")
            self.promised_wills.add(will)
        self.cut()
        hear_out(talkers)
        for peer in talkers:
            peer.drop()
        self.serving.append(self.restart())
        campaign.count(cuts=1)
        processor = self.site.processor_seconds()
        campaign.most(
            resident_bytes_max=self.site.memory(), serving_seconds_max=self.serving[-1], serving_processor_seconds_max=processor
        )
        campaign.check_serving("serving within a second", SERVING_SECONDS_MAX, self.serving[-1], processor)
        campaign.check("resident below 400 MiB", self.site.memory() < RESIDENT_BYTES_MAX)
        back = self.online + (self.offline if away else [])
        self.collect(back, number)
        if away:
            for subscriber in self.offline:
                subscriber.leave()

    def collect(self, back, number):
        """Brings subscribers back, and waits until they have what was acknowledged."""
        connect_all(back, self.site.port)
        for subscriber in back:
            self.campaign.check("every session is present", subscriber.session_present, subscriber.name)
        arrived = wait_while_coming(back, lambda: all(subscriber.has_all(self.publishers) for subscriber in back))
        self.campaign.check("everything acknowledged arrived", arrived, f"round {number}: " + ", ".join(
            f"{s.name} lacks {len(s.lacks(p))} of {p.name}" for s in back for p in self.publishers if s.lacks(p)
        ))

    def finish(self):
        campaign = self.campaign
        connect_all(self.publishers, self.site.port)
        for publisher in self.publishers:
            campaign.check("every session is present", publisher.session_present, publisher.name)
            publisher.is_paused = True
        run(self.publishers + self.online, lambda: not any(p.unanswered for p in self.publishers), 20, "open exchanges end")
        self.collect(self.offline, "at the end")
        wills = lambda s: all(s.wills[w] for w in self.promised_wills)
        wait_while_coming(
            self.subscribers, lambda: all(wills(s) and s.has_all(self.publishers) for s in self.subscribers)
        )
        reader = Subscriber("retained-reader", [])
        reader.clean = True
        connect_all([reader], self.site.port)
        subscribe_all(reader, [("state/#", 1)])
        run([reader], lambda: len(reader.retained) >= len(self.publishers), 10, check=False)
        total = {}
        for subscriber in self.subscribers:
            add(total, subscriber.anomalies(self.publishers))
            total["wills_lost"] = total.get("wills_lost", 0) + sum(1 for w in self.promised_wills if not subscriber.wills[w])
            total["false_wills"] = total.get("false_wills", 0) + sum(subscriber.wills[g] for g in self.clean_goodbyes)
        total["retained_lost"] = sum(
            1 for p in self.publishers if not p.last_retained <= reader.retained.get(p.name, -2) < p.next
        )
        for key, value in total.items():
            campaign.check(f"no {key.replace('_', ' ')}", value == 0, f"{value}")
        campaign.count(
            acknowledged=sum(p.accepted for p in self.publishers),
            acknowledged_qos2=sum(p.accepted for p in self.publishers if p.qos == 2),
            delivered=sum(s.total for s in self.subscribers), wills=len(self.promised_wills), **total,
        )
        median = sorted(self.serving)[len(self.serving) // 2]
        campaign.most(serving_seconds_median_max=median)


def wait_while_coming(subscribers, is_over):
    """Waits for the condition as long as messages keep coming; False if they have ceased before it held."""
    while True:
        total = sum(subscriber.total for subscriber in subscribers)
        if run(subscribers, is_over, QUIET_SECONDS, check=False):
            return True
        if sum(subscriber.total for subscriber in subscribers) == total:
            return False


def hoard(campaign, port, count):
    """Queues messages for a session whose client never comes."""
    keeper = Subscriber("hoarder", [])
    connect_all([keeper], port)
    subscribe_all(keeper, [("hoard/#", 1)])
    keeper.leave()
    filler = Publisher("filler", 1, 4, window=2000, size=24, topic="hoard/h")
    filler.clean = True
    filler.limit = count
    connect_all([filler], port)
    begun = time.monotonic()
    run([filler], lambda: filler.accepted >= count, 600, "the hoard")
    filler.leave()
    seconds = time.monotonic() - begun
    campaign.most(queued=count)
    campaign.say(f"{count} messages queued for a session that is away, in {seconds:.1f} s")


def control_on_mosquitto(campaign, rounds):
    """The same load on Mosquitto with persistence as Debian ships it: the loss must be seen."""
    node = Mosquitto("mosquitto", campaign.folder / "mosquitto")
    node.lines = [line for line in node.lines if not line.startswith("autosave")] + ["max_inflight_messages 20"]
    node.start()
    subscriber, publisher = Subscriber("offline", []), Publisher("a1", 1)
    lost = 0
    try:
        for _ in range(rounds):
            connect_all([subscriber], node.port)
            subscribe_all(subscriber, FILTERS)
            subscriber.leave()
            publisher.unanswered.clear()
            connect_all([publisher], node.port)
            end = time.monotonic() + 0.3
            run([publisher], lambda: time.monotonic() > end)
            node.kill()
            hear_out([publisher])
            publisher.drop()
            node.start()
            connect_all([subscriber], node.port)
            run([subscriber], lambda: subscriber.has_all([publisher]), 2, check=False)
            subscriber.drop()
            lost = len(subscriber.lacks(publisher))
    finally:
        node.end_quietly()
    campaign.control("mosquitto_default_persistence_loses", lost > 0, f"({lost} of {publisher.accepted} lost)")
    campaign.count(control_lost=lost, control_acknowledged=publisher.accepted)
