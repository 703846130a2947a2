#!/usr/bin/env python3
"""A million messages of fifty clients that come and go at random, written down and checked afterwards.

Twenty-five publishers (QoS 1 and 2, MQTT 3.1.1 and 5.0) and as many subscribers, connections cut without a word and the
site killed now and then. The history is what publishers were acknowledged and what subscribers were given, in order; the
checker finds loss, repetition of QoS 2, broken order, inventions, damage and strangers. It must also find each of ten
changes made to the recorded history, one at a time: those are the controls.

    make campaign NAME=history ARGS="--messages 1000000 --seed 1"
"""

import time

from faults.evidence import main
from faults.load import Publisher, Subscriber
from faults.peer import connect_all, hear_out, parse, run, subscribe_all
from faults.site import FaultSite

PAIRS = 25
# After the last acknowledgement, for deliveries; cuts go on meanwhile.
SETTLE_SECONDS = 120


class Recorder(Subscriber):
    """Writes down what it is given, in order: publisher, number, whether the broker said that it comes again."""

    def __init__(self, name, filters, version):
        super().__init__(name, filters, version)
        self.history = []

    def received(self, topic, body, qos, retain, duplicate):
        found = parse(body)
        self.history.append((found[0], found[1], duplicate) if found else ("?", -1, duplicate))
        # What the checker will want: counted as well, to know when everything is there.
        super().received(topic, body, qos, retain, duplicate)


def check(promises, deliveries):
    """The anomalies of a history.

    promises: publisher → (QoS, how many were published, acknowledged as bytes, whether it had to send again);
    deliveries: subscriber → (publishers that it may hear, list of (publisher, number, duplicate)).
    """
    found = {name: 0 for name in ("lost", "repeated", "reordered", "invented", "strangers", "damaged")}
    for allowed, history in deliveries.values():
        counts = {name: bytearray(promises[name][1]) for name in allowed}
        highest = {name: -1 for name in allowed}
        for publisher, number, duplicate in history:
            if publisher == "?":
                found["damaged"] += 1
            elif publisher not in promises or not 0 <= number < promises[publisher][1]:
                found["invented"] += 1
            elif publisher not in allowed:
                found["strangers"] += 1
            else:
                seen = counts[publisher][number]
                if seen == 0 and number < highest[publisher]:
                    found["reordered"] += 1
                # At QoS 1 a repetition is allowed where one side sent again: the broker says so, or the publisher did.
                if seen and (promises[publisher][0] == 2 or not (duplicate or promises[publisher][3])):
                    found["repeated"] += 1
                counts[publisher][number] = min(255, seen + 1)
                highest[publisher] = max(highest[publisher], number)
        for name in allowed:
            found["lost"] += sum(1 for acked, got in zip(promises[name][2], counts[name]) if acked and not got)
    return found


def mutants(random, promises, deliveries):
    """Ten changes of a history that is right, each with the anomaly that it is."""
    def of(qos):
        names = [s for s, (allowed, history) in deliveries.items() if history and promises[next(iter(allowed))][0] == qos]
        return random.choice(sorted(names))

    def change(subscriber, edit):
        changed = dict(deliveries)
        allowed, history = changed[subscriber]
        history = list(history)
        edit(history)
        changed[subscriber] = (allowed, history)
        return changed

    def place(history):
        # In the second half, where every number has come once before.
        return random.randrange(len(history) // 2, len(history) - 2)

    def acknowledged_place(history):
        while True:
            at = place(history)
            publisher, number, _ = history[at]
            if promises[publisher][2][number] and sum(1 for p, n, _ in history if (p, n) == (publisher, number)) == 1:
                return at

    def swap(history):
        at = next(i for i in range(len(history) // 2, len(history) - 1)
                  if history[i + 1][1] == history[i][1] + 1 and not history[i][2] and not history[i + 1][2])
        history[at], history[at + 1] = history[at + 1], history[at]

    def move(history):
        at = next(i for i in range(len(history) - 2, 100, -1) if history[i][1] > history[i - 1][1])
        history.insert(50, history.pop(at))

    two, one = of(2), of(1)
    stranger = next(s for s, (allowed, _) in sorted(deliveries.items()) if not allowed & deliveries[two][0])
    publisher = next(iter(deliveries[two][0]))
    yield "a delivery is missing", "lost", change(two, lambda h: h.pop(acknowledged_place(h)))
    yield "the last delivery is missing", "lost", change(one, lambda h: [h.pop() for _ in range(3)])
    yield "a hundred deliveries are missing", "lost", change(one, lambda h: h.__delitem__(slice(len(h) // 2, len(h) // 2 + 100)))
    yield "a QoS 2 message comes twice", "repeated", change(two, lambda h: h.insert(len(h) // 2, h[len(h) // 2]))
    yield "it comes twice, much later, marked", "repeated", change(two, lambda h: h.append((*h[len(h) // 3][:2], True)))
    yield "two neighbours change places", "reordered", change(two, swap)
    yield "one comes far too early", "reordered", change(two, move)
    yield "a number nobody published", "invented", change(one, lambda h: h.append((h[0][0], 1 << 40, False)))
    yield "somebody else's message", "strangers", change(stranger, lambda h: h.append((publisher, 0, False)))
    yield "a payload that is not its own", "damaged", change(two, lambda h: h.__setitem__(len(h) // 2, ("?", -1, False)))


class Meeting:
    """The fifty clients, and chance."""

    def __init__(self, campaign, options):
        self.campaign = campaign
        self.site = FaultSite(campaign.binary, "history-site", campaign.folder / "history-site", segment="16MiB")
        self.publishers, self.subscribers = [], []
        share = options.messages // PAIRS
        for number in range(PAIRS):
            qos = 1 + number % 2
            publisher = Publisher(f"p{number}", qos, 4 + number // 2 % 2, window=20, topic=f"load/{number}")
            publisher.limit = share
            publisher.sent_again = False
            self.publishers.append(publisher)
            self.subscribers.append(Recorder(f"s{number}", [(f"load/{number}", qos)], 4 + number % 2))

    @property
    def everybody(self):
        return self.publishers + self.subscribers

    def is_over(self):
        return all(p.next == p.limit and not p.unanswered for p in self.publishers) and all(
            s.has_all([p]) for s, p in zip(self.subscribers, self.publishers))

    def play(self, cuts_a_second, kills):
        random = self.campaign.random
        self.site.start()
        # Publishers begin as soon as they are in: first, somebody has to listen.
        connect_all(self.subscribers, self.site.port)
        for subscriber in self.subscribers:
            subscribe_all(subscriber, subscriber.filters)
        connect_all(self.publishers, self.site.port)
        total = sum(p.limit for p in self.publishers)
        kill_at = sorted(random.randrange(total) for _ in range(kills))
        told = settled = time.monotonic()
        while not self.is_over():
            end = time.monotonic() + random.expovariate(cuts_a_second)
            run(self.everybody, lambda: time.monotonic() > end or (time.monotonic() > end - 0.2 and self.is_over()))
            accepted = sum(p.accepted for p in self.publishers)
            if kill_at and accepted >= kill_at[0]:
                kill_at.pop(0)
                self.site.kill()
                hear_out(self.everybody)
                for peer in self.everybody:
                    peer.drop()
                self.site.serve()
                self.campaign.count(kills=1)
            else:
                random.choice(self.everybody).drop()
                self.campaign.count(cuts=1)
            back = [peer for peer in self.everybody if peer.socket is None]
            for peer in back:
                if isinstance(peer, Publisher) and peer.unanswered:
                    peer.sent_again = True
            connect_all(back, self.site.port)
            self.campaign.check("every session is present", all(peer.session_present for peer in back))
            if accepted < total:
                settled = time.monotonic()
            elif time.monotonic() - settled > SETTLE_SECONDS:
                # What has not come by now is lost: the checker says what.
                break
            if time.monotonic() - told > 30:
                told = time.monotonic()
                self.campaign.say(f"{accepted} of {total} acknowledged")
        end = time.monotonic() + 0.5
        run(self.everybody, lambda: time.monotonic() > end)

    def history(self):
        promises = {p.name: (p.qos, p.next, bytes(p.acknowledged), p.sent_again) for p in self.publishers}
        deliveries = {s.name: ({p.name}, s.history) for s, p in zip(self.subscribers, self.publishers)}
        return promises, deliveries


def body(campaign, options):
    meeting = Meeting(campaign, options)
    try:
        meeting.play(options.cuts, options.kills)
    finally:
        meeting.site.end_quietly()
    promises, deliveries = meeting.history()
    found = check(promises, deliveries)
    for name, value in found.items():
        campaign.check(f"none {name}", value == 0, f"{value}")
    campaign.count(
        acknowledged=sum(p.accepted for p in meeting.publishers), clients=len(meeting.everybody),
        delivered=sum(len(s.history) for s in meeting.subscribers), **found,
    )
    caught = 0
    for name, kind, changed in mutants(campaign.random, promises, deliveries):
        is_caught = check(promises, changed)[kind] > found[kind]
        caught += is_caught
        campaign.control(name, is_caught, f"({kind})")
    campaign.count(mutants_caught=caught)


if __name__ == "__main__":
    main("history", body, [
        ("messages", 1_000_000, "published"), ("cuts", 4.0, "connections cut in a second"), ("kills", 5, "kills of the site"),
    ], __doc__)
