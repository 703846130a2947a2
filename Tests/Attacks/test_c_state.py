"""Clients that are in and misbehave: packet identifiers, sessions, queues and whatever grows."""

import itertools
import random
import resource
import signal
import threading
import time

import pytest

from attack import options, packets
from attack.arena import MEBIBYTE
from attack.packets import V5, V311, acknowledgement, publish, subscribe, topic_alias
from attack.peer import Closed, Peer
from attack.proxy import CuttingProxy
from support.clients import Device, MosquittoSub
from support.processes import LOOPBACK, wait_until

mosquitto_too = pytest.mark.applies_to_mosquitto


# C1


@mosquitto_too
@pytest.mark.parametrize("version", [V311, V5])
def test_c1_the_same_qos2_message_again_and_again_is_one(arena, version):
    """One packet identifier, sent over and over without PUBREL: stored once, delivered once."""
    count = arena.scaled(20_000, 1_000_000)
    target = arena.start()
    with Peer(target.port) as observer, Peer(target.port, version) as peer:
        observer.enter("observer")
        observer.subscribe(("once/#", 2))
        peer.enter("again")
        data = publish("once/t", b"x" * 50, qos=2, packet_id=1, version=version, duplicate=True)
        for _ in range(count // 1_000):
            peer.send(data * 1_000)
            peer.drain(0)
        while peer.step(1) is not None:
            pass
        peer.send(acknowledgement(packets.PUBREL, 1))
        peer.expect(packets.PUBCOMP)
        observer.ping()
        observer.drain(0.3)
        assert observer.payloads == [b"x" * 50]


@mosquitto_too
def test_c1_more_in_flight_than_was_agreed_ends_the_connection(arena):
    """QoS 2 messages without PUBREL beyond the receive maximum: 0x93."""
    target = arena.start(limits={"receive_maximum": 20}, mosquitto=["max_inflight_messages 20"])
    with Peer(target.port) as peer:
        connack = peer.connect("greedy")
        maximum = connack.properties.get(0x21, [65535])[0]
        arena.note("receive maximum", maximum)
        assert maximum == 20
        try:
            for number in range(1, maximum + 2):
                peer.send(publish("g/t", b"x", qos=2, packet_id=number))
        except Closed:
            pass
        assert peer.verdict() == 0x93
    target.expect_violation()


# C2


@mosquitto_too
def test_c2_identifiers_of_clients_that_never_release_are_freed(arena):
    """Clients leave QoS 2 hand-shakes half done, their sessions expire: nothing of them stays."""
    rounds = arena.scaled(150, 5_000)
    target = arena.start(limits={"receive_maximum": 100})
    for number in range(rounds):
        with Peer(target.port) as peer:
            peer.acknowledges = False
            peer.enter(f"half-{number}", items=[packets.session_expiry(1)])
            peer.subscribe(("half/t", 2))
            for packet_id in range(1, 4):
                peer.send(publish("half/t", b"y" * 1000, qos=2, packet_id=packet_id))
            peer.ping()
    # Expired: the same client finds no session.
    def is_gone():
        with Peer(target.port) as peer:
            return not peer.connect("half-0", clean=False).session_present
    wait_until(is_gone, "the sessions have expired", 20)


@mosquitto_too
def test_c2_no_identifier_is_used_twice_while_in_flight(arena, source):
    """A subscriber acknowledges in random order and reconnects: an identifier comes anew only once it is free."""
    target = arena.start()
    session = {"clean": False, "items": [packets.session_expiry(300), packets.receive_maximum(10)]}
    peer = Peer(target.port)
    peer.acknowledges = False
    peer.enter("model", **session)
    peer.subscribe(("model/t", 1))
    publisher = Peer(target.port).enter("publisher")
    in_flight, seen = {}, set()
    total = arena.scaled(300, 5_000)
    for number in range(total):
        publisher.publish("model/t", str(number))
    deadline = time.monotonic() + 60
    while len(seen) < total and time.monotonic() < deadline:
        found = peer.step(5)
        if not isinstance(found, packets.Message):
            continue
        if found.packet_id in in_flight:
            assert in_flight[found.packet_id] == found.payload and found.duplicate, "an identifier used twice"
        in_flight[found.packet_id] = found.payload
        assert len(in_flight) <= 10, "more in flight than the client takes"
        seen.add(found.payload)
        if len(in_flight) == 10 or source.random() < 0.3:
            chosen = source.choice(list(in_flight))
            peer.send(acknowledgement(packets.PUBACK, chosen))
            del in_flight[chosen]
        if source.random() < 0.02:
            peer.close()
            peer = Peer(target.port)
            peer.acknowledges = False
            assert peer.connect("model", **session).session_present
    assert seen == {str(number).encode() for number in range(total)}
    peer.close()
    publisher.close()


# C3


@mosquitto_too
def test_c3_a_storm_of_takeovers_subscriptions_and_publishes(arena, source):
    """Many clients of a few names throw each other out, subscribe, unsubscribe and publish, all at once."""
    seconds = arena.scaled(4, 60)
    target = arena.start(growth=32 * MEBIBYTE)
    stopping = threading.Event()
    counts = {"connected": 0, "cut": 0}
    troubles = []

    def storm(number):
        chance = random.Random(number)
        while not stopping.is_set():
            try:
                with Peer(target.port, chance.choice([V311, V5])) as peer:
                    peer.enter(f"storm-{chance.randrange(4)}", clean=chance.random() < 0.5)
                    counts["connected"] += 1
                    for step in range(chance.randrange(1, 30)):
                        shared = "$share/s/" if chance.random() < 0.3 else ""
                        peer.send(b"".join([
                            subscribe((f"{shared}storm/{chance.randrange(5)}/#", chance.randrange(3)),
                                      version=peer.version, packet_id=step + 1),
                            publish(f"storm/{chance.randrange(5)}/x", b"z" * chance.randrange(300),
                                    chance.randrange(3), chance.random() < 0.2, 100 + step, version=peer.version),
                            packets.unsubscribe(f"storm/{chance.randrange(5)}/#", version=peer.version,
                                                packet_id=50 + step),
                        ]))
                        peer.drain(0)
                        if chance.random() < 0.1:
                            break
            except (Closed, OSError):
                counts["cut"] += 1
            except AssertionError as error:
                # Thrown out before its CONNACK: that is the storm. Anything else is not.
                if "no CONNACK" not in str(error):
                    troubles.append(str(error))

    threads = [threading.Thread(target=storm, args=(source.random(),)) for _ in range(12)]
    for thread in threads:
        thread.start()
    threading.Event().wait(seconds)
    stopping.set()
    for thread in threads:
        thread.join(60)
    arena.note("connections", counts)
    assert not troubles, troubles[:3]
    assert counts["connected"] > 20


# C4


@mosquitto_too
@pytest.mark.parametrize("clean", [True, False])
def test_c4_a_takeover_tells_the_old_client_and_leaves_one(target, clean):
    """The second client of a name throws the first out, with 0x8E; messages reach exactly one of them."""
    with Peer(target.port) as old, Peer(target.port) as new, Peer(target.port) as publisher:
        old.enter("owner", clean=clean, items=[packets.session_expiry(60)])
        old.subscribe(("owner/t", 1))
        assert new.connect("owner", clean=clean, items=[packets.session_expiry(60)]).session_present == (not clean)
        if clean:
            new.subscribe(("owner/t", 1))
        assert old.verdict() == 0x8E
        publisher.enter("publisher")
        publisher.publish("owner/t", b"for one")
        new.wait_messages(1)
        assert new.payloads == [b"for one"]


# C5

# Will delay, session expiry, what happens after the connection was lost; and how many wills are due, and when at most.
WILLS = {
    "delay shorter than the session": (1, 10, "wait", 1),
    "delay as long as the session": (1, 1, "wait", 1),
    "delay longer than the session": (10, 1, "wait", 1),
    "delay, but the session ends with the connection": (10, 0, "wait", 1),
    "the client is back in time": (3, 60, "resume", 0),
    "the client is back with a clean start": (3, 60, "clean", 1),
    "another connection takes over with a clean start": (3, 60, "takeover clean", 1),
    "the broker dies and the client stays away": (2, 60, "restart", 1),
    "the broker dies and the client is back in time": (5, 60, "restart resume", 0),
}


@mosquitto_too
@pytest.mark.parametrize("name", WILLS)
def test_c5_a_will_is_due_once_in_every_order_of_events(arena, name):
    """Will delay, session expiry, takeover and restart in all nine orders: sent once or not at all."""
    delay, expiry, event, due = WILLS[name]
    target = arena.start()
    observer = Peer(target.port)
    observer.enter("observer", clean=False, items=[packets.session_expiry(300)])
    observer.subscribe(("will/t", 1))
    mortal = {
        "will": packets.Will("will/t", b"gone", qos=1, items=[packets.will_delay(delay)]),
        "items": [packets.session_expiry(expiry)],
        # A restarted broker gives a client one and a half keep alives to come back before its will is due.
        "keep_alive": 2 if "restart" in event else 60,
    }
    peer = Peer(target.port)
    peer.enter("mortal", **mortal)
    # Behind what is acknowledged from the disk, the will is on the disk as well.
    with Peer(target.port) as away:
        away.enter("away", clean=False, items=[packets.session_expiry(300)])
        away.subscribe(("mark/t", 1))
        away.leave()
    assert peer.publish("mark/t", b"mark") == 0
    others = []
    if "restart" in event:
        observer.close()
        target.restart()
        observer = Peer(target.port)
        assert observer.connect("observer", clean=False, items=[packets.session_expiry(300)]).session_present
    elif "takeover" not in event:
        peer.close()
    if event != "wait" and event != "restart":
        other = Peer(target.port)
        other.enter("mortal", clean="clean" in event, items=[packets.session_expiry(60)])
        others.append(other)
    observer.wait_messages(due)
    # Long enough for one that must not come.
    observer.drain(min(delay, expiry) + 1.5 if due == 0 else 1.5)
    assert observer.payloads == [b"gone"] * due
    for one in (observer, peer, *others):
        one.close()


# C6


@mosquitto_too
@pytest.mark.parametrize("qos", [0, 1])
def test_c6_a_subscriber_that_never_reads_costs_a_bounded_amount(arena, qos):
    """One subscriber stands still while messages for it pour in: bounded memory, the others are served."""
    count = arena.scaled(30_000, 1_000_000)
    target = arena.start(
        limits={"max_queued_bytes": "16MiB"}, growth=48 * MEBIBYTE, mosquitto=["max_queued_messages 1000"],
    )
    stalled = Peer(target.port)
    stalled.enter("stalled", clean=False, items=[packets.session_expiry(300)])
    stalled.subscribe(("flood/#", qos))
    with Peer(target.port) as publisher:
        publisher.enter("flooder")
        payload = b"x" * 1024
        for start in range(0, count, 100):
            publisher.send(b"".join(
                publish("flood/t", payload, qos, packet_id=number + 1 if qos else None) for number in range(100)
            ))
            if qos:
                for _ in range(100):
                    publisher.expect(packets.PUBACK)
            else:
                publisher.ping()
    arena.note("peak growth in MiB", round((target.bystander.peak - target.before) / MEBIBYTE, 1))
    assert target.bystander.peak - target.before < 96 * MEBIBYTE
    stalled.close()


# C7


@mosquitto_too
@pytest.mark.parametrize("alias", [0, 65535, "one too many"])
def test_c7_an_alias_beyond_the_maximum_ends_the_connection(target, alias):
    """Alias 0, the largest number there is, and one more than the broker takes: 0x94."""
    with Peer(target.port) as peer:
        maximum = peer.connect("alias").properties.get(0x22, [0])[0]
        number = maximum + 1 if alias == "one too many" else alias
        peer.send(publish("a", b"x", items=[topic_alias(number)]))
        assert peer.verdict() in (0x94, 0x82)
    target.expect_violation()


@mosquitto_too
def test_c7_aliases_end_with_their_connection(target):
    """An alias that nobody has set in this connection: not known from the one before, nor from another client."""
    with Peer(target.port) as peer, Peer(target.port) as other:
        keeps = {"clean": False, "items": [packets.session_expiry(60)]}
        peer.enter("alias", **keeps)
        other.enter("other")
        peer.publish("alias/t", b"x", items=[topic_alias(1)])
        peer.publish("", b"x", items=[topic_alias(1)])
        other.send(publish("", b"x", items=[topic_alias(1)]))
        assert other.verdict() in (0x82, 0x94)
        peer.close()
    with Peer(target.port) as peer:
        peer.enter("alias", **keeps)
        peer.send(publish("", b"x", items=[topic_alias(1)]))
        assert peer.verdict() in (0x82, 0x94)


@mosquitto_too
def test_c7_aliases_changed_all_the_time_cost_nothing(arena, target):
    """Every alias set anew with long topics, again and again."""
    with Peer(target.port) as peer:
        maximum = peer.connect("alias").properties[0x22][0]
        for number in range(arena.scaled(5_000, 65_535 * 3)):
            peer.send(publish(f"{'t' * 500}/{number}", b"x", items=[topic_alias(number % maximum + 1)]))
        peer.ping()


# C8


def test_c8_one_client_has_its_quota_of_everything(arena):
    """Retained topics, subscriptions and sessions without number: refused with a reason code, the memory stays."""
    target = arena.start(limits={"max_retained_messages": 1_000, "max_subscriptions": 100, "max_sessions": 200})
    count = arena.scaled(5_000, 1_000_000)
    with Peer(target.port) as peer:
        peer.enter("hoarder")
        refusals = 0
        for start in range(0, count, 500):
            peer.send(b"".join(
                publish(f"hoard/{start + number}", b"x" * 200, qos=1, retain=True, packet_id=number + 1)
                for number in range(200)
            ))
            for _ in range(200):
                body = peer.expect(packets.PUBACK)
                refusals += len(body) > 2 and body[2] == 0x97
        arena.note("retained messages refused", refusals)
        reasons = []
        for start in range(0, arena.scaled(1_000, 20_000), 20):
            reasons += peer.subscribe(*[f"hoard/{start + number}/+" for number in range(20)])
        arena.note("subscriptions granted", sum(reason < 3 for reason in reasons))
        assert reasons.count(0x97) == len(reasons) - 100
    sessions = [Peer(target.port) for _ in range(300)]
    answers = []
    for number, one in enumerate(sessions):
        answers.append(one.connect(f"session-{number}", items=[packets.session_expiry(600)]).reason)
        one.close()
    arena.note("sessions granted", answers.count(0))
    # Server busy: another time there may be room, without anything that this client could do about it.
    assert answers.count(0) <= 200 and set(answers) == {0, 0x89}
    with Peer(target.port) as reader:
        # A new client finds no room; the retained messages are counted by the one that was there before.
        assert reader.connect("late").reason == 0x89


@mosquitto_too
def test_c8_topics_without_number_are_not_remembered(arena):
    """Hundreds of thousands of topics, published once each: the broker keeps none of them."""
    count = arena.scaled(100_000, 1_000_000)
    target = arena.start(growth=64 * MEBIBYTE)
    with Peer(target.port) as peer, Peer(target.port) as observer:
        observer.enter("observer")
        observer.subscribe("elsewhere/#")
        peer.enter("wanderer")
        for start in range(0, count, 1_000):
            peer.send(b"".join(publish(f"wander/{start + number}/x", b"") for number in range(1_000)))
            peer.ping()
    arena.note("growth in MiB", round((target.resident() - target.before) / MEBIBYTE, 1))


# C9

POISON = [
    b"", b"{", b"null", b"[]", b"1e999", b'{"glucose": "NaN"}', b'{"glucose": 1e308, "time": -1}',
    b'{"mg_dl": 99999999999999999999999}', b"[" * 1_000, b'{"a":' * 500, b"\xff\xfe", b'{"time": 9223372036854775807}',
    b'{"value": null, "unit": {}}', b'"' + b"x" * 60_000 + b'"', b'{"cgm": {"value": -0}}', b"0" * 1_000,
]


def test_c9_poison_for_handlers_does_not_stop_the_loop(arena, source):
    """Payloads made to break the handlers: they go to the dead letters, the broker and the others go on."""
    handlers = [
        {"name": "glucose", "plugin": "medication.insulin", "topics": ["ward/+/bed/{bed}/+"], "key": "{bed}"},
        {"name": "welcome", "plugin": "retail.coupon", "topics": ["customer/{customer}/+"], "key": "{customer}"},
    ]
    key = arena.path("site-key", "a secret of the site that is long enough")
    target = arena.start(site_key={"file": str(key)}, handlers=handlers, growth=32 * MEBIBYTE)
    kinds = ["cgm", "dose", "meal", "patient", "purchase", "beacon", "profile", "command", "x"]
    with Peer(target.port) as peer:
        peer.enter("poisoner")
        for number, (poison, kind) in enumerate(itertools.product(POISON, kinds)):
            peer.publish(f"ward/1/bed/{number % 5}/{kind}", poison)
            peer.publish(f"customer/{number % 5}/{kind}", poison)
        for _ in range(arena.scaled(300, 20_000)):
            peer.publish(f"ward/1/bed/9/{source.choice(kinds)}", source.randbytes(source.randrange(200)))
    # Beds and customers of which nobody has heard are refused as well as keys that are no names.
    assert target.node.get("/livez")[0] == 200


def test_c9_no_descriptors_left_is_no_reason_to_stop(arena):
    """More connections than the process has descriptors: it goes on accepting once there are some again."""
    target = arena.start()
    _, hard = resource.prlimit(target.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(target.pid, resource.RLIMIT_NOFILE, (target.descriptors() + 20, hard))
    crowd = []
    for _ in range(100):
        try:
            crowd.append(Peer(target.port, seconds=2))
        except OSError:
            break
    arena.note("connected", len(crowd))
    for peer in crowd:
        peer.close()
    resource.prlimit(target.pid, resource.RLIMIT_NOFILE, (hard, hard))

    def is_served():
        try:
            with Peer(target.port, seconds=2) as peer:
                peer.send(packets.connect("after"))
                return (peer.receive(2) or (0, b""))[0] == packets.CONNACK
        except (OSError, Closed):
            return False

    wait_until(is_served, "it accepts again", 30)


# C10


def test_c10_a_reload_without_descriptors_leaves_everything_as_it_was(arena):
    """SIGHUP while no file can be opened: the old rules stay, nobody gets in who was out before."""
    users = options.passwords(arena, alice="correct horse")
    acl = arena.path("acl", "user alice\ntopic readwrite alice/#\ntopic readwrite bystander/#\n")
    target = arena.start(
        needs=["acl_file", "access"], users={"password_file": str(users)}, access={"acl_file": str(acl)},
        bystander={"connect": {"username": "alice", "password": "correct horse"}},
    )
    with Peer(target.port) as alice:
        alice.enter("alice", username="alice", password="correct horse")
        _, hard = resource.prlimit(target.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(target.pid, resource.RLIMIT_NOFILE, (1, hard))
        before = target.node.log.count("\n")
        target.node.process.signal(signal.SIGHUP)
        wait_until(lambda: target.node.log.count("\n") > before, "the reload says something", 15)
        resource.prlimit(target.pid, resource.RLIMIT_NOFILE, (hard, hard))
        assert alice.publish("alice/t", b"x") in (0, 0x10)
        assert alice.publish("other/t", b"x") == 0x87
    for username, password in ((None, None), ("alice", "wrong"), ("mallory", "x")):
        with Peer(target.port) as peer:
            assert peer.connect("x", username=username, password=password).reason in (0x86, 0x87)
    with Peer(target.port) as alice:
        alice.enter("alice", username="alice", password="correct horse")


# C11


@mosquitto_too
def test_c11_overflow_and_restart_again_and_again_leaks_nothing(arena):
    """A queue that overflows, then a restart, over and over: memory after the last as after the first."""
    rounds = arena.scaled(6, 100)
    target = arena.start(
        limits={"max_queued_messages": 200}, growth=32 * MEBIBYTE, bystander=False,
        mosquitto=["max_queued_messages 200"],
    )
    sizes = []
    for number in range(rounds):
        with Peer(target.port) as keeper:
            keeper.enter("keeper", clean=False, items=[packets.session_expiry(3_600)])
            keeper.subscribe(("overflow/t", 1))
        with Peer(target.port) as publisher:
            publisher.enter("publisher")
            for start in range(5):
                publisher.send(b"".join(publish("overflow/t", b"x" * 500, 1, packet_id=one + 1) for one in range(100)))
                for _ in range(100):
                    publisher.expect(packets.PUBACK)
        target.restart(kill=number % 2 == 0)
        sizes.append(target.resident())
        target.before = sizes[0]
        with Peer(target.port) as keeper:
            assert keeper.connect("keeper", clean=False, items=[packets.session_expiry(3_600)]).session_present
            keeper.drain(0.5)
            assert 200 <= len(keeper.messages) <= 300
    arena.note("resident MiB after each restart", [round(size / MEBIBYTE, 1) for size in sizes])
    assert sizes[-1] - sizes[0] < 16 * MEBIBYTE


# C12


def test_c12_a_bridge_finishes_its_handshakes_after_a_cut(arena, mosquitto):
    """The link is cut between PUBREC and PUBREL, many times: every QoS 2 message arrives, once."""
    cuts = arena.scaled(5, 100)
    remote = mosquitto("remote")
    with CuttingProxy(remote.port, cut_on=packets.PUBREL & 0xF0, cuts=cuts) as proxy:
        node = options.mosquitto_site(arena, [
            "connection cloud", f"address {LOOPBACK}:{proxy.port}", "topic up/# out 2", "restart_timeout 1",
            "cleansession false", "try_private true", "notifications false",
        ])
        with MosquittoSub(remote.port, "up/#", qos=2) as observer, Device(node.port) as device:
            for number in range(cuts * 3):
                device.publish("up/t", str(number), qos=2)
            wait_until(
                lambda: len({message.payload for message in observer.messages}) == cuts * 3,
                "every message is at the other side", 30 + cuts * 5,
            )
            wait_until(lambda: proxy.done >= 1, "a cut happened", 30)
            arena.note("cuts", proxy.done)
            assert len(observer.messages) == cuts * 3, "a message came twice"
    assert node.is_running


# C13


@mosquitto_too
def test_c13_pubrec_comes_after_the_disk(arena):
    """The broker dies the moment PUBREC is out: after the restart the message is there, once."""
    target = arena.start()
    keeps = {"clean": False, "items": [packets.session_expiry(3_600)]}
    with Peer(target.port) as keeper:
        keeper.enter("keeper", **keeps)
        keeper.subscribe(("durable/t", 2))
    for number in range(arena.scaled(5, 50)):
        with Peer(target.port) as publisher:
            publisher.connect("publisher", **keeps)
            publisher.send(publish("durable/t", str(number), qos=2, packet_id=7))
            publisher.expect(packets.PUBREC)
            target.restart()
        with Peer(target.port) as publisher:
            # The publisher goes on where it was: PUBREL for what it has a PUBREC of.
            assert publisher.connect("publisher", **keeps).session_present
            publisher.send(acknowledgement(packets.PUBREL, 7))
            publisher.expect(packets.PUBCOMP)
    with Peer(target.port) as keeper:
        assert keeper.connect("keeper", **keeps).session_present
        keeper.wait_messages(arena.scaled(5, 50))
        keeper.drain(0.5)
        assert keeper.payloads == [str(number).encode() for number in range(arena.scaled(5, 50))]
