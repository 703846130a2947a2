"""The load of the fault campaigns and the books that are kept of it: what was acknowledged must arrive."""

import collections

from .peer import Broken, Peer, parse, payload


class Publisher(Peer):
    """Keeps a window of numbered messages full, all to one topic at one quality of service."""

    def __init__(self, name, qos, version=4, window=16, size=64, topic=None, retain_every=0):
        super().__init__(name, version)
        self.qos = qos
        self.window = window
        self.size = size
        self.topic = topic or f"load/q{qos}/{name}"
        self.retain_every = retain_every
        self.next = 0
        self.acknowledged = bytearray()
        self.refused_count = 0
        self.accepted = 0
        self.limit = None
        self.last_retained = -1
        self.is_paused = False

    def fill(self):
        while not self.is_paused and len(self.unanswered) < self.window and (self.limit is None or self.next < self.limit):
            number = self.next
            self.next += 1
            self.acknowledged.append(0)
            self.publish(self.topic, payload(self.name, number, self.size), self.qos, number)
            if self.retain_every and number % self.retain_every == 0:
                body = payload(self.name, number, 0)
                self.publish(f"state/{self.name}", body, self.qos, ("retained", number), retain=True)

    def answered(self, token, reason):
        if reason >= 0x80:
            self.refused_count += 1
        elif isinstance(token, tuple):
            self.last_retained = max(self.last_retained, token[1])
        else:
            self.acknowledged[token] = 1
            self.accepted += 1


class Subscriber(Peer):
    """Counts what it is given, by publisher and number."""

    def __init__(self, name, filters, version=4):
        super().__init__(name, version)
        self.filters = filters
        self.counts = collections.defaultdict(bytearray)
        self.last = {}
        self.wills = collections.Counter()
        self.damaged = 0
        self.out_of_order = 0
        self.retained = {}
        self.total = 0

    def received(self, topic, body, qos, retain, duplicate):
        found = parse(body)
        if found is None:
            self.damaged += 1
            return
        publisher, number = found
        if topic.startswith("wills/"):
            self.wills[publisher] += 1
            return
        if topic.startswith("state/"):
            self.retained[publisher] = number
            return
        self.total += 1
        counts = self.counts[publisher]
        if number >= len(counts):
            counts.extend(bytes(number + 1 - len(counts)))
        if counts[number] == 0:
            if number < self.last.get(publisher, -1):
                self.out_of_order += 1
            self.last[publisher] = number
        if counts[number] < 255:
            counts[number] += 1

    def lacks(self, publisher):
        """Numbers that were acknowledged and are not here."""
        counts = self.counts[publisher.name]
        counts.extend(bytes(max(0, len(publisher.acknowledged) - len(counts))))
        return [number for number, (acked, got) in enumerate(zip(publisher.acknowledged, counts)) if acked and not got]

    def has_all(self, publishers):
        """Whether everything acknowledged is here; cheap where it is."""
        for publisher in publishers:
            counts = self.counts[publisher.name]
            if len(counts) < len(publisher.acknowledged):
                counts.extend(bytes(len(publisher.acknowledged) - len(counts)))
            acked = int.from_bytes(publisher.acknowledged, "little")
            got = int.from_bytes(counts[:len(publisher.acknowledged)], "little")
            # Counts beyond one have other bits: fold them into the lowest.
            folded = got | got >> 1 | got >> 2 | got >> 3 | got >> 4 | got >> 5 | got >> 6 | got >> 7
            if acked & ~folded:
                return False
        return True

    def anomalies(self, publishers):
        """What is wrong, as counts: nothing but zeros is right."""
        result = {"lost": 0, "qos2_duplicates": 0, "never_published": 0, "damaged": self.damaged,
                  "out_of_order": self.out_of_order, "will_duplicates": 0}
        for publisher in publishers:
            counts = self.counts[publisher.name]
            result["lost"] += len(self.lacks(publisher))
            result["never_published"] += sum(1 for count in counts[publisher.next:] if count)
            if publisher.qos == 2:
                result["qos2_duplicates"] += sum(1 for count in counts if count > 1)
        names = {publisher.name for publisher in publishers}
        result["never_published"] += sum(sum(c) for name, c in self.counts.items() if name not in names)
        result["will_duplicates"] = sum(1 for count in self.wills.values() if count > 1)
        return result


def add(total, more):
    """Sums of two dictionaries of counts."""
    for key, value in more.items():
        total[key] = total.get(key, 0) + value
    return total


def require(condition, text):
    if not condition:
        raise Broken(text)
