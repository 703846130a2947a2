"""Random sequences of users, rules, subscriptions and messages against a broker; what happened, step by step."""

import itertools
import json
import random
import signal
import time

from support.processes import run

from . import packets
from .peer import Closed, Peer

CLIENTS = ["u0", "u1", "u2", "u3"]
WORDS = ["a", "b", "c"]
STEPS = 40
# Every client may read a topic of its own, which no random filter reaches: what comes on it came behind everything else.
BARRIER = "barrier"
# Of the administrator's: its durable session makes the journal hold what is published to its barrier.
KEEPER = "keeper"
# How long a change of the rules may take before the run counts it as not done.
CHANGE_SECONDS = 20.0


def password(name):
    return f"{name} has a long password"


def own_barrier(client):
    return ("read", f"{BARRIER}/{client}")


class AclFile:
    """Rules in an ACL file and users in a password file, changed on disk and with SIGHUP."""

    name = "acl_file"

    def __init__(self, folder):
        self.folder = folder
        self.acl = folder / "acl"
        self.passwords = folder / "passwords"
        self.lines = {}
        self.absent = set()
        self.version = 0
        everybody = [*CLIENTS, "admin", "bystander"]
        self.passwords.write_text("".join(f"{name}:{password(name)}\n" for name in everybody))
        run(["mosquitto_passwd", "-U", self.passwords], check=0)
        self.passwords.chmod(0o600)
        self.hashes = dict(line.split(":", 1) for line in self.passwords.read_text().splitlines())
        self.write()

    @property
    def configuration(self):
        return {"users": {"password_file": str(self.passwords)}, "access": {"acl_file": str(self.acl)}}

    def write(self):
        blocks = [
            f"user {client}\n" + "".join(f"topic {kind} {one}\n" for kind, one in [own_barrier(client), *lines])
            for client, lines in self.lines.items()
        ]
        # The administrator may publish to the newest version's topic alone: that tells when the rules are in force.
        head = (
            "user bystander\ntopic readwrite bystander/#\n\n"
            f"user admin\ntopic readwrite s/#\ntopic readwrite {BARRIER}/#\ntopic write version/{self.version}\n"
        )
        self.acl.write_text(head + "\n" + "\n".join(blocks))
        self.passwords.write_text("".join(
            f"{name}:{value}\n" for name, value in self.hashes.items() if name not in self.absent
        ))

    def prepare(self, admin):
        """Nothing to do: the files are there."""

    def attach(self, target, admin):
        self.target = target
        self.admin = admin

    def change(self):
        """Writes the files, sends SIGHUP and waits until the new rules are in force: the seconds it took."""
        self.version += 1
        self.write()
        started = time.monotonic()
        self.target.node.process.signal(signal.SIGHUP)
        while self.admin.publish(f"version/{self.version}", b"") >= 0x80:
            if time.monotonic() - started > CHANGE_SECONDS:
                raise AssertionError("the new rules are not in force")
        return time.monotonic() - started

    def rules(self, client, lines):
        self.lines[client] = lines
        return self.change()

    def remove(self, client):
        self.absent.add(client)
        return self.change()

    def restore(self, client):
        self.absent.discard(client)
        return self.change()


class DynamicSecurity:
    """The same through commands on `$CONTROL/dynamic-security/v1`."""

    name = "dynamic_security"
    TOPIC = "$CONTROL/dynamic-security/v1"

    def __init__(self, folder):
        self.file = folder / "dynamic-security.json"
        run(["mosquitto_ctrl", "dynsec", "init", self.file, "admin", password("admin")], check=0)
        self.file.chmod(0o600)

    @property
    def configuration(self):
        return {"access": {"dynamic_security": str(self.file)}}

    def prepare(self, admin):
        """Makes the users, each with a role of its own; the last command is the one that may end the connection."""
        self.attach(None, admin)
        commands = [{
            "command": "setDefaultACLAccess",
            "acls": [{"acltype": kind, "allow": kind == "unsubscribe"} for kind in
                     ("publishClientSend", "publishClientReceive", "subscribe", "unsubscribe")],
        }]
        for client in [*CLIENTS, "bystander"]:
            commands += [
                {"command": "createRole", "rolename": f"role-{client}", "acls": self.acls([])},
                {"command": "createClient", "username": client, "password": password(client),
                 "roles": [{"rolename": f"role-{client}"}]},
            ]
        commands.append({
            "command": "modifyRole", "rolename": "role-bystander", "acls": self.acls([("readwrite", "bystander/#")]),
        })
        self.ask(*commands)
        try:
            self.ask({
                "command": "addRoleACL", "rolename": "admin", "acltype": "publishClientSend", "topic": "#", "allow": True,
            })
        except Closed:
            pass

    def attach(self, target, admin):
        self.admin = admin
        admin.subscribe(f"{self.TOPIC}/response")

    @staticmethod
    def acls(lines):
        """Subscribing is allowed, as with an ACL file: what counts is delivery."""
        found = [{"acltype": "subscribePattern", "topic": "#", "allow": True, "priority": 0}]
        for kind, topic_filter in lines:
            for word, acltype in (("write", "publishClientSend"), ("read", "publishClientReceive")):
                if kind == "deny":
                    found.append({"acltype": acltype, "topic": topic_filter, "allow": False, "priority": 10})
                elif kind in (word, "readwrite"):
                    found.append({"acltype": acltype, "topic": topic_filter, "allow": True, "priority": 0})
        return found

    def ask(self, *commands):
        """Sends commands and reads the answer: the seconds it took."""
        started = time.monotonic()
        self.admin.messages.clear()
        self.admin.publish(self.TOPIC, json.dumps({"commands": list(commands)}))
        answer = json.loads(self.admin.wait_messages(1)[0].payload)
        errors = [one for one in answer["responses"] if "error" in one]
        assert not errors, errors
        self.admin.messages.clear()
        return time.monotonic() - started

    def rules(self, client, lines):
        # Of the same kind and filter there is one entry in a role.
        acls = self.acls(dict.fromkeys([own_barrier(client), *lines]))
        return self.ask({"command": "modifyRole", "rolename": f"role-{client}", "acls": acls})

    def remove(self, client):
        return self.ask({"command": "disableClient", "username": client})

    def restore(self, client):
        return self.ask({"command": "enableClient", "username": client})


class Sequence:
    """One run: what it does is decided by the seed alone, what it sees goes into `steps`."""

    def __init__(self, target, backend, admin, keeper, seed):
        self.target = target
        self.keeper = keeper
        self.backend = backend
        self.admin = admin
        self.random = random.Random(seed)
        self.root = f"s/{seed & 0xFFFFFFFF:x}"
        self.peers = {}
        self.peers_clean = {}
        self.subscribed = {client: [] for client in CLIENTS}
        self.removed = set()
        self.topics = set()
        self.changes = []
        self.steps = []
        self.numbers = itertools.count(1)

    # What might be done.

    def topic(self):
        return "/".join([self.root, *(self.random.choice(WORDS) for _ in range(self.random.randrange(1, 4)))])

    def filter(self):
        words = [self.random.choice([*WORDS, "+"]) for _ in range(self.random.randrange(1, 4))]
        if self.random.random() < 0.4:
            words[-1] = "#"
        return "/".join([self.root, *words])

    def subscription(self):
        share = f"$share/{self.random.choice('gh')}/" if self.random.random() < 0.25 else ""
        return share + self.filter()

    def lines(self):
        kinds = ["read", "write", "readwrite", "readwrite", "readwrite", "deny"]
        # Of one filter there is one line: where rules are entries of a role, a second one replaces the first.
        found = {self.filter(): self.random.choice(kinds) for _ in range(self.random.randrange(1, 5))}
        if self.random.random() < 0.65:
            found[f"{self.root}/#"] = "readwrite"
        return [(kind, topic_filter) for topic_filter, kind in found.items()]

    # What is done.

    def log(self, op, client, outcome=None, **more):
        """Writes a step down, with everything that has come since the last one."""
        # The keeper's session is durable: the acknowledgement says that everything the journal held before is out.
        self.admin.publish(f"{BARRIER}/{KEEPER}", b"")
        self.keeper.ping()
        self.keeper.messages.clear()
        got, closed = {}, []
        for name, peer in list(self.peers.items()):
            try:
                peer.ping()
            except Closed:
                closed.append(name)
                self.peers.pop(name).close()
                if self.peers_clean[name]:
                    self.subscribed[name] = []
            found = [message.payload.decode() for message in peer.messages if not message.topic.startswith(BARRIER)]
            peer.messages.clear()
            if found:
                got[name] = found
        self.steps.append({"op": op, "client": client, "outcome": outcome or {}, "got": got, **more})
        if closed:
            self.steps[-1]["closed"] = closed

    def connect(self, client, clean=None, will=True):
        clean = self.random.random() < 0.4 if clean is None else clean
        chosen = (self.topic(), f"will {next(self.numbers)}") if will and self.random.random() < 0.4 else None
        old = self.peers.pop(client, None)
        peer = Peer(self.target.port)
        connack = peer.connect(
            client, clean=clean, items=[] if clean else [packets.session_expiry(600)], username=client,
            password=password(client), will=packets.Will(chosen[0], chosen[1].encode(), qos=1) if chosen else None,
        )
        late = []
        if old is not None and connack.reason == 0:
            # What was on the way to the old connection was sent before the takeover.
            old.acknowledges = False
            old.drain(0)
            late = [message.payload.decode() for message in old.messages if not message.topic.startswith(BARRIER)]
            old.close()
        if connack.reason:
            peer.close()
            if old is not None:
                self.peers[client] = old
        else:
            self.peers[client] = peer
            self.peers_clean[client] = clean
            if clean:
                self.subscribed[client] = []
        if connack.reason == 0:
            self.wait_behind_queue(client, peer)
        outcome = {"reason": connack.reason, "session_present": connack.session_present}
        self.log("connect", client, outcome, clean=clean, will=chosen)
        if late:
            self.steps[-1]["got"].setdefault(client, []).extend(late)

    def wait_behind_queue(self, client, peer):
        """What waited for a session is read from the journal and sent after CONNACK: until all of it has come."""
        topic = f"{BARRIER}/{client}"
        peer.subscribe((topic, 1))
        mark = f"behind {next(self.numbers)}".encode()
        self.admin.publish(topic, mark)
        while not any(message.topic == topic and message.payload == mark for message in peer.messages):
            assert peer.step(CHANGE_SECONDS) is not None, "the barrier does not come"

    def leave(self, client):
        peer = self.peers.pop(client)
        peer.leave()
        self.log("leave", client)

    def drop(self, client):
        """Ends with the will: by the reason code for that, or by a packet that is none."""
        peer = self.peers.pop(client)
        peer.send(packets.disconnect(0x04) if self.random.random() < 0.5 else b"\x00\x00")
        peer.rest()
        peer.close()
        self.log("drop", client)

    def subscribe(self, client):
        chosen = self.subscription()
        reason = self.peers[client].subscribe((chosen, self.random.randrange(3)))[0]
        if reason < 0x80:
            self.subscribed[client].append(chosen)
        if not self.peers_clean[client]:
            # Retained messages wait in its queue for the journal.
            self.wait_behind_queue(client, self.peers[client])
        self.log("subscribe", client, {"reason": reason}, filter=chosen)

    def unsubscribe(self, client):
        chosen = self.random.choice(self.subscribed[client])
        self.peers[client].unsubscribe(chosen)
        self.subscribed[client] = [one for one in self.subscribed[client] if one != chosen]
        self.log("unsubscribe", client, filter=chosen)

    def publish(self, client):
        topic, qos, retain = self.topic(), self.random.choice([0, 1, 1, 2]), self.random.random() < 0.3
        payload = f"message {next(self.numbers)}"
        reason = self.peers[client].publish(topic, payload.encode(), qos, retain=retain)
        if qos == 0:
            self.peers[client].ping()
        self.topics.add(topic)
        self.log("publish", client, {"reason": reason}, topic=topic, payload=payload, qos=qos, retain=retain)

    def rules(self, client):
        lines = self.lines()
        took = self.backend.rules(client, lines)
        self.changes.append(took)
        self.log("rules", client, lines=lines, took=took)

    def race(self, client):
        """A reader's rules change while messages are on their way to it: published before, answered after."""
        publishers = [one for one in self.peers if one != client]
        if not publishers:
            self.rules(client)
            return
        publisher, lines = self.random.choice(publishers), self.lines()
        peer = self.peers[publisher]
        sent = [(self.topic(), f"message {next(self.numbers)}") for _ in range(self.random.randrange(2, 12))]
        peer.send(b"".join(
            packets.publish(topic, payload, 1, packet_id=number) for number, (topic, payload) in enumerate(sent, 1)
        ))
        took = self.backend.rules(client, lines)
        self.changes.append(took)
        reasons = {}
        while len(reasons) < len(sent):
            body = peer.expect(packets.PUBACK)
            reasons[int.from_bytes(body[:2], "big")] = body[2] if len(body) > 2 else 0
        outcome = {"reasons": [reasons[number] for number in range(1, len(sent) + 1)]}
        self.log("race", client, outcome, publisher=publisher, lines=lines, messages=sent, took=took)

    def remove(self, client):
        self.changes.append(self.backend.remove(client))
        self.removed.add(client)
        peer = self.peers.pop(client, None)
        closed = True
        if peer is not None:
            started = time.monotonic()
            try:
                peer.rest(5)
            except AssertionError:
                closed = False
            self.changes.append(time.monotonic() - started)
            peer.close()
        self.subscribed[client] = []
        self.log("remove", client, {"closed": closed})

    def restore(self, client):
        self.backend.restore(client)
        self.removed.discard(client)
        self.log("restore", client)
        # What the broker kept of its session meanwhile is its own affair.
        self.connect(client, clean=True, will=False)

    def run(self):
        """All steps; answers them."""
        for client in CLIENTS:
            self.rules(client)
            self.connect(client, clean=True, will=False)
            self.subscribe(client)
        for _ in range(STEPS):
            client = self.random.choice(CLIENTS)
            if client in self.removed:
                self.random.choice([self.restore, self.connect])(client)
            elif client not in self.peers:
                self.random.choice([self.connect, self.connect, self.rules])(client)
            else:
                choices = [self.publish] * 12 + [self.subscribe] * 5 + [
                    self.rules, self.rules, self.race, self.race, self.leave, self.drop, self.drop, self.connect, self.remove,
                ]
                if self.subscribed[client]:
                    choices.append(self.unsubscribe)
                self.random.choice(choices)(client)
        self.log("settle", "")
        self.clean()
        return self.steps

    def clean(self):
        """Nothing of this run is left for the next."""
        for client in list(self.removed):
            self.backend.restore(client)
        for peer in self.peers.values():
            peer.leave()
        for client in CLIENTS:
            with Peer(self.target.port) as peer:
                peer.enter(client, username=client, password=password(client))
                peer.leave()
        for topic in self.topics:
            self.admin.publish(topic, b"", retain=True)


def play(target, backend, seeds):
    """Runs sequences one after the other: yields (seed, steps, seconds that changes took)."""
    with Peer(target.port) as admin:
        admin.enter("admin", username="admin", password=password("admin"))
        backend.prepare(admin)
    with Peer(target.port) as admin:
        # A change of the administrator's own rights may have ended its first connection.
        admin.enter("admin", username="admin", password=password("admin"))
        backend.attach(target, admin)
        with Peer(target.port) as keeper:
            keeper.enter(KEEPER, clean=False, items=[packets.session_expiry(600)], username="admin",
                         password=password("admin"))
            assert keeper.subscribe((f"{BARRIER}/{KEEPER}", 1))[0] < 0x80
            for seed in seeds:
                sequence = Sequence(target, backend, admin, keeper, seed)
                try:
                    yield seed, sequence.run(), sequence.changes
                finally:
                    for peer in sequence.peers.values():
                        peer.close()
