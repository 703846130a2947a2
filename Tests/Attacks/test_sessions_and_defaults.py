"""Sessions belong to who made them, in twelve variants; and forty configurations that must not start."""

import pytest

from attack import options, packets
from attack.access import Rules
from attack.arena import listener
from attack.packets import V5, V311
from attack.peer import Closed, Peer, tls_context
from attack.websocket import WebSocketPeer
from support.processes import LOOPBACK, free_port, run

KEEPS = {"clean": False, "items": [packets.session_expiry(3_600)]}


def login(name):
    return {"username": name, "password": f"{name} has a long password"}


# How the owner comes, how the other one comes, and whether the session is theirs to have.
VARIANTS = {
    "another user": ("alice", "mallory", False),
    "another user of the older version": ("alice", "mallory/3.1.1", False),
    "nobody after a user": ("alice", "anonymous", False),
    "a user after nobody": ("anonymous", "alice", False),
    "nobody after nobody": ("anonymous", "anonymous", True),
    "the same user from another connection": ("alice", "alice", True),
    "the same user of the older version": ("alice", "alice/3.1.1", True),
    "a certificate after a password": ("alice", "certificate", False),
    "a password after a certificate": ("certificate", "alice", False),
    "another certificate": ("certificate", "other certificate", False),
    "the same certificate": ("certificate", "certificate", True),
    "over WebSocket": ("alice", "mallory/websocket", False),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_s8_a_session_belongs_to_who_made_it(arena, pki, name):
    """A client identifier alone opens nobody's session: who came first keeps it, with what waits in it."""
    first, second, is_theirs = VARIANTS[name]
    ports = {kind: free_port() for kind in ("plain", "open", "tls", "websocket")}
    rules = Rules(arena, {name: [] for name in ("alice", "mallory", "bystander")})
    websocket = [options.websocket(ports["websocket"])] if "websocket" in second else []
    target = arena.start(
        needs=["websockets"] if websocket else [], users={"password_file": str(rules.passwords)},
        listeners=[
            listener(ports["plain"]), listener(ports["open"], allow_anonymous=True),
            listener(ports["tls"], tls={**pki.server, "require_certificate": True, "use_identity_as_username": True}),
            *websocket,
        ],
        bystander={"transport": {"port": ports["plain"]}, "connect": login("bystander")},
    )

    def come(who):
        who, _, how = who.partition("/")
        version = V311 if how == "3.1.1" else V5
        keeps = {"clean": False, "items": KEEPS["items"] if version == V5 else ()}
        if "certificate" in who:
            device = "monitor-2" if who.startswith("other") else "monitor-1"
            peer = Peer(ports["tls"], version, context=tls_context(pki.device(device)))
        elif how == "websocket":
            peer = WebSocketPeer(ports["websocket"], version=version)
        else:
            peer = Peer(ports["open" if who == "anonymous" else "plain"], version)
        entry = login(who) if who in ("alice", "mallory") else {}
        return peer, peer.connect("pump-1", **entry, **keeps)

    owner, connack = come(first)
    assert connack.reason == 0
    owner.subscribe(("secret/t", 1))
    other, connack = come(second)
    arena.note("answer", hex(connack.reason))
    if is_theirs:
        assert connack.reason == 0 and connack.session_present
        owner.verdict()
    else:
        assert not connack.session_present
        owner.ping()
        with Peer(ports["plain"]) as publisher:
            publisher.enter("publisher", **login("bystander"))
            publisher.publish("secret/t", b"for the owner")
        owner.wait_messages(1)
        if connack.reason == 0:
            other.ping()
            assert not other.drain(0.2)
        owner.close()
        owner, connack = come(first)
        assert connack.session_present
    other.close()
    owner.close()


# S10

BROKEN = {
    "nothing": ("", None), "a comment": ("# nothing\n", None), "not YAML": ("site: [\n", None),
    "a list": ("- a\n", 1), "a word": ("site\n", 1), "no site": ("listeners: []\n", None),
    "site is a list": ("site: [a]\n", 1), "site with a slash": ("site: a/b\n", 1), "site with a wildcard": ("site: \"#\"\n", 1),
    "an unknown key": ("site: a\nlistener: []\n", 2), "a key twice": ("site: a\nsite: b\n", 1),
    "an unknown limit": ("site: a\nlimits: { max_everything: 1 }\n", 2),
    "a limit below": ("site: a\nlimits: { receive_maximum: 0 }\n", 2),
    "a limit above": ("site: a\nlimits: { max_topic_levels: 202 }\n", 2),
    "a limit that is a word": ("site: a\nlimits: { max_sessions: many }\n", 2),
    "a limit that is negative": ("site: a\nlimits: { max_queued_messages: -1 }\n", 2),
    "an overflow that is none": ("site: a\nlimits: { overflow: drop_all }\n", 2),
    "listeners is a mapping": ("site: a\nlisteners: { bind: 127.0.0.1:1 }\n", 2),
    "plain for everybody": ("site: a\nlisteners:\n  - bind: 0.0.0.0:1883\n", 3),
    "plain for everybody on IPv6": ("site: a\nlisteners:\n  - bind: \"[::]:1883\"\n", 3),
    "anonymous for everybody": ("site: a\nlisteners:\n  - { bind: 0.0.0.0:1883, allow_anonymous: true }\n", 3),
    "a port beyond": ("site: a\nlisteners:\n  - bind: 127.0.0.1:65536\n", 3),
    "no port": ("site: a\nlisteners:\n  - bind: 127.0.0.1\n", 3),
    "no bind": ("site: a\nlisteners:\n  - { name: a }\n", 3),
    "a port twice": ("site: a\nlisteners:\n  - bind: 127.0.0.1:1883\n  - bind: 127.0.0.1:1883\n", 4),
    "a name twice": ("site: a\nlisteners:\n  - { name: x, bind: 127.0.0.1:1883 }\n  - { name: x, bind: 127.0.0.1:1884 }\n", 4),
    "TLS without a key": ("site: a\nlisteners:\n  - { bind: 0.0.0.0:8883, tls: { certfile: none.pem } }\n", 3),
    "a certificate that is not there": (
        "site: a\nlisteners:\n  - { bind: 0.0.0.0:8883, tls: { certfile: none.pem, keyfile: none.key } }\n", 3,
    ),
    "insecure and TLS": ("site: a\nlisteners:\n  - { bind: 0.0.0.0:1, insecure: true, tls: { certfile: a, keyfile: b } }\n", 3),
    "nobody can enter": ("site: a\nlisteners:\n  - { bind: 127.0.0.1:1883, allow_anonymous: false }\n", 3),
    "certificates without an authority": (
        "site: a\nlisteners:\n  - { bind: 0.0.0.0:1, tls: { certfile: a, keyfile: b, require_certificate: true } }\n", 3,
    ),
    "a password file that is not there": (
        "site: a\nlisteners: [{ bind: 127.0.0.1:1883 }]\nusers: { password_file: none }\n", 3,
    ),
    "users without a file": ("site: a\nlisteners: [{ bind: 127.0.0.1:1883 }]\nusers: {}\n", 3),
    "a rule for nobody": ("site: a\nlisteners: [{ bind: 127.0.0.1:1883 }]\naccess:\n  - publish: [a]\n", 4),
    "a rule that allows nothing": ("site: a\nlisteners: [{ bind: 127.0.0.1:1883 }]\naccess:\n  - users: [a]\n", 4),
    "a rule with a filter that is none": (
        "site: a\nlisteners: [{ bind: 127.0.0.1:1883 }]\naccess:\n  - { users: [a], publish: [\"a/#/b\"] }\n", 4,
    ),
    "an unknown handler": (
        "site: a\nlisteners: [{ bind: 127.0.0.1:1883 }]\nhandlers:\n  - { name: c, plugin: no, topics: [a] }\n", 4,
    ),
    "a bridge in the clear": (
        "site: a\nlisteners: [{ bind: 127.0.0.1:1883 }]\nbridges:\n"
        "  - { name: c, address: \"mqtt://cloud.example:1883\", routes: [{ topic: a }] }\n", 4,
    ),
    "a bridge without routes": (
        "site: a\nlisteners: [{ bind: 127.0.0.1:1883 }]\nbridges:\n  - { name: c, address: \"mqtts://c.example\" }\n", 4,
    ),
    "a log level that is none": ("site: a\nlisteners: [{ bind: 127.0.0.1:1883 }]\nlog: { level: loud }\n", 3),
    "a journal too small for its segments": (
        "site: a\nlisteners: [{ bind: 127.0.0.1:1883 }]\njournal: { max_bytes: 1MiB, segment_bytes: 1MiB }\n", 3,
    ),
    "a sync that is none": ("site: a\nlisteners: [{ bind: 127.0.0.1:1883 }]\njournal: { sync: maybe }\n", 3),
}


@pytest.mark.parametrize("name", BROKEN)
def test_s10_a_broken_configuration_is_refused_with_its_line(arena, name):
    """Mistakes and dangers in a configuration: no start, the file and the line are said."""
    text, line = BROKEN[name]
    file = arena.path("broken/site.yaml", text)
    for command in ("check", "site"):
        result = run([arena.causeway, command, "-c", file], seconds=30, cwd=file.parent)
        said = result.stdout + result.stderr
        assert result.returncode > 0, f"{command}: exit {result.returncode}: {said}"
        assert (f"site.yaml:{line}:" if line else "site.yaml") in said, said


def test_s10_there_are_forty_of_them():
    """The number that is claimed elsewhere."""
    assert len(BROKEN) >= 40


def test_s10_no_configuration_at_all_is_no_open_broker(arena):
    """Started without a file, or with one that says nothing: it does not listen."""
    empty = arena.path("empty/site.yaml", "")
    for arguments in (["site"], ["site", "-c", empty], ["site", "-c", empty.parent / "none.yaml"]):
        result = run([arena.causeway, *arguments], seconds=30, cwd=empty.parent)
        assert result.returncode > 0, arguments
