#!/usr/bin/env python3
"""QoS 2 exactly once: a cut at each of the four points of the handshake, by each of three parties.

The publisher's or the subscriber's connection is cut as it has sent, or before it takes in, PUBLISH, PUBREC, PUBREL or
PUBCOMP; or the site is killed at that instant. Then everybody comes back and the exchange ends. Each message must have
been delivered once. The control does the same at QoS 1, where a repetition must be seen.

    make campaign NAME=qos2 ARGS="--each 50 --seed 1"
"""

from faults.evidence import main
from faults.load import Publisher, Subscriber
from faults.peer import Broken, connect_all, run, subscribe_all
from faults.site import FaultSite

NAMES = {3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP"}
# Which of the four a party sends; the others it is sent.
PUBLISHER_SENDS, SUBSCRIBER_SENDS = {3, 6}, {5, 7, 4}
FILTERS = [("load/q1/#", 1), ("load/q2/#", 2)]


class Tripwire:
    """Cuts the connection at one packet: after it was sent, or before it is taken in."""

    point = None
    sends = frozenset()
    on_trip = None

    def arm(self, point, on_trip=None):
        self.point = point
        self.on_trip = on_trip

    def _trip(self):
        self.point = None
        action, self.on_trip = self.on_trip, None
        if action:
            action()
        self.drop()

    def _send(self, data):
        super()._send(data)
        if self.point is not None and data[0] >> 4 == self.point and self.point in self.sends:
            self.flush()
            if self.socket is not None:
                self._trip()

    def _packet(self, first, body):
        if self.point is not None and first >> 4 == self.point and self.point not in self.sends:
            self._trip()
            return
        super()._packet(first, body)


class TripPublisher(Tripwire, Publisher):
    sends = PUBLISHER_SENDS


class TripSubscriber(Tripwire, Subscriber):
    sends = SUBSCRIBER_SENDS


class Handshakes:
    """A site, one publisher, one subscriber, and as many cuts as asked for."""

    def __init__(self, campaign, qos, name):
        self.campaign = campaign
        self.site = FaultSite(campaign.binary, name, campaign.folder / name)
        self.publisher = TripPublisher("p", qos, 5, window=1)
        self.publisher.limit = 0
        self.subscriber = TripSubscriber("s", FILTERS, 4)
        self.done = 0

    def start(self):
        self.site.start()
        connect_all([self.subscriber, self.publisher], self.site.port)
        subscribe_all(self.subscriber, FILTERS)

    def both(self):
        return [self.publisher, self.subscriber]

    def message(self, party, point):
        """One message whose exchange is cut, and ended."""
        tripped = []
        if party == "site":
            self.publisher.arm(point, lambda: (tripped.append(1), self.site.kill()))
        else:
            peer = self.publisher if party == "publisher" else self.subscriber
            peer.arm(point, lambda: tripped.append(1))
        self.publisher.limit = self.publisher.next + 1
        run(self.both(), lambda: tripped, 20, f"{party} at {NAMES[point]}")
        if party == "site":
            for peer in self.both():
                peer.drop()
            self.site.serve()
        connect_all([peer for peer in self.both() if peer.socket is None], self.site.port)
        number = self.publisher.limit - 1
        counts = self.subscriber.counts[self.publisher.name]
        run(self.both(), lambda: not self.publisher.unanswered and len(counts) > number and counts[number], 20,
            f"the exchange ends after {party} at {NAMES[point]}", check=False)
        self.done += 1
        return counts[number] if len(counts) > number else 0

    def settle(self):
        """A last message: whatever the site still had to repeat comes before it."""
        self.publisher.limit = self.publisher.next + 1
        counts = self.subscriber.counts[self.publisher.name]
        run(self.both(), lambda: len(counts) >= self.publisher.limit and not self.publisher.unanswered, 20, "the last one")
        return [count for count in counts[:self.publisher.limit - 1]]


def body(campaign, options):
    hands = Handshakes(campaign, 2, "qos2-site")
    try:
        hands.start()
        for party in ("publisher", "subscriber", "site"):
            for point in (3, 5, 6, 7):
                for _ in range(options.each):
                    hands.message(party, point)
                    campaign.count(cuts=1, **{f"cuts_{party}": 1})
            campaign.say(f"{party}: {campaign.counts[f'cuts_{party}']} cuts")
        counts = hands.settle()
    finally:
        hands.site.end_quietly()
    once = sum(1 for count in counts if count == 1)
    campaign.count(exactly_once=once, lost=counts.count(0), twice=sum(1 for count in counts if count > 1))
    campaign.check("exactly once", once == hands.done, f"{once} of {hands.done}")
    control(campaign)


def control(campaign):
    hands = Handshakes(campaign, 1, "qos1-site")
    try:
        hands.start()
        for _ in range(5):
            hands.message("publisher", 3)
            hands.message("publisher", 4)
        counts = hands.settle()
    finally:
        hands.site.end_quietly()
    twice = sum(1 for count in counts if count > 1)
    campaign.control("repetitions_of_qos_1_are_seen", twice > 0, f"({twice} of {len(counts)})")


if __name__ == "__main__":
    main("qos2", body, [("each", 50, "cuts at each of the twelve points")], __doc__)
