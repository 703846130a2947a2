"""A naive account of who may get what, and the judge who compares a broker's deliveries with it.

Nothing here is clever: rules are looked through line by line, topics are compared level by level, every session is asked
for every message. It knows nothing of the broker but what the standard and the rules say.
"""

from collections import Counter, namedtuple

# `must`: (client, payload) that have to arrive. `may`: that are allowed to. `one_of`: of these clients one must get it.
Expected = namedtuple("Expected", "must may one_of")

READ, WRITE = "read", "write"
# From the request of a change to the moment from which it has to hold for everybody.
REVOCATION_SECONDS = 1.0


def matches(topic_filter, topic):
    """Whether a topic is within a filter, level by level."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for index, word in enumerate(wanted):
        if word == "#":
            return True
        if index >= len(levels) or word not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


def unshared(topic_filter):
    """The share name and the filter within."""
    if topic_filter.startswith("$share/"):
        _, name, inner = topic_filter.split("/", 2)
        return name, inner
    return None, topic_filter


def permits(lines, access, topic):
    """Denials first, then what is allowed; what nobody mentions is denied."""
    if any(kind == "deny" and matches(topic_filter, topic) for kind, topic_filter in lines):
        return False
    return any(kind in (access, "readwrite") and matches(topic_filter, topic) for kind, topic_filter in lines)


class Session:
    def __init__(self, persistent):
        self.persistent = persistent
        self.subscriptions = {}
        # What waits: [payload, topic, whether it certainly waits].
        self.queue = []


class Model:
    """What a right broker would have, after the steps so far."""

    def __init__(self):
        self.rules = {}
        self.sessions = {}
        self.online = set()
        self.wills = {}
        self.removed = set()
        self.retained = {}

    def allowed(self, client, access, topic):
        """What the client's rules of now say."""
        return permits(self.rules.get(client, []), access, topic)

    def message(self, topic, payload, qos, before=None):
        """A message goes to everybody who should have it.

        `before`: (client, rules) of one whose rules were others while the message was under way.
        """
        def rights(client):
            """Whether it may certainly read the topic, and whether it possibly may."""
            now = self.allowed(client, READ, topic)
            if before is None or before[0] != client:
                return now, now
            then = permits(before[1], READ, topic)
            return now and then, now or then

        must, may, groups = set(), set(), {}
        for client, session in self.sessions.items():
            best = -1
            for topic_filter, granted in session.subscriptions.items():
                share, inner = unshared(topic_filter)
                if not matches(inner, topic):
                    continue
                if share is None:
                    best = max(best, granted)
                else:
                    groups.setdefault(topic_filter, set()).add((client, granted))
            if best < 0:
                continue
            is_certain, is_possible = rights(client)
            if client in self.online:
                if is_possible:
                    (must if is_certain else may).add((client, payload))
            elif session.persistent and min(best, qos) > 0:
                session.queue.append([payload, topic, is_certain])
        one_of = []
        for members in groups.values():
            served = {client for client, _ in members if client in self.online and rights(client)[1]}
            may |= {(client, payload) for client in served}
            if any(rights(client)[0] for client in served):
                one_of.append((frozenset(served), payload))
            for client, granted in members:
                # It may wait for somebody of the group who is away.
                session = self.sessions[client]
                if client not in self.online and session.persistent and min(granted, qos) > 0:
                    session.queue.append([payload, topic, False])
        return Expected(must, may, one_of)

    def will_of(self, client):
        """The will of a connection that was lost."""
        will = self.wills.pop(client, None)
        if will is None or not self.allowed(client, WRITE, will[0]):
            return Expected(set(), set(), [])
        return self.message(will[0], will[1], 1)

    def gone(self, client):
        self.online.discard(client)
        self.wills.pop(client, None)
        if client in self.sessions and not self.sessions[client].persistent:
            del self.sessions[client]

    # One method for each operation: (expected deliveries, what is wrong with the outcome or None).

    def rules_step(self, step):
        client = step["client"]
        self.rules[client] = [tuple(line) for line in step["lines"]]
        session = self.sessions.get(client)
        if session is not None:
            for item in session.queue:
                # What is denied meanwhile may have been thrown away.
                item[2] = item[2] and self.allowed(client, READ, item[1])
        return Expected(set(), set(), []), None

    def race_step(self, step):
        """Messages that were published before a reader's rules changed and answered after it."""
        client = step["client"]
        before = (client, self.rules.get(client, []))
        _, wrong = self.rules_step(step)
        must, may, one_of = set(), set(), []
        for (topic, payload), reason in zip(step["messages"], step["outcome"]["reasons"]):
            is_allowed = self.allowed(step["publisher"], WRITE, topic)
            if is_allowed != (reason < 0x80):
                wrong = f"{payload} was answered with {reason:#x}"
            if is_allowed:
                expected = self.message(topic, payload, 1, before)
                must, may, one_of = must | expected.must, may | expected.may, one_of + expected.one_of
        return Expected(must, may, one_of), wrong

    def withdrawn(self, step, client, payload):
        """Whether a delivery of this step is of a message that its receiver had lost the right to meanwhile."""
        topics = {payload: topic for topic, payload in step.get("messages", [])}
        return client == step["client"] and payload in topics and not self.allowed(client, READ, topics[payload])

    def connect_step(self, step):
        client, outcome = step["client"], step["outcome"]
        if client in self.removed:
            wrong = None if outcome["reason"] >= 0x80 else "a removed user was let in"
            return Expected(set(), set(), []), wrong
        will = step.get("will")
        if outcome["reason"] >= 0x80:
            denied = will is not None and not self.allowed(client, WRITE, will[0])
            return Expected(set(), set(), []), None if denied else f"refused with {outcome['reason']:#x}"
        takeover = Expected(set(), set(), [])
        if client in self.online:
            # A will without delay may go out when another connection takes over, if it may be published at all.
            sent = self.will_of(client)
            everybody = {pair for group, payload in sent.one_of for pair in ((member, payload) for member in group)}
            takeover = Expected(set(), sent.must | sent.may | everybody, [])
            for session in self.sessions.values():
                for item in session.queue:
                    item[2] = item[2] and not any(item[0] == payload for _, payload in takeover.may)
            self.gone(client)
        known = self.sessions.get(client)
        present = known is not None and not step["clean"]
        if outcome["session_present"] != present:
            return takeover, f"session present is {outcome['session_present']}"
        if not present:
            self.sessions[client] = Session(not step["clean"])
        session = self.sessions[client]
        session.persistent = not step["clean"]
        self.online.add(client)
        if will is not None:
            self.wills[client] = (will[0], will[1])
        must, may = set(), set(takeover.may)
        for payload, topic, is_certain in session.queue:
            if self.allowed(client, READ, topic):
                (must if is_certain else may).add((client, payload))
        session.queue.clear()
        return Expected(must, may, []), None

    def leave_step(self, step):
        self.gone(step["client"])
        return Expected(set(), set(), []), None

    def drop_step(self, step):
        client = step["client"]
        self.online.discard(client)
        will = self.wills.pop(client, None)
        session = self.sessions[client]
        if not session.persistent:
            del self.sessions[client]
        if will is not None:
            self.wills[client] = will
        return self.will_of(client), None

    def subscribe_step(self, step):
        client, topic_filter = step["client"], step["filter"]
        if step["outcome"]["reason"] >= 0x80:
            share, inner = unshared(topic_filter)
            wrong = self.allowed(client, READ, inner) and not set("+#") & set(inner)
            self.sessions[client].subscriptions.pop(topic_filter, None)
            return Expected(set(), set(), []), "a readable topic could not be subscribed to" if wrong else None
        self.sessions[client].subscriptions[topic_filter] = step["outcome"]["reason"]
        must, may = set(), set()
        share, inner = unshared(topic_filter)
        for topic, (payload, publisher) in self.retained.items():
            if share is None and matches(inner, topic) and self.allowed(client, READ, topic):
                if publisher in self.removed:
                    may.add((client, payload))
                elif self.allowed(publisher, WRITE, topic):
                    must.add((client, payload))
        return Expected(must, may, []), None

    def unsubscribe_step(self, step):
        self.sessions[step["client"]].subscriptions.pop(step["filter"], None)
        return Expected(set(), set(), []), None

    def publish_step(self, step):
        client, topic, payload = step["client"], step["topic"], step["payload"]
        reason = step["outcome"]["reason"]
        if not self.allowed(client, WRITE, topic):
            wrong = "a denied message was acknowledged as a good one" if step["qos"] and reason < 0x80 else None
            return Expected(set(), set(), []), wrong
        if step["qos"] and reason >= 0x80:
            return Expected(set(), set(), []), f"an allowed message was refused with {reason:#x}"
        if step["retain"]:
            self.retained[topic] = (payload, client)
        return self.message(topic, payload, step["qos"]), None

    def remove_step(self, step):
        client = step["client"]
        self.removed.add(client)
        wrong = None
        if client in self.online and not step["outcome"]["closed"]:
            wrong = "a removed user is still connected"
        sent = Expected(set(), set(), [])
        if client in self.online:
            sent = self.will_of(client)
        self.online.discard(client)
        self.sessions.pop(client, None)
        everybody = {(member, payload) for group, payload in sent.one_of for member in group}
        for session in self.sessions.values():
            for item in session.queue:
                item[2] = item[2] and not any(item[0] == payload for _, payload in sent.must | sent.may)
        # Whether a will goes out when a user is removed is left to the broker.
        return Expected(set(), sent.must | sent.may | everybody, []), wrong

    def settle_step(self, step):
        return Expected(set(), set(), []), None

    def restore_step(self, step):
        self.removed.discard(step["client"])
        return Expected(set(), set(), []), None

    def lost(self, step, client):
        """The broker has ended a connection by itself, which is right when the client's own rights were changed."""
        sent = self.will_of(client) if client in self.online else Expected(set(), set(), [])
        self.gone(client)
        may = sent.must | sent.may | {(member, payload) for group, payload in sent.one_of for member in group}
        for session in self.sessions.values():
            for item in session.queue:
                item[2] = item[2] and not any(item[0] == payload for _, payload in may)
        is_right = step["op"] in ("rules", "race", "remove", "restore") and client == step["client"]
        return may, None if is_right else f"{client} was disconnected"

    def apply(self, step):
        expected, wrong = getattr(self, f"{step['op']}_step")(step)
        for client in step.get("closed", []):
            may, problem = self.lost(step, client)
            expected, wrong = Expected(expected.must, expected.may | may, expected.one_of), wrong or problem
        return expected, wrong


def judge(steps):
    """Everything that is wrong with a run: (index of the step, kind, what).

    A step ends when the broker has given out everything that it caused, so there is no lateness: what must arrive has
    arrived in its step, and whatever else arrives in it is unauthorised. Messages under way while the rules change are
    steps of their own, and there a right that the receiver had at any instant of the step makes a delivery good.
    """
    model, found = Model(), []
    for index, step in enumerate(steps):
        expected, wrong = model.apply(step)
        if wrong:
            found.append((index, "outcome", f"{step['op']}: {wrong}"))
        got = {(client, payload) for client, payloads in step["got"].items() for payload in payloads}
        members = {(client, payload) for group, payload in expected.one_of for client in group}
        for client, payload in sorted(got - expected.must - expected.may - members):
            found.append((index, "unauthorised", f"{client} got {payload}"))
        for client, payload in sorted(expected.must - got):
            found.append((index, "denied", f"{client} did not get {payload}"))
        for group, payload in expected.one_of:
            if not any((client, payload) in got for client in group):
                found.append((index, "denied", f"nobody of {sorted(group)} got {payload}"))
        if step.get("took", 0) > REVOCATION_SECONDS:
            withdrawn = {(client, payload) for client, payload in got if model.withdrawn(step, client, payload)}
            found += [(index, "unauthorised", f"{client} got {payload}, and the change took too long")
                      for client, payload in sorted(withdrawn)]
    return found


def expectations(steps):
    """The model's expectation and a copy of its state's essentials before each step, for planting faults."""
    model = Model()
    for index, step in enumerate(steps):
        before = {
            "online": set(model.online), "removed": set(model.removed), "retained": dict(model.retained),
            "subscriptions": {client: dict(session.subscriptions) for client, session in model.sessions.items()},
            "queues": {client: [list(item) for item in session.queue] for client, session in model.sessions.items()},
            "wills": dict(model.wills), "rules": dict(model.rules),
        }
        expected, _ = model.apply(step)
        yield index, step, before, expected, model
