"""Bytes made to confuse: what the decoder, the topics and the session's first checks must refuse."""

import itertools
import random
import socket

import pytest

from attack import options, packets
from attack.arena import listener
from attack.hostile_server import CONNACK, HostileServer
from attack.packets import V5, V31, V311, acknowledgement, properties, prop, publish, subscribe, topic_alias, unsubscribe
from attack.peer import Closed, Peer, after_connect, closes
from attack.websocket import WebSocketPeer, frame
from support.chain import bridge
from support.clients import Device
from support.processes import LOOPBACK, free_port, wait_until
from support.wire import packet, text

mosquitto_too = pytest.mark.applies_to_mosquitto

MALFORMED, PROTOCOL_ERROR = 0x81, 0x82
# Where the standard leaves the choice between the two, either will do.
WRONG = {MALFORMED, PROTOCOL_ERROR}


def refused(target, data, reasons, version=V5, **options):
    target.expect_violation()
    reason = after_connect(target.port, data, version=version, **options)
    # A broker need not say why; ours does, from 5.0 on.
    may_be_silent = version != V5 or target.is_mosquitto
    assert reason in (reasons if version == V5 else set()) | ({None} if may_be_silent else set()), reason


# B1

FIVE = b"\x80\x80\x80\x80\x01"
LONG_INTEGERS = {
    "remaining length": b"\x30" + FIVE,
    "remaining length of a PINGREQ": b"\xc0\x80\x80\x80\x80\x00",
    "PUBLISH": publish("a", block=FIVE),
    "SUBSCRIBE": subscribe("a", block=FIVE),
    "UNSUBSCRIBE": unsubscribe("a", block=FIVE),
    "PUBACK": acknowledgement(packets.PUBACK, 1, 0, FIVE),
    "PUBREC": acknowledgement(packets.PUBREC, 1, 0, FIVE),
    "PUBREL": acknowledgement(packets.PUBREL, 1, 0, FIVE),
    "PUBCOMP": acknowledgement(packets.PUBCOMP, 1, 0, FIVE),
    "DISCONNECT": packets.disconnect(0, FIVE),
    "AUTH": packets.auth(0x18, FIVE),
    "subscription identifier": subscribe("a", block=properties(prop(0x0B, FIVE))),
    "property identifier": publish("a", block=properties(FIVE + b"\x01")),
}


@mosquitto_too
@pytest.mark.parametrize("name", LONG_INTEGERS)
def test_b1_a_variable_integer_has_at_most_four_bytes(target, name):
    """A fifth byte, wherever a variable byte integer may stand, is malformed."""
    refused(target, LONG_INTEGERS[name], WRONG)


@mosquitto_too
@pytest.mark.parametrize("name", ["remaining length", "properties", "will properties"])
def test_b1_nor_in_connect(target, name):
    """The same within CONNECT, where nobody is known yet."""
    broken = {
        "remaining length": b"\x10" + FIVE + packets.connect("x")[2:],
        "properties": packets.connect("x", block=FIVE),
        "will properties": packet(0x10, text("MQTT") + bytes([5, 6, 0, 60, 0]) + text("x") + FIVE + text("t") + text("p")),
    }
    reason, _ = closes(target.port, broken[name])
    assert reason in WRONG | {None}


# B2


@mosquitto_too
@pytest.mark.parametrize("announced", [4, 4096, 1_000_000])
def test_b2_a_packet_that_ends_early_is_a_clean_close(target, announced):
    """More is announced than comes, then the client closes: the broker closes too, and keeps nothing."""
    for _ in range(50):
        with Peer(target.port) as peer:
            peer.enter("short")
            peer.send(b"\x30" + packets.varint(announced) + b"\x00\x01a")
            peer.socket.shutdown(socket.SHUT_WR)
            peer.rest(20)


def conversation(peer, topic):
    """A conversation with every kind of packet; its answers must be right however it was cut."""
    peer.enter("cut", items=[packets.user("a", "b")])
    assert peer.subscribe((topic, 2)) == [2]
    assert peer.publish(topic, b"one", qos=1, packet_id=1) == 0
    assert peer.publish(topic, b"two" * 100, qos=2, packet_id=2, items=[packets.user("k", "v")]) == 0
    peer.wait_messages(2)
    peer.ping()
    assert peer.payloads == [b"one", b"two" * 100]
    assert peer.unsubscribe(topic) == [0]
    peer.send(packets.disconnect())


class DrippingPeer(Peer):
    """Writes each packet in random pieces."""

    def __init__(self, port, source):
        self.random = source
        super().__init__(port)

    def write(self, data):
        for piece in pieces(data, self.random):
            super().write(piece)


def pieces(data, source):
    """Bytes cut at random places, some pieces empty."""
    if not data:
        return [data]
    cuts = sorted(source.randrange(len(data) + 1) for _ in range(source.randrange(0, 8)))
    return [data[start:end] for start, end in itertools.pairwise([0, *cuts, len(data)])]


@mosquitto_too
def test_b2_packets_may_be_cut_anywhere(arena, target, source):
    """The same conversation in random pieces over TCP: always understood alike."""
    for _ in range(arena.scaled(30, 1_000)):
        with DrippingPeer(target.port, source) as peer:
            conversation(peer, "cut/t")


def test_b2_websocket_frames_may_be_cut_anywhere(arena, source):
    """The same in random WebSocket frames; and a frame that announces more than comes."""
    port = free_port()
    arena.start(
        needs=["websockets"], listeners=[listener(plain := free_port()), options.websocket(port)],
        bystander={"transport": {"port": plain}},
    )
    for _ in range(arena.scaled(30, 1_000)):
        with WebSocketPeer(port, cut=lambda data: pieces(data, source)) as peer:
            conversation(peer, "cut/t")
    for length in (4096, 1 << 20, 1 << 40, (1 << 63) - 1):
        with WebSocketPeer(port) as peer:
            peer.enter("short")
            peer.send_raw(frame(b"\x30\x10\x00", length=length))
            peer.socket.shutdown(socket.SHUT_WR)
            peer.drain(0)
            try:
                while peer.receive(10) is not None:
                    pass
            except Closed:
                continue
            raise AssertionError("not closed")


# B3


@mosquitto_too
@pytest.mark.parametrize("version", [V31, V311, V5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_b3_an_empty_topic_is_refused(target, version, qos):
    """A PUBLISH without a topic and without an alias for one."""
    data = publish("", b"x", qos=qos, version=version)
    refused(target, data, {PROTOCOL_ERROR, MALFORMED, 0x90}, version)


# B4

SERVER_ONLY = {
    "CONNACK": b"\x20\x03\x00\x00\x00", "SUBACK": b"\x90\x04\x00\x01\x00\x00", "UNSUBACK": b"\xb0\x04\x00\x01\x00\x00",
    "PINGRESP": b"\xd0\x00",
}


@mosquitto_too
@pytest.mark.parametrize("version", [V31, V311, V5])
@pytest.mark.parametrize("name", SERVER_ONLY)
def test_b4_what_only_a_server_sends_ends_the_connection(target, name, version):
    """CONNACK, SUBACK, UNSUBACK and PINGRESP from a client."""
    data = SERVER_ONLY[name]
    if version != V5:
        data = {"CONNACK": b"\x20\x02\x00\x00", "SUBACK": b"\x90\x03\x00\x01\x00", "UNSUBACK": b"\xb0\x02\x00\x01"}.get(
            name, data
        )
    refused(target, data, WRONG, version)


def hostile_bytes(source):
    """What a hostile cloud may say to a bridge."""
    good = CONNACK
    return {
        "a CONNACK cut short": [b"\x20\x03\x00"],
        "a CONNACK with reserved flags": [b"\x20\x03\xff\x00\x00"],
        "a CONNACK with a property block without end": [b"\x20\x07\x00\x00\xff\xff\xff\x7f\x00"],
        "a CONNACK with receive maximum 0": [b"\x20\x06\x00\x00\x03\x21\x00\x00"],
        "a CONNACK with maximum packet size 1": [b"\x20\x08\x00\x00\x05\x27\x00\x00\x00\x01"],
        "a refusal that is no reason code": [b"\x20\x03\x00\x77\x00"],
        "two CONNACKs": [good + good],
        "a CONNECT": [packets.connect("cloud")],
        "a remaining length of 256 MiB": [good + b"\x30\xff\xff\xff\x7f"],
        "a remaining length of five bytes": [good + b"\x30" + FIVE],
        "a PUBLISH nobody asked for": [good + publish("x/" + "y" * 1000, b"z" * 10_000) * 20],
        "acknowledgements for nothing": [
            good + b"".join(acknowledgement(first, number, 0x99) for first in (0x40, 0x50, 0x62, 0x70)
                            for number in (0, 1, 65535)),
        ],
        "noise": [source.randbytes(500)],
        "noise after a CONNACK": [good + source.randbytes(500)],
        "silence": [],
    }


@pytest.mark.parametrize("name", hostile_bytes(random.Random(0)))
def test_b4_a_hostile_cloud_does_not_hurt_the_site(arena, source, name):
    """The bridge's other side answers with nonsense: the bridge tries again, the site serves on."""
    with HostileServer(hostile_bytes(source)[name]) as cloud:
        target = arena.start(bridges=[bridge(cloud.port)])
        with Device(target.port) as device:
            for number in range(20):
                device.publish("sales/1", str(number))
        wait_until(lambda: cloud.connections >= (1 if name in ("silence",) else 2), "the bridge tries again", 40)
        arena.note("connections", cloud.connections)


# B5


@pytest.mark.parametrize("answer", [
    b"\x90\x02\x00\x01", b"\x90\x03\x00\x01\x00", b"\x90\x00", b"\x90\x01\x00", b"\x90\x04\xff\xff\x00\xff",
    b"\x90\x07\x00\x01\xff\xff\xff\x7f\x00", b"\xb0\x02\x00\x01",
])
def test_b5_a_suback_without_reason_codes_does_not_hurt_the_bridge(arena, answer):
    """A cloud that acknowledges subscriptions without saying what it granted."""
    def script(first, body):
        if first == packets.SUBSCRIBE:
            return answer[:2] + body[:2] + answer[4:] if len(answer) >= 4 else answer
        return None

    with HostileServer([CONNACK], script) as cloud:
        target = arena.start(bridges=[bridge(cloud.port)])
        with Device(target.port) as device:
            for number in range(20):
                device.publish("sales/1", str(number))
        wait_until(lambda: cloud.subscriptions >= 1, "the bridge subscribes", 40)
        arena.note("connections", cloud.connections)


# B6

REMAPPED = [
    "remote", "remote/", "remote//", "remot", "r", "/", "//", "remote/" * 20, "remotee/x", "REMOTE/x", "$SYS/x",
    "remote/$SYS/x", "remote/" + "a" * 60_000, "remote/\u00e9", "elsewhere/x",
]


def test_b6_a_topic_as_short_as_its_prefix_is_remapped_safely(arena):
    """A bridge takes a prefix from topics and puts another one before: topics shorter, equal, empty after it."""
    def script(first, body):
        if first == packets.SUBSCRIBE:
            forged = [publish(topic, b"forged", version=V311) for topic in REMAPPED]
            # A topic of no bytes, and one that announces more than the packet holds.
            forged.append(publish("remote/right", b"right", version=V311))
            return b"\x90\x03" + body[:2] + b"\x00" + b"".join(forged)
        return None

    with HostileServer([b"\x20\x02\x00\x00"], script) as cloud:
        node = options.mosquitto_site(arena, [
            "connection cloud", f"address {LOOPBACK}:{cloud.port}", "topic # both 0 local/ remote/", "restart_timeout 1",
            "try_private false", "notifications false",
        ])
        with Peer(node.port) as observer:
            observer.enter("observer")
            observer.subscribe("#")
            with Peer(node.port) as peer:
                peer.enter("peer")
                for topic in ("local", "local/", "local//", "loca", "l", "/", "local/x"):
                    peer.publish(topic, b"out")
            wait_until(lambda: cloud.subscriptions >= 1, "the bridge subscribes", 40)
            observer.drain(1)
            forged = {message.topic for message in observer.messages if message.payload == b"forged"}
            arena.note("taken", sorted(topic[:30] for topic in forged))
            assert all(topic.startswith("local/") for topic in forged), forged
            sent = {body[2:2 + int.from_bytes(body[:2], "big")] for kind, body in cloud.received if kind & 0xF0 == 0x30}
            arena.note("sent", sorted(topic.decode() for topic in sent))
            assert all(topic.startswith(b"remote/") for topic in sent), sent
        assert node.is_running


# B7

SLASHES = "/" * 65_535


@mosquitto_too
@pytest.mark.parametrize("name", ["publish", "retained", "subscribe", "shared", "wildcards", "unsubscribe", "will"])
def test_b7_a_topic_of_nothing_but_slashes_is_refused(target, name):
    """65,535 levels, wherever a topic may stand: refused, without a deep recursion."""
    if name == "will":
        reason, _ = closes(target.port, packets.connect("w", will=packets.Will(SLASHES)), seconds=20)
        assert reason in WRONG | {0x90, 0x95, 0x97, None}
        return
    data = {
        "publish": publish(SLASHES, b"x", qos=1),
        "retained": publish(SLASHES, b"x", qos=1, retain=True),
        "subscribe": subscribe(SLASHES),
        "shared": subscribe("$share/g/" + "/" * 65_000),
        "wildcards": subscribe("+/" * 32_000 + "#"),
        "unsubscribe": unsubscribe(SLASHES),
    }[name]
    with Peer(target.port) as peer:
        peer.enter("slashes")
        try:
            peer.send(data)
            first, body = peer.receive()
        except Closed:
            return
        reason = body[-1] if first in (packets.SUBACK, packets.UNSUBACK, packets.PUBACK) else body[0]
        assert reason in WRONG | {0x90, 0x8F, 0x97, 0x9B, 0x11}, hex(reason)


# B8

BAD_TEXTS = {
    "a lone continuation byte": b"a\x80", "an overlong slash": b"a\xc0\xaf", "a surrogate": b"a\xed\xa0\x80",
    "beyond the last code point": b"a\xf4\x90\x80\x80", "U+0000": b"a\x00b", "cut short": b"a\xe2\x82",
    "0xff": b"\xff\xfe", "a five-byte form": b"\xf8\x88\x80\x80\x80",
}


@mosquitto_too
@pytest.mark.parametrize("name", BAD_TEXTS)
def test_b8_texts_that_are_not_utf8_are_refused_and_never_forwarded(arena, target, name):
    """Every place where a text stands: topic, filter, client identifier, user name, will, user property."""
    bad = BAD_TEXTS[name]
    reasons = WRONG | {0x90, 0x8F, 0x99}
    with Peer(target.port) as observer:
        observer.enter("observer")
        observer.subscribe("#")
        for version in (V311, V5):
            refused(target, publish(bad, b"x", version=version), reasons, version)
            refused(target, subscribe(bad, version=version), reasons, version)
            refused(target, unsubscribe(bad, version=version), reasons, version)
            for data in (
                packets.connect(bad, version=version), packets.connect("x", version=version, username=bad),
                packets.connect("x", version=version, will=packets.Will(bad)),
            ):
                reason, _ = closes(target.port, data, version=version)
                assert reason in reasons | {None, 0x85, 0x02}, reason
        refused(target, publish("a", b"x", items=[packets.user(bad, "v")]), reasons)
        refused(target, publish("a", b"x", items=[prop(0x08, text(bad))]), reasons)
        refused(target, publish("a", b"x", items=[prop(0x03, text(bad))]), reasons)
        refused(target, packets.disconnect(0, properties(prop(0x1F, text(bad)))), reasons | {None})
        observer.ping()
        assert not observer.drain(0.2)


# B9

BLOCKS = {
    "a length shorter than what is in it": b"\x01\x26\x00\x01a\x00\x01b",
    "a length longer than what is in it": b"\x7f\x01\x00",
    "longer than the packet": b"\xff\x7f",
    "a property cut off": b"\x03\x26\x00\x05",
    "payload format twice": properties(prop(0x01, b"\x00"), prop(0x01, b"\x00")),
    "expiry twice": properties(prop(0x02, bytes(4)), prop(0x02, bytes(4))),
    "content type twice": properties(prop(0x03, text("a")), prop(0x03, text("a"))),
    "alias twice": properties(topic_alias(1), topic_alias(1)),
    "payload format 2": properties(prop(0x01, b"\x02")),
    "an unknown identifier": properties(prop(0x7F, b"\x00")),
    "identifier 0": properties(prop(0x00, b"\x00")),
    "session expiry in a PUBLISH": properties(packets.session_expiry(5)),
    "subscription identifier from a client": properties(prop(0x0B, b"\x01")),
    "a response topic with a wildcard": properties(prop(0x08, text("a/#"))),
}


@mosquitto_too
@pytest.mark.parametrize("name", BLOCKS)
def test_b9_a_property_block_that_lies_is_refused(target, name):
    """Lengths that do not fit, properties that stand twice or do not belong, values that are none."""
    refused(target, publish("a", b"", block=BLOCKS[name]), WRONG | {0x94, 0x90})


@mosquitto_too
@pytest.mark.parametrize("items", [
    [prop(0x0B, b"\x01")], [packets.receive_maximum(1)], [prop(0x01, b"\x02")], [b"\x26\x00"],
    [packets.will_delay(1), packets.will_delay(1)], [prop(0x21, b"")], [prop(0x7F, b"")],
])
def test_b9_will_properties_that_do_not_belong_are_refused(target, items):
    """Properties of a will that a will cannot have."""
    reason, _ = closes(target.port, packets.connect("w", will=packets.Will("w", items=items)))
    assert reason in WRONG | {None}


@mosquitto_too
@pytest.mark.parametrize("identifier", [0x11, 0x17, 0x19, 0x21, 0x22, 0x27])
def test_b9_connect_properties_twice_are_refused(target, identifier):
    """Properties of CONNECT that may stand once."""
    value = {0x17: b"\x01", 0x19: b"\x01", 0x21: b"\x00\x05", 0x22: b"\x00\x05"}.get(identifier, b"\x00\x00\x10\x00")
    reason, _ = closes(target.port, packets.connect("w", items=[prop(identifier, value)] * 2))
    assert reason in WRONG | {None}


# B10


@mosquitto_too
@pytest.mark.parametrize("topic", ["$foo", "$foo/bar", "$", "$SYS/broker/uptime", "$share/g/t", "$CONTROL/x"])
def test_b10_topics_that_begin_with_a_dollar_do_no_harm(arena, target, topic):
    """Publishing below `$` ends nothing but perhaps the connection, and `#` never sees it."""
    with Peer(target.port) as observer:
        observer.enter("observer")
        observer.subscribe("#", "+/+")
        for retain in (False, True):
            with Peer(target.port) as peer:
                peer.enter("dollar")
                try:
                    reason = peer.publish(topic, b"x", retain=retain)
                    arena.note("reason", reason)
                except (Closed, AssertionError) as error:
                    arena.note("reason", repr(error)[:80])
        observer.ping()
        assert not observer.drain(0.2)


# B11

BAD_SHARES = ["$share/ab", "$share//t", "$share/+/t", "$share/g/", "$share/#/t", "$share/a+b/t", "$share/", "$share"]


@mosquitto_too
@pytest.mark.parametrize("topic_filter", BAD_SHARES)
def test_b11_a_malformed_shared_subscription_stores_nothing(arena, target, topic_filter):
    """A share without a name, a name with wildcards, or no filter: refused, and nothing is delivered by it."""
    with Peer(target.port) as peer:
        peer.enter("share")
        try:
            peer.send(subscribe(topic_filter))
            first, body = peer.receive()
            arena.note("answer", body.hex())
            reason = body[-1] if first == packets.SUBACK else body[0]
            # `$share` alone is an ordinary filter of one level, as any other word.
            assert reason in WRONG | {0x8F} or topic_filter == "$share" and reason < 3, hex(reason)
        except Closed:
            pass
    with Peer(target.port) as other:
        other.enter("other")
        other.subscribe("#")
        other.publish("t", b"x")
        other.wait_messages(1)


# B12


@mosquitto_too
def test_b12_mismatched_unsubscribes_leave_nothing_behind(arena, target, source):
    """Subscribing and unsubscribing at random, shared and not, matching and not: nothing is left in the end."""
    rounds = arena.scaled(6_000, 100_000)
    words = ["a", "b", "+", "#"]

    def some_filter():
        inner = "/".join(source.choice(words[:3]) for _ in range(source.randrange(1, 4)))
        inner += "/#" if source.random() < 0.3 else ""
        return f"$share/{source.choice('gh')}/{inner}" if source.random() < 0.5 else inner

    with Peer(target.port) as peer:
        peer.enter("jitter")
        sizes = []
        for number in range(rounds):
            chosen = some_filter()
            if source.random() < 0.5:
                peer.subscribe(chosen, options=source.randrange(3))
            else:
                # Also what was never subscribed, and the inner filter of what was shared.
                other = chosen.split("/", 2)[2] if chosen.startswith("$share") and source.random() < 0.3 else chosen
                peer.unsubscribe(other)
            if number in (rounds // 2, rounds - 1):
                sizes.append(target.resident())
        for levels in range(1, 4):
            for combination in itertools.product(words[:3], repeat=levels):
                for end in ("", "/#"):
                    inner = "/".join(combination) + end
                    peer.unsubscribe(inner, f"$share/g/{inner}", f"$share/h/{inner}")
        peer.drain(0.2)
        peer.messages.clear()
        with Peer(target.port) as publisher:
            publisher.enter("publisher")
            for topic in ("a", "b", "a/b", "b/a/b", "a/b/a/b"):
                publisher.publish(topic, b"x")
        peer.ping()
        assert not peer.drain(0.3)
    arena.note("growth of the second half in KiB", (sizes[1] - sizes[0]) // 1024)
    assert sizes[1] - sizes[0] < 8 << 20


# B13

INJECTIONS = ["a\r\nwarning forged: yes", "a\nb", "\x1b[31mred\x1b[0m", "a\x7fb", 'a"} 1\nforged_metric 1', "'; DROP TABLE messages; --",
              "a\u2028b", "\x01\x02"]


def test_b13_control_characters_reach_no_log_and_no_metric(arena):
    """Line breaks and escapes in names and topics: nothing of it forges a line in the log or in the metrics."""
    target = arena.start(log={"level": "debug"})
    for injection in INJECTIONS:
        for data in (
            packets.connect(injection) + subscribe(injection) + publish(injection, injection.encode(), qos=1) + b"\xff",
            packets.connect("x", username=injection, password=injection) + b"\xff",
            packets.connect("x", will=packets.Will(injection, injection.encode())),
            packets.connect("x") + packets.disconnect(0x04, properties(prop(0x1F, text(injection)))),
        ):
            with Peer(target.port) as peer:
                peer.send(data)
                peer.socket.shutdown(socket.SHUT_WR)
                peer.drain(5)
    status, metrics = target.node.get("/metrics")
    assert status == 200
    lines = target.node.log.splitlines() + metrics.splitlines()
    for line in lines:
        assert not line.startswith(("warning forged", "forged_metric", "b")), line
        assert all(character >= " " and character != "\x7f" for character in line), repr(line)
    for line in metrics.splitlines():
        assert line.startswith(("#", "causeway_")), line
    for path in ("/readyz", "/healthz", "/"):
        for character in target.node.get(path)[1]:
            assert character >= " " or character == "\n", path


# B14


@mosquitto_too
@pytest.mark.parametrize("version", [V31, V311, V5])
@pytest.mark.parametrize("same", [True, False])
def test_b14_a_second_connect_ends_the_connection(target, version, same):
    """A CONNECT on a connection that is in already, under its own name or another."""
    with Peer(target.port, version) as other:
        other.enter("other")
        data = packets.connect("first" if same else "other", version=version)
        refused(target, data, {PROTOCOL_ERROR}, version, client_id="first")
        # And whoever bears that name is not thrown out by it.
        other.ping()


# B15

FLAGS = {
    "QoS 3": publish("a", b"x", qos=3),
    "DUP with QoS 0": packet(0x38, text("a") + b"\x00x"),
    "PUBLISH with packet id 0": publish("a", qos=1, packet_id=0),
    "SUBSCRIBE with packet id 0": subscribe("a", packet_id=0),
    "UNSUBSCRIBE with packet id 0": unsubscribe("a", packet_id=0),
    "PUBACK with packet id 0": acknowledgement(packets.PUBACK, 0),
    "SUBSCRIBE without filters": packet(0x82, b"\x00\x01\x00"),
    "UNSUBSCRIBE without filters": packet(0xA2, b"\x00\x01\x00"),
    "SUBSCRIBE with QoS 3": subscribe(("a", 3)),
    "SUBSCRIBE with retain handling 3": subscribe(("a", 0x30)),
    "SUBSCRIBE with reserved bits": subscribe(("a", 0xC0)),
    "no local on a shared subscription": subscribe(("$share/g/a", 0x04)),
    "subscription identifier 0": subscribe("a", items=[prop(0x0B, b"\x00")]),
    "a wildcard in a topic": publish("a/+", b"x"),
    "PINGREQ with a body": b"\xc0\x01\x00",
    "packet type 0": b"\x00\x00",
    "a PUBREL reason that is none": acknowledgement(packets.PUBREL, 1, 0x55),
    "a DISCONNECT reason that is none": packets.disconnect(0x55),
    "a DISCONNECT that grows a session expiry of 0": packets.disconnect(0, properties(packets.session_expiry(10))),
    "AUTH without having agreed to any": packets.auth(0x18, properties(prop(0x15, text("m")))),
}
RESERVED = {
    f"reserved flags of {name}": bytes([first]) + data[1:]
    for name, data, wrong in (
        ("SUBSCRIBE", subscribe("a"), (0x80, 0x83, 0x8F)), ("UNSUBSCRIBE", unsubscribe("a"), (0xA0, 0xAF)),
        ("PUBREL", acknowledgement(packets.PUBREL, 1), (0x60, 0x6F)), ("PINGREQ", b"\xc0\x00", (0xC1, 0xCF)),
        ("DISCONNECT", b"\xe0\x00", (0xE1, 0xEF)), ("PUBACK", acknowledgement(packets.PUBACK, 1), (0x41, 0x4F)),
        ("PUBREC", acknowledgement(packets.PUBREC, 1), (0x51,)), ("AUTH", packets.auth(), (0xF1,)),
    ) for first in wrong
}


@mosquitto_too
@pytest.mark.parametrize("name", [*FLAGS, *RESERVED])
def test_b15_flags_and_identifiers_that_are_none_are_refused(target, name):
    """One row for each rule about flags, options, reason codes and packet identifiers."""
    data = FLAGS.get(name) or RESERVED[name]
    refused(target, data, WRONG | {0x8F, 0x90, 0x9E, None} if "DISCONNECT" in name else WRONG | {0x8F, 0x90, 0x9E})


@mosquitto_too
@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("topic_filter", ["a/#/b", "a+/b", "a#", "#a", "+a/b", "a/b+", "##", "++", ""])
def test_b15_wildcards_in_the_wrong_place_are_refused(target, topic_filter, version):
    """Filters whose wildcards are none: refused in the SUBACK or with the connection, and nothing is delivered."""
    with Peer(target.port, version) as peer, Peer(target.port) as other:
        peer.enter("wrong")
        other.enter("other")
        try:
            assert peer.subscribe(topic_filter)[0] >= 0x80
        except (Closed, AssertionError):
            # Refused with the connection: by a DISCONNECT, or in silence below 5.0.
            peer.drain(1)
        for topic in ("a/x/b", "ax/b", "a", "xa/b", "a/bx"):
            other.publish(topic, b"x")
        assert not peer.messages


CONNECT_FLAGS = {
    "reserved": 0x03, "will QoS 3": 0x1E, "will QoS without a will": 0x0A, "will retain without a will": 0x22,
}


@mosquitto_too
@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("name", CONNECT_FLAGS)
def test_b15_connect_flags_that_contradict_are_refused(target, name, version):
    """Reserved bit, will QoS 3, will options without a will; a password without a user name in 3.1.1."""
    flags = CONNECT_FLAGS[name]
    body = packets.connect("x", version=version, flags=flags) + b""
    reason, _ = closes(target.port, body + bytes(40) if name == "will QoS 3" else body, version=version)
    assert reason in WRONG | {None, 1, 2}
    if version == V311:
        reason, _ = closes(target.port, packets.connect("x", version, password="p"), version=version)
        assert reason in (None, 1, 2, 4, 5)


# B16

NUMBERS = {
    "max_inflight_messages": 65_535, "max_queued_messages": 1_000_000_000, "max_queued_bytes": 1 << 40,
    "max_packet_size": 268_435_455, "max_topic_levels": 200, "max_subscriptions": 1_000_000, "max_sessions": 10_000_000,
    "receive_maximum": 65_535, "topic_alias_maximum": 65_535, "max_retained_messages": 100_000_000,
    "max_keepalive": 65_535, "connect_timeout": "10m", "session_expiry": "never",
}


@pytest.mark.parametrize("option", NUMBERS)
def test_b16_no_number_in_the_configuration_brings_it_down(arena, option):
    """Each number at 0, at its smallest and at its largest: refused with a line, or the site stands a retain storm."""
    for value in (0, 1, NUMBERS[option], 2 ** 63 - 1, 2 ** 64, -1):
        node = arena.site(limits={option: value})
        if node is None:
            arena.note(str(value), "refused")
            continue
        arena.note(str(value), "runs")
        with Peer(node.port) as peer, Peer(node.port) as other:
            for client, name in ((peer, "one"), (other, "two")):
                try:
                    client.connect(name)
                except (Closed, AssertionError):
                    continue
            try:
                for number in range(100):
                    peer.send(publish(f"s/{number % 30}", b"x" * 40, number % 3, retain=True, packet_id=number + 1))
                    other.send(subscribe((f"s/{number}", 2), packet_id=number + 1) + publish("s/1", b"", retain=True))
                other.drain(0.1)
                peer.drain(0.1)
            except Closed:
                pass
        assert node.is_running, f"{option}: {value} ended it with {node.process.process.returncode}"
        assert node.stop() == 0


# B17


def test_b17_no_user_name_is_nobody(arena):
    """A CONNECT without a user name, with every kind of access configured: nobody's rights, not somebody's."""
    users = options.passwords(arena, alice="correct horse")
    target = arena.start(
        listeners=[listener(plain := free_port(), allow_anonymous=True)],
        users={"password_file": str(users)},
        access=[
            {"users": ["*"], "publish": ["u/%u/#", "c/%c/#", "bystander/#"],
             "subscribe": ["u/%u/#", "c/%c/#", "bystander/#"]},
        ], bystander={"transport": {"port": plain}},
    )
    for username, password in ((None, None), ("", None), ("", ""), (None, "x")):
        for version in (V5, V311):
            with Peer(plain, version) as peer:
                try:
                    connack = peer.connect("device", username=username, password=password)
                except (Closed, AssertionError):
                    continue
                if connack.reason:
                    arena.note(f"{version} {username!r} {password!r}", hex(connack.reason))
                    continue
                assert username is None
                for topic in ("u//x", "u/x", "u/None/x", "u/nil/x", "u/device/x", "u/%u/x", "c//x"):
                    if version == V5:
                        assert peer.publish(topic, b"x") >= 0x80, topic
                    assert peer.subscribe(topic)[0] >= 0x80, topic
                assert peer.subscribe("c/device/x")[0] < 0x80
