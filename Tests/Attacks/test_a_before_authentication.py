"""Attackers who have not said who they are yet: memory and processor before authentication."""

import socket
import subprocess
import threading
import time
import zlib

import pytest

from attack import options, packets
from attack.arena import MEBIBYTE, listener
from attack.crowd import Crowd, loopback_addresses
from attack.peer import Closed, Peer, after_connect, closes, tls_context
from attack.websocket import Upgrade, WebSocketPeer, ask, frame, read_head
from support.processes import LOOPBACK, free_port
from support.wire import packet, text

mosquitto_too = pytest.mark.applies_to_mosquitto

# Remaining length 268,435,455, the largest there is.
HUGE = b"\xff\xff\xff\x7f"


# A1


@mosquitto_too
@pytest.mark.parametrize("first", [0x30, 0x82, 0xA2, 0xC0, 0xE0, 0xF0, 0x00, 0x16, 0x47])
def test_a1_a_first_packet_that_is_no_connect_is_closed_at_once(arena, first):
    """Whoever does not begin with CONNECT is not waited for, however long a packet it announces."""
    target = arena.start()
    reason, seconds = closes(target.port, bytes([first]) + HUGE, seconds=8)
    arena.note("answer", reason)
    arena.note("seconds", round(seconds, 3))
    assert reason in (None, 0x81, 0x82, 0x95)


@mosquitto_too
def test_a1_an_announced_length_allocates_nothing(arena):
    """Two hundred clients announce a CONNECT of 256 MiB each and send nothing of it."""
    target = arena.start(mosquitto=["max_packet_size 2000000"])
    crowd = [Peer(target.port).send(bytes([packets.CONNECT]) + HUGE) for _ in range(200)]
    verdicts = [peer.verdict() for peer in crowd]
    arena.note("answers", sorted({str(verdict) for verdict in verdicts}))
    assert set(verdicts) <= {None, 0x95, 0x81}
    assert target.resident() - target.before < 16 * MEBIBYTE


# A2


@mosquitto_too
def test_a2_unfinished_connects_stay_within_their_budget(arena):
    """A crowd sends 63 KiB of a 64 KiB CONNECT each and waits: what is kept of them all together is bounded."""
    count = arena.scaled(2_000, 10_000)
    budget = 64 * MEBIBYTE
    target = arena.start(limits={"connect_timeout": "5s"})
    begun = bytes([packets.CONNECT]) + packets.varint(64 * 1024 - 4) + text("MQTT") + bytes([5, 2, 0, 60])
    begun += bytes(63 * 1024 - len(begun))
    with Crowd(target.port, count, sources=loopback_addresses(8)) as crowd:
        crowd.send_to_all(begun)
        arena.note("open after sending", len(crowd.open))
        with Peer(target.port) as honest:
            honest.enter("honest")
        left = crowd.wait_closed(0 if arena.is_mosquitto else 30)
    growth = target.bystander.peak - target.before
    arena.note("peak growth in MiB", round(growth / MEBIBYTE, 1))
    arena.note("still open at the end", left)
    assert left == 0
    assert growth <= budget + 16 * MEBIBYTE


# A3


def test_a3_a_silent_client_is_held_to_the_longest_keep_alive(arena):
    """Keep alive 65,535 s is lowered to the longest that is granted; silence beyond ends the connection, 3.1.1 too."""
    target = arena.start(limits={"max_keepalive": "2s"})
    with Peer(target.port) as modern, Peer(target.port, packets.V311) as older, Peer(target.port) as never:
        connack = modern.connect("modern", keep_alive=65535)
        assert connack.properties[0x13] == [2], "no server keep alive"
        assert never.connect("never", keep_alive=0).properties[0x13] == [2]
        # 3.1.1 has no way to tell the client of another keep alive: refused, or held to it all the same.
        refused = older.connect("older", keep_alive=65535).reason
        arena.note("3.1.1 is refused with", refused)
        assert refused in (0, 2)
        assert modern.verdict(15) == 0x8D
        never.verdict(15)
        older.verdict(15)


@mosquitto_too
def test_a3_a_connect_that_drips_is_cut_at_the_deadline(arena):
    """One byte at a time is no reason to wait longer: the deadline runs from the opening of the connection."""
    target = arena.start(limits={"connect_timeout": "2s"})
    whole = packets.connect("dribbler" * 8)
    drips = [Peer(target.port) for _ in range(20)]
    started = time.monotonic()
    ends = {}
    for byte in whole[:-1]:
        for index, peer in enumerate(drips):
            if index in ends:
                continue
            try:
                peer.send(bytes([byte]))
                if peer.wait_readable(0):
                    peer.fill()
            except Closed:
                ends[index] = time.monotonic() - started
        if len(ends) == len(drips) or time.monotonic() - started > 8:
            break
        threading.Event().wait(0.2)
    arena.note("closed", len(ends))
    arena.note("last closed after seconds", round(max(ends.values(), default=0), 2))
    assert len(ends) == len(drips)


@mosquitto_too
def test_a3_silent_connections_free_their_places(arena):
    """Connections that say nothing take every place of a listener: they go at the deadline, and others get in."""
    target = arena.start(
        limits={"connect_timeout": "2s"}, mosquitto=["max_connections 100"],
        listeners=[listener(port := free_port(), max_connections=100)],
        bystander={"transport": {"port": port}} if not arena.is_mosquitto else None,
    )
    target.port = target.port if arena.is_mosquitto else port
    with Crowd(target.port, 300) as crowd:
        held = crowd.settle()
        assert held < 120, f"{held} connections where 100 are allowed"
        left = crowd.wait_closed(10)
        arena.note("held, then", [held, left])
        assert left == 0
        with Peer(target.port) as honest:
            honest.enter("honest")


def test_a3_one_address_does_not_take_every_place(arena):
    """The connections of one address are bounded apart from those of all: another address still gets in."""
    count = arena.scaled(5_200, 5_200)
    target = arena.start(limits={"connect_timeout": "60s"}, growth=64 * MEBIBYTE)
    with Crowd(target.port, count, sources=["127.0.0.9"]) as crowd:
        arena.note("held", crowd.settle())
        assert len(crowd.open) <= 5_000
        with Peer(target.port, source="127.0.0.10") as honest:
            honest.enter("honest")


# A4


def test_a4_compressed_frames_are_not_inflated(arena):
    """A WebSocket client offers compression and sends a compressed bomb: not agreed to, and refused."""
    port = free_port()
    target = arena.start(
        needs=["websockets"], listeners=[listener(plain := free_port()), options.websocket(port)],
        bystander={"transport": {"port": plain}},
    )
    offer = ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = bomb.compress(bytes(16 * MEBIBYTE)) + bomb.flush(zlib.Z_SYNC_FLUSH)
    for _ in range(5):
        with WebSocketPeer(port, headers=offer) as peer:
            assert "permessage-deflate" not in peer.upgrade.headers.get("sec-websocket-extensions", "")
            try:
                peer.send_raw(frame(data, reserved=4))
            except Closed:
                continue
            peer.rest(10)
    assert target.bystander.peak - target.before < 16 * MEBIBYTE


# A5


@pytest.mark.parametrize("path", ["/mqtt", "/", "/ws", "/mqtt/../mqtt"])
def test_a5_there_is_no_websocket_where_none_is_configured(arena, path):
    """The upgrade is asked of the console and of the plain listener: 404 there, closed here."""
    target = arena.start()
    answer = ask(target.node.console_port, path)
    arena.note("console", answer and answer.status)
    assert answer is None or answer.status in (400, 404, 426)
    answer = ask(target.port, path)
    assert answer is None or answer.status == 0


def test_a5_another_path_than_the_listeners_is_refused(arena):
    """A WebSocket listener answers under its own path alone, and only to those who speak mqtt."""
    port = free_port()
    arena.start(
        needs=["websockets"], listeners=[listener(plain := free_port()), options.websocket(port)],
        bystander={"transport": {"port": plain}},
    )
    assert ask(port, "/mqtt").is_accepted
    for path in ("/", "/mqttt", "/mqtt/x", "/admin", "//mqtt"):
        answer = ask(port, path)
        assert answer is None or answer.status == 404, (path, answer.status)
    answer = ask(port, "/mqtt", protocol="chat")
    assert answer is None or not answer.is_accepted


# A6


def flood(port, count=100_000, seconds=20):
    """An upgrade with very many headers: the status, None when closed without one."""
    with Peer(port) as peer:
        try:
            head = b"".join(b"X-%d: a\r\n" % number for number in range(count))
            peer.send(b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n")
            return read_head(peer, seconds).status
        except Closed:
            try:
                return Upgrade(peer.buffer.partition(b"\r\n\r\n")[0]).status or None
            except (ValueError, IndexError):
                return None


def test_a6_a_flood_of_headers_at_the_console_is_refused(arena):
    """A hundred thousand headers: 431 or closed, and the console goes on answering."""
    target = arena.start()
    statuses = [flood(target.node.console_port) for _ in range(10)]
    arena.note("statuses", statuses)
    assert set(statuses) <= {None, 400, 413, 431}
    assert target.node.get("/readyz")[0] == 200


def test_a6_a_flood_of_headers_at_a_websocket_listener_is_refused(arena):
    """The same where WebSockets are spoken; also one header without end."""
    port = free_port()
    arena.start(
        needs=["websockets"], listeners=[listener(plain := free_port()), options.websocket(port)],
        bystander={"transport": {"port": plain}},
    )
    statuses = [flood(port) for _ in range(10)]
    arena.note("statuses", statuses)
    assert set(statuses) <= {None, 400, 413, 431}
    with Peer(port) as peer:
        try:
            peer.send(b"GET /mqtt HTTP/1.1\r\nX: " + b"a" * 4 * MEBIBYTE)
            assert read_head(peer).status in (400, 413, 431)
        except Closed:
            pass
    assert ask(port).is_accepted


# A7


def deep(levels):
    return "/".join(["a"] * levels)


CRAFTED = {
    "a property block longer than its packet": packets.publish("a", block=b"\xff\xff\xff\x7f"),
    "a user property longer than its block": packets.publish("a", block=b"\x05\x26\xff\xff\xff\xff"),
    "thirty thousand empty filters": packets.subscribe(*[""] * 30_000),
    "ten thousand deep filters": packets.subscribe(*[deep(20) + f"/{number}" for number in range(10_000)]),
    "a filter of sixty thousand wildcards": packets.subscribe("/".join(["+"] * 30_000)),
    "an unsubscribe of thirty thousand filters": packets.unsubscribe(*["x"] * 30_000),
    "a payload that is not there": b"\x30\xff\xff\x7f",
    "a packet of nothing but user properties": packets.publish("a", items=[packets.user("", "")] * 13_000),
}


@mosquitto_too
@pytest.mark.parametrize("name", CRAFTED)
def test_a7_a_crafted_packet_costs_little_however_often(arena, name):
    """One crafted packet, a thousand times over: memory stays, and each costs next to nothing."""
    target = arena.start()
    rounds = arena.scaled(100, 1_000)
    before = target.cpu_seconds()
    answers = set()
    for number in range(rounds):
        with Peer(target.port) as peer:
            peer.enter(f"crafted-{number}")
            try:
                peer.send(CRAFTED[name])
                peer.send(packets.packet(packets.PINGREQ) if "not there" not in name else b"")
                peer.socket.shutdown(socket.SHUT_WR)
                answers |= {first for first, _ in peer.rest(20)}
            except (Closed, OSError):
                pass
    arena.note("answers", sorted(hex(answer) for answer in answers))
    arena.note("CPU ms a packet", round((target.cpu_seconds() - before) * 1000 / rounds, 2))


# A8


def malformed_connects():
    """CONNECT packets that end in the middle of something."""
    will = packets.Will("w", items=[packets.user("a", "b" * 50), packets.will_delay(5)])
    good = packets.connect("leak", items=[packets.user("a", "b" * 50)], will=will, username="u", password="p" * 50)
    body = good[2:] if good[1] < 0x80 else good[3:]
    made = [packet(0x10, body[:length]) for length in range(0, len(body), 7)]
    made += [
        packets.connect("leak", block=packets.properties(packets.user("a", "b"), b"\x7f")),
        packets.connect("leak", will=packets.Will("w", items=[packets.prop(0x0B, b"\x01")])),
        packets.connect("leak", will=packets.Will("w", items=[packets.user("k", "v")] * 5 + [b"\x01"])),
        packets.connect("leak", will=packets.Will("w", items=[packets.prop(0x15, text("m"))])),
        packets.connect("leak", items=[packets.prop(0x15, text("m")), packets.prop(0x15, text("m"))]),
        packets.connect("leak", items=[packets.prop(0x16, text("data without a method"))]),
        packets.connect(b"leak\xff" * 100), packets.connect("leak", username=b"\xc0\x80"),
        packets.connect("leak", flags=0xFF), packet(0x10, body + bytes(50)),
    ]
    return made


@mosquitto_too
def test_a8_malformed_connects_leak_nothing(arena, source):
    """CONNECT packets cut off or contradicting themselves, again and again: the last third costs no memory."""
    count = arena.scaled(6_000, 1_000_000)
    target = arena.start()
    made = malformed_connects()
    sizes = []
    for third in range(3):
        for _ in range(count // 3):
            with Peer(target.port) as peer:
                try:
                    peer.send(source.choice(made))
                    peer.socket.shutdown(socket.SHUT_WR)
                    peer.rest(20)
                except (Closed, OSError):
                    pass
        sizes.append(target.resident())
    arena.note("growth of the last third in KiB", (sizes[2] - sizes[1]) // 1024)
    assert sizes[2] - sizes[1] < 2 * MEBIBYTE


# A9


@pytest.fixture
def tls_target(arena, pki):
    port = free_port()
    target = arena.start(
        listeners=[listener(free_port()), listener(port, tls=pki.server, allow_anonymous=True)], watch=False,
    )
    target.port = port
    target.bystander.entry = {"transport": {"context": tls_context(pki.server, with_certificate=False)}}
    target.watch()
    return target


def test_a9_half_a_handshake_is_cut_at_its_deadline(arena, tls_target):
    """Silent, half a greeting, a record that drips, a greeting that announces far too much: closed in ten seconds."""
    greeting = bytes.fromhex("16030102000100")
    openings = [b"", greeting, b"\x16\x03\x01\x40\x00" + bytes(100), b"\x16\x03\x01\xff\xff\x01\xff\xff\xff"]
    peers = [Peer(tls_target.port) for _ in range(5) for _ in openings]
    started = time.monotonic()
    for index, peer in enumerate(peers):
        peer.send(openings[index % len(openings)])
    ends = {}
    while len(ends) < len(peers) and time.monotonic() - started < 20:
        for index, peer in enumerate(peers):
            if index in ends:
                continue
            try:
                if index % len(openings) == 2:
                    peer.send(b"\x00")
                if peer.wait_readable(0):
                    peer.fill()
            except (Closed, OSError):
                ends[index] = time.monotonic() - started
        threading.Event().wait(0.2)
    arena.note("closed", f"{len(ends)} of {len(peers)}")
    arena.note("last closed after seconds", round(max(ends.values(), default=0), 1))
    assert len(ends) == len(peers)


def test_a9_a_client_may_not_renegotiate(arena, tls_target, pki):
    """With TLS 1.2 a client asks for a new handshake on a connection that stands: it ends, and nobody else notices."""
    command = [
        "openssl", "s_client", "-connect", f"{LOOPBACK}:{tls_target.port}", "-tls1_2", "-CAfile", pki.server["cafile"],
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as client:
        said = b""
        while b"Verify return code" not in said and (line := client.stdout.readline()):
            said += line
        client.stdin.write(b"R\n")
        client.stdin.flush()
        try:
            rest, _ = client.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            client.kill()
            rest, _ = client.communicate()
    arena.note("openssl says", rest.decode(errors="replace")[-200:])
    assert b"RENEGOTIATING" in rest
    assert client.returncode != 0 or b"error" in rest.lower() or b"no renegotiation" in rest.lower()


# A10


@mosquitto_too
@pytest.mark.parametrize("count", [65, 1_000, 9_000, 60_000])
def test_a10_user_properties_are_counted(arena, count):
    """Too many user properties in a PUBLISH or a CONNECT end the connection, with little work."""
    target = arena.start()
    before = target.cpu_seconds()
    items = [packets.user("a", "b")] * count
    reason = after_connect(target.port, packets.publish("a", items=items), seconds=20)
    arena.note("publish", reason)
    assert reason in (0x95, 0x97, 0x82, 0x81)
    target.expect_violation()
    reason, _ = closes(target.port, packets.connect("many", items=items), seconds=20)
    arena.note("connect", reason)
    assert reason in (None, 0x95, 0x97, 0x82, 0x81)
    arena.note("CPU ms", round((target.cpu_seconds() - before) * 1000, 1))
