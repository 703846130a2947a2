"""What a hostile or broken peer, file or disk can do: a clear answer, one log line, everybody else unaffected."""

import os
import random
import shutil
import socket
import struct
import subprocess

import pytest

from support import wire
from support.clients import Device, mosquitto_pub
from support.processes import LOOPBACK, free_port, run, wait_until

V4, V5 = 4, 5
CONNACK, DISCONNECT = 0x20, 0xE0


class Bystander:
    """A device that was there before and must not notice anything."""

    def __init__(self, port):
        self.device = Device(port).connect()
        self.device.subscribe("bystander/#")

    def is_unaffected(self):
        before = len(self.device.messages)
        self.device.publish("bystander/ping", str(before))
        self.device.wait_for(before + 1)
        assert not self.device.disconnects
        self.device.close()


@pytest.fixture
def node(site):
    node = site(limits={"max_packet_size": 65536, "max_topic_levels": 16})
    bystander = Bystander(node.port)
    yield node
    assert node.is_running, "the site ended"
    bystander.is_unaffected()


def reason_of(answer):
    """The reason code of the last packet: that of a DISCONNECT, or of a CONNACK that refuses."""
    packets = wire.packets(answer)
    assert packets, "closed without a word"
    first, body = packets[-1]
    if first == CONNACK:
        return body[1]
    assert first == DISCONNECT, f"the last packet begins with {first:#x}"
    return body[0] if body else 0


# After a good CONNECT with MQTT 5: what is sent, and the reason code of the DISCONNECT.
VIOLATIONS = {
    "a second CONNECT": (wire.connect("again"), {0x82}),
    "packet type 0": (b"\x00\x00", {0x81, 0x82}),
    "a CONNACK from a client": (b"\x20\x03\x00\x00\x00", {0x82}),
    "a remaining length of five bytes": (b"\x30\xff\xff\xff\xff\x01", {0x81}),
    "QoS 3": (wire.publish("a/b", flags=0x06, packet_id=1), {0x81}),
    "DUP with QoS 0": (wire.publish("a/b", flags=0x08), {0x81, 0x82}),
    "packet id 0": (wire.publish("a/b", flags=0x02, packet_id=0), {0x81, 0x82}),
    "a wildcard in a topic": (wire.publish("a/#"), {0x81, 0x82, 0x90}),
    "an empty topic without an alias": (wire.publish(""), {0x81, 0x82, 0x90}),
    "a topic that is not UTF-8": (wire.publish(b"a/\xff\xfe"), {0x81}),
    "a topic with an overlong encoding": (wire.publish(b"a/\xc0\xaf"), {0x81}),
    "a topic with a surrogate": (wire.publish(b"a/\xed\xa0\x80"), {0x81}),
    "a topic with U+0000": (wire.publish(b"a/\x00b"), {0x81, 0x90}),
    "too many topic levels": (wire.publish("/".join("a" * 20)), {0x81, 0x82, 0x90, 0x97, 0x9B}),
    "a topic longer than its packet": (b"\x30\x04\x00\x20ab", {0x81}),
    "a topic alias beyond the maximum": (wire.publish("a", properties=b"\x03\x23\xff\xff"), {0x94}),
    "a topic alias of 0": (wire.publish("a", properties=b"\x03\x23\x00\x00"), {0x94}),
    "an unknown property": (wire.publish("a", properties=b"\x02\x7f\x00"), {0x81, 0x82}),
    "a property twice": (wire.publish("a", properties=b"\x04\x01\x00\x01\x00"), {0x82}),
    "a property that belongs elsewhere": (wire.publish("a", properties=b"\x03\x21\x00\x01"), {0x81, 0x82}),
    "SUBSCRIBE without a filter": (wire.packet(0x82, b"\x00\x01\x00"), {0x81, 0x82}),
    "SUBSCRIBE with wrong flags": (wire.packet(0x80, b"\x00\x01\x00" + wire.text("a") + b"\x00"), {0x81}),
    "SUBSCRIBE with reserved options": (wire.packet(0x82, b"\x00\x01\x00" + wire.text("a") + b"\xc0"), {0x81, 0x82}),
    "a filter that is not UTF-8": (wire.packet(0x82, b"\x00\x01\x00" + wire.text(b"\xff") + b"\x00"), {0x81}),
    "UNSUBSCRIBE without a filter": (wire.packet(0xA2, b"\x00\x01\x00"), {0x81, 0x82}),
    "PINGREQ with a body": (b"\xc0\x01\x00", {0x81}),
    "AUTH out of the blue": (b"\xf0\x02\x18\x00", {0x81, 0x82}),
    "a packet larger than allowed": (wire.publish("a", bytes(70_000)), {0x95}),
    "a length larger than allowed, without the rest": (b"\x30\xff\xff\xff\x7f", {0x95}),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_is_answered_with_its_reason_code(node, name):
    data, reasons = VIOLATIONS[name]
    answer = wire.converse(node.port, wire.connect("rude") + data)
    assert wire.packets(answer)[0][0] == CONNACK
    assert reason_of(answer) in reasons, f"{reason_of(answer):#x}"
    # One line for the operator, with the reason and without what the peer sent.
    lines = wait_until(lambda: [line for line in node.log.splitlines() if "cw_reason" in line], "a line in the log")
    assert len(lines) == 1
    assert f"{reason_of(answer):#04x}" in lines[0].lower()
    assert "rude" not in lines[0]


@pytest.mark.parametrize("name", [name for name in VIOLATIONS if "alias" not in name and "property" not in name])
def test_a_violation_closes_an_older_client_without_an_answer(node, name):
    packet_id = struct.pack(">H", 1)
    # The same mistakes in the older layout, which has no properties.
    older = {
        "QoS 3": wire.publish("a/b", flags=0x06, packet_id=1, properties=b""),
        "packet id 0": wire.publish("a/b", flags=0x02, packet_id=0, properties=b""),
        "a wildcard in a topic": wire.publish("a/#", properties=b""),
        "SUBSCRIBE without a filter": wire.packet(0x82, packet_id),
        "SUBSCRIBE with wrong flags": wire.packet(0x80, packet_id + wire.text("a") + b"\x00"),
        "SUBSCRIBE with reserved options": wire.packet(0x82, packet_id + wire.text("a") + b"\xc0"),
        "a filter that is not UTF-8": wire.packet(0x82, packet_id + wire.text(b"\xff") + b"\x00"),
        "UNSUBSCRIBE without a filter": wire.packet(0xA2, packet_id),
        "a second CONNECT": wire.connect("again", V4),
    }
    data = older.get(name, VIOLATIONS[name][0])
    answer = wire.converse(node.port, wire.connect("rude", V4) + data)
    assert [first for first, _ in wire.packets(answer)] == [CONNACK]


REFUSALS = {
    "an unknown protocol name": (wire.connect("x", V5, name="HTTP"), None),
    "a future protocol version": (wire.connect("x", 6), {0x84, 0x01}),
    "the reserved connect flag": (wire.connect("x", V5, flags=0x03), {0x81, 0x82}),
    "will QoS 3": (wire.connect("x", V5, flags=0x1E), {0x81, 0x82}),
    "an empty name and a session to keep": (wire.connect("", V4, flags=0x00), {0x02}),
    "a name that is not UTF-8": (wire.connect(b"\xff\xff", V5), {0x81, 0x85}),
    "a receive maximum of 0": (wire.connect("x", V5, properties=b"\x03\x21\x00\x00"), {0x81, 0x82}),
    "an authentication method nobody knows": (wire.connect("x", V5, properties=b"\x06\x15" + wire.text("mfa")), {0x8C}),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_connect_that_makes_no_sense_is_refused(node, name):
    data, reasons = REFUSALS[name]
    answer = wire.converse(node.port, data)
    if reasons is None:
        return
    assert answer == b"" and 0x81 in reasons or reason_of(answer) in reasons


@pytest.mark.parametrize("name", ["publish", "subscribe", "ping", "http", "tls", "zeros"])
def test_anything_before_connect_is_closed_without_an_answer(node, name):
    data = {
        "publish": wire.publish("a/b", b"x"),
        "subscribe": wire.packet(0x82, b"\x00\x01\x00" + wire.text("#") + b"\x00"),
        "ping": b"\xc0\x00",
        "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "tls": bytes.fromhex("1603010200010001fc0303") + bytes(64),
        "zeros": bytes(4096),
    }[name]
    answer = wire.converse(node.port, data)
    assert all(first == DISCONNECT for first, _ in wire.packets(answer))


def test_random_bytes_never_end_the_site(node):
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"seed {seed}")
    source = random.Random(seed)
    for _ in range(300):
        data = source.randbytes(source.randrange(1, 200))
        prefix = wire.connect("noise", source.choice([3, 4, 5])) if source.random() < 0.7 else b""
        with socket.create_connection((LOOPBACK, node.port), timeout=10) as connection:
            connection.sendall(prefix + data)


def test_good_packets_with_a_flipped_bit_never_end_the_site(node):
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"seed {seed}")
    source = random.Random(seed)
    good = [
        wire.connect("flip"), wire.publish("a/b", b"payload", flags=0x02, packet_id=7),
        wire.packet(0x82, b"\x00\x01\x00" + wire.text("a/+") + b"\x01"), wire.packet(0x62, b"\x00\x07"),
        wire.packet(0xA2, b"\x00\x02\x00" + wire.text("a/+")), b"\xc0\x00", b"\xe0\x00",
    ]
    for _ in range(300):
        data = bytearray(b"".join(good))
        for _ in range(source.randrange(1, 4)):
            data[source.randrange(len(data))] ^= 1 << source.randrange(8)
        with socket.create_connection((LOOPBACK, node.port), timeout=10) as connection:
            connection.sendall(data)


def test_a_connection_that_never_speaks_is_closed(site):
    node = site(limits={"connect_timeout": "1s"})
    with socket.create_connection((LOOPBACK, node.port), timeout=30) as connection:
        assert connection.recv(1) == b""


# Certificates.


@pytest.fixture
def guarded(site, pki):
    port = free_port()
    node = site(
        "guarded",
        listeners=[{
            "bind": f"{LOOPBACK}:{port}",
            "tls": {**pki.server, "require_certificate": True, "use_identity_as_username": True},
        }],
    )
    node.port = port
    yield node
    # Whatever happened, those with a good certificate get in.
    with Device(port, tls=pki.device("monitor-1"), host="localhost") as device:
        device.publish("a/b", "x")


def handshake(port, *arguments):
    """openssl's view of a connection; it sends a CONNECT, because TLS 1.3 tells of a bad certificate only then."""
    command = ["openssl", "s_client", "-connect", f"{LOOPBACK}:{port}", "-quiet", *map(str, arguments)]
    return subprocess.run(command, input=wire.connect("x"), capture_output=True, timeout=60)


def test_a_client_without_a_certificate_is_refused(guarded, pki):
    result = handshake(guarded.port, "-CAfile", pki.server["cafile"])
    assert not result.stdout.startswith(b"\x20")
    assert b"alert" in result.stderr


def test_a_certificate_of_a_foreign_authority_is_refused(guarded, pki):
    foreign = pki.foreign_device
    result = handshake(
        guarded.port, "-CAfile", pki.server["cafile"], "-cert", foreign["certfile"], "-key", foreign["keyfile"]
    )
    assert not result.stdout.startswith(b"\x20")
    assert b"alert" in result.stderr


def test_plain_bytes_on_a_tls_port_are_closed(guarded):
    assert b"\x20" not in wire.converse(guarded.port, wire.connect("x"))[:1]


# Configuration.


IMPOSSIBLE = {
    "plain TCP for everybody": ("site: a\nlisteners:\n  - bind: 0.0.0.0:1883\n", 3, "insecure"),
    "a misspelt key": ("site: a\nlisteners:\n  - bnid: 127.0.0.1:1883\n", 3, "bind"),
    "a port that is none": ("site: a\nlisteners:\n  - bind: 127.0.0.1:99999\n", 3, ""),
    "a wildcard in the wrong place": (
        "site: a\nlisteners: [{ bind: 127.0.0.1:1883 }]\nhandlers:\n"
        "  - { name: c, plugin: retail.coupon, topics: [\"a/#/b\"] }\n", 4, "#",
    ),
    "an unknown plugin": (
        "site: a\nlisteners: [{ bind: 127.0.0.1:1883 }]\nhandlers:\n"
        "  - { name: c, plugin: retail.cupon, topics: [\"a/b\"] }\n", 4, "retail.coupon",
    ),
    "nobody could enter": (
        "site: a\nlisteners:\n  - bind: 127.0.0.1:1883\n    allow_anonymous: false\n", 3, "users",
    ),
    "broken YAML": ("site: a\nlisteners: [\n", None, ""),
    "nothing at all": ("", None, "site"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_an_impossible_configuration_is_refused_with_its_line(causeway, tmp_path, name):
    text, line, hint = IMPOSSIBLE[name]
    file = tmp_path / "site.yaml"
    file.write_text(text)
    for command in (["check"], ["site"]):
        result = run([causeway, *command, "-c", file], seconds=30)
        said = result.stdout + result.stderr
        assert result.returncode not in (0, None) and result.returncode > 0, said
        assert f"site.yaml:{line}:" in said if line else "site.yaml" in said, said
        assert hint in said, said


def test_a_configuration_that_is_not_there_is_said(causeway, tmp_path):
    result = run([causeway, "site", "-c", tmp_path / "none.yaml"], seconds=30)
    assert result.returncode > 0
    assert "none.yaml" in result.stdout + result.stderr


def test_a_port_that_is_taken_is_said(site):
    first = site("first")
    second = site("second", start=False, listeners=[{"bind": f"{LOOPBACK}:{first.port}"}])
    second.start(ready=False)
    wait_until(lambda: not second.is_running, "the second site gives up")
    assert second.process.process.returncode > 0
    assert str(first.port) in second.log


def test_two_sites_never_share_a_journal(site):
    first = site("first")
    second = site("second", start=False, journal={"path": str(first.journal_folder)})
    second.start(ready=False)
    wait_until(lambda: not second.is_running, "the second site gives up")
    assert second.process.process.returncode > 0
    mosquitto_pub(first.port, "a/b", "x", "-q", "1")


# The journal and its disk.


def segments(node):
    return sorted(path for path in node.journal_folder.rglob("*") if path.is_file() and path.stat().st_size > 4096)


def test_a_corrupt_journal_costs_what_is_corrupt_and_says_so(site):
    node = site()
    name = {"client_id": "keeper", "clean": False, "expiry": 3600}
    with Device(node.port, **name) as device:
        device.subscribe("k/#")
    with Device(node.port) as publisher:
        for number in range(200):
            publisher.publish("k/v", f"message-{number:04}-" + "x" * 200)
    node.kill()
    damaged = None
    for path in segments(node):
        data = bytearray(path.read_bytes())
        at = data.find(b"message-0100-")
        if at >= 0:
            data[at + 20] ^= 0xFF
            path.write_bytes(data)
            damaged = path
    assert damaged, "the message was not found in any segment"
    node.start()
    with Device(node.port, **name) as device:
        assert device.session_present
        device.wait_for(199)
        device.publish("k/v", "after")
        device.wait_for(200)
        numbers = [payload.split("-")[1] for payload in device.payloads if payload.startswith("message-")]
        assert numbers == [f"{number:04}" for number in range(200) if number != 100]
    assert "quarantine" in node.log.lower() or "corrupt" in node.log.lower()


def test_a_torn_tail_is_cut_and_what_was_acknowledged_stays(site):
    node = site()
    name = {"client_id": "keeper", "clean": False, "expiry": 3600}
    with Device(node.port, **name) as device:
        device.subscribe("k/#")
    with Device(node.port) as publisher:
        for number in range(20):
            publisher.publish("k/v", f"message-{number:04}")
    node.kill()
    newest = max(segments(node), key=lambda path: path.read_bytes().rfind(b"message-0019"))
    data = bytearray(newest.read_bytes())
    end = (len(data.rstrip(b"\0")) + 63) // 64 * 64
    # Half a record behind everything that was written, as an interrupted write leaves it.
    data[end:end + 40] = os.urandom(40)
    newest.write_bytes(data)
    node.start()
    with Device(node.port, **name) as device:
        device.wait_for(20)
        assert [payload for payload in device.payloads] == [f"message-{number:04}" for number in range(20)]


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = run(["mount", "-t", "tmpfs", "-o", "size=12m", "causeway-test", folder])
    if mounted.returncode != 0:
        pytest.skip(f"may not mount a small file system here: {mounted.stderr.strip()}")
    yield folder
    run(["umount", "-l", folder])


def test_a_full_disk_stops_acknowledgements_and_nothing_else(site, small_disk):
    node = site(
        start=False,
        journal={"path": str(small_disk / "data"), "segment_bytes": "1MiB", "max_bytes": "1GiB"},
    )
    node.start()
    keeper = {"client_id": "keeper", "clean": False, "expiry": 3600}
    with Device(node.port, **keeper) as device:
        device.subscribe("k/#")
    acknowledged = []
    with Device(node.port) as publisher:
        payload = "x" * 50_000
        handles = [publisher.client.publish("k/v", f"{number:04} {payload}", 1) for number in range(400)]
        wait_until(
            lambda: shutil.disk_usage(small_disk).free < 2_000_000 or publisher.disconnects, "the disk is full"
        )
        # QoS 0 for whoever is there needs no disk, and goes on.
        with Device(node.port) as one, Device(node.port) as two:
            one.subscribe("live/#", qos=0)
            two.client.publish("live/x", "still here", 0)
            one.wait_for(1)
        wait_until(lambda: publisher.refused or publisher.disconnects, "somebody is told that there is no room")
        refused = dict(publisher.refused)
        acknowledged = [
            number
            for number, handle in enumerate(handles)
            if handle.mid in publisher.acknowledged and handle.mid not in publisher.refused
        ]
    assert node.is_running
    assert len(acknowledged) < 400, "more was acknowledged than the disk holds"
    assert set(refused.values()) <= {0x97}, refused
    assert "disk" in node.log.lower() or "space" in node.log.lower()
    # Room again: after a restart everything that was acknowledged is there.
    node.stop()
    run(["mount", "-o", "remount,size=200m", small_disk], check=0)
    node.start()
    with Device(node.port, **keeper) as device:
        device.wait_for(len(acknowledged))
        wait_until(
            lambda: {int(text[:4]) for text in device.payloads} >= set(acknowledged), "everything acknowledged is there"
        )
