"""Clients that are somebody, and want to be or to see more."""

import time

import pytest

from attack import options, packets
from attack.arena import listener
from attack.access import Rules
from attack.packets import V5, V311, acknowledgement, publish
from attack.peer import Closed, Peer, tls_context
from attack.websocket import WebSocketPeer
from support.chain import bridge
from support.clients import Device
from support.processes import free_port, run, wait_until

mosquitto_too = pytest.mark.applies_to_mosquitto

NOT_AUTHORIZED, BAD_LOGIN = 0x87, 0x86
KEEPS = {"clean": False, "items": [packets.session_expiry(3_600)]}


def login(name):
    return {"username": name, "password": f"{name} has a long password"}


@pytest.fixture
def guarded(arena):
    """A broker with users and an ACL file: `guarded(alice=[...lines])`, with the bystander among the users."""
    def make(needs=("access",), limits=None, more=(), **lines):
        rules = Rules(arena, {"bystander": ["topic readwrite bystander/#"], **lines}, more)
        limits = {"limits": limits} if limits else {}
        rules.target = arena.start(
            needs=needs, users={"password_file": str(rules.passwords)}, access={"acl_file": str(rules.acl)},
            mosquitto=[f"password_file {rules.passwords}", f"acl_file {rules.acl}", "allow_anonymous false"],
            bystander={"connect": login("bystander")}, **limits,
        )
        return rules

    return make


# D1


@mosquitto_too
@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("clean", [True, False])
def test_d1_another_user_does_not_get_the_session_of_a_client(guarded, arena, clean, version):
    """Mallory connects with Alice's client identifier: Alice stays in, her queue stays hers."""
    rules = guarded(alice=["topic readwrite #"], mallory=["topic readwrite #"])
    target = rules.target
    keeps = {"clean": False, "items": KEEPS["items"] if version == V5 else ()}
    with Peer(target.port, version) as alice, Peer(target.port, version) as mallory:
        alice.enter("pump-1", **login("alice"), **keeps)
        alice.subscribe(("secret/t", 1))
        connack = mallory.connect("pump-1", **login("mallory"), clean=clean, items=keeps["items"])
        arena.note("mallory is answered", hex(connack.reason))
        assert not connack.session_present
        assert connack.reason in (0, 0x85, 0x87, 2, 5)
        alice.ping()
        assert alice.publish("secret/t", b"for alice") == 0
        alice.wait_messages(1)
        if connack.reason == 0:
            mallory.ping()
            assert not mallory.drain(0.2)
    target.expect_audit("mallory")
    # Offline as well: what waits for Alice waits for Alice.
    with Peer(target.port) as publisher:
        publisher.enter("publisher", **login("bystander"))
    with Peer(target.port, version) as mallory:
        assert not mallory.connect("pump-1", **login("mallory"), **keeps).session_present
        assert not mallory.drain(0.2)
    with Peer(target.port, version) as alice:
        assert alice.connect("pump-1", **login("alice"), **keeps).session_present


# D2


@mosquitto_too
def test_d2_a_will_needs_the_right_to_publish(guarded, arena):
    """A will to a topic one may not publish to, and the will of somebody who was not let in: never sent."""
    rules = guarded(alice=["topic readwrite #"], mallory=["topic readwrite mallory/#"])
    target = rules.target
    with Peer(target.port) as observer:
        observer.enter("observer", **login("alice"))
        observer.subscribe("#")
        for number, (version, retain) in enumerate([(V311, False), (V5, False), (V311, True), (V5, True)]):
            with Peer(target.port, version) as mallory:
                will = packets.Will("alice/alarm", b"forged", qos=1, retain=retain)
                try:
                    reason = mallory.connect(f"mallory-{number}", will=will, **login("mallory")).reason
                except Closed:
                    reason = None
                arena.note(f"version {version}", reason)
            with Peer(target.port, version) as stranger:
                wrong = {"username": "alice", "password": "wrong"}
                try:
                    assert stranger.connect("stranger", will=will, **wrong).reason != 0
                except Closed:
                    pass
        observer.ping()
        assert not observer.drain(0.5)
    target.expect_audit("client.refused")
    with Peer(target.port) as late:
        late.enter("late", **login("alice"))
        late.subscribe("alice/#")
        assert not late.drain(0.3)


# D3


@mosquitto_too
def test_d3_what_a_revoked_publisher_retained_is_no_longer_handed_out(guarded, arena):
    """The right to publish is taken away: what was retained under it goes to nobody any more."""
    rules = guarded(limits={"check_retain_source": True}, alice=["topic readwrite t/#"], bob=["topic read t/#"])
    target = rules.target
    with Peer(target.port) as alice:
        alice.enter("alice", **login("alice"))
        alice.publish("t/1", b"from alice", retain=True)
    with Peer(target.port) as bob:
        bob.enter("bob", **login("bob"))
        bob.subscribe(("t/#", 1))
        bob.wait_messages(1)
    rules.write(alice=["topic read t/#"])
    started = time.monotonic()
    while True:
        with Peer(target.port) as bob:
            bob.enter("bob", **login("bob"))
            bob.subscribe(("t/#", 1))
            bob.ping()
            if not bob.messages:
                break
        assert time.monotonic() - started < 10, "still handed out"
    arena.note("seconds until it was gone", round(time.monotonic() - started, 3))


# D4


@mosquitto_too
@pytest.mark.parametrize("where", ["online", "offline", "queued", "shared", "retained"])
def test_d4_a_revoked_subscription_delivers_nothing_more(guarded, arena, where):
    """The right to read is taken away from a subscriber: online, away, with a queue, in a group, for retained ones."""
    rules = guarded(alice=["topic readwrite t/#"], bob=["topic read t/#"])
    target = rules.target
    alice = Peer(target.port).enter("alice", **login("alice"))
    bob = Peer(target.port).enter("bob", **login("bob"), **KEEPS)
    assert bob.subscribe(("$share/g/t/#" if where == "shared" else "t/#", 1)) == [1]
    alice.publish("t/1", b"allowed")
    bob.wait_messages(1)
    bob.messages.clear()
    if where in ("offline", "queued"):
        bob.leave()
    if where == "queued":
        alice.publish("t/1", b"queued before")
    if where == "retained":
        alice.publish("t/1", b"retained before", retain=True)
        bob.wait_messages(1)
        bob.messages.clear()
    started = time.monotonic()
    rules.write(bob=["topic read elsewhere"])
    rules.wait_applied()
    arena.note("seconds until it was in force", round(time.monotonic() - started, 3))
    alice.publish("t/1", b"after")
    if where in ("offline", "queued"):
        bob = Peer(target.port)
        assert bob.connect("bob", **login("bob"), **KEEPS).reason == 0
    try:
        bob.ping()
        bob.drain(0.3)
        if where == "retained":
            bob.subscribe(("t/#", 1))
            bob.drain(0.3)
    except (Closed, AssertionError):
        arena.note("bob", "was disconnected")
    assert not bob.payloads
    alice.close()
    bob.close()


# D5

NASTY_NAMES = ["#", "+", "/", "a/b", "+/+", "a/#", "$SYS", "alice/..", "%u", "%c", "a+b", "al#ce", "\u00e9", "*"]


@mosquitto_too
@pytest.mark.parametrize("place", ["username", "client identifier"])
def test_d5_wildcards_in_names_do_not_widen_a_pattern(guarded, arena, place):
    """User names and client identifiers made of wildcards and slashes, in patterns: nothing beyond what is literal."""
    pattern = "pattern readwrite home/%u/#" if place == "username" else "pattern readwrite home/%c/#"
    names = [name for name in NASTY_NAMES if ":" not in name]
    rules = guarded(alice=["topic readwrite home/alice/#"], more=[pattern], **{name: [] for name in names})
    target = rules.target
    with Peer(target.port) as alice:
        alice.enter("alice", **login("alice"))
        for name in names:
            entry = login(name) if place == "username" else login("bystander")
            with Peer(target.port) as peer:
                try:
                    if peer.connect(name if place != "username" else "", **entry).reason:
                        arena.note(name, "not let in")
                        continue
                except (Closed, AssertionError):
                    arena.note(name, "not let in")
                    continue
                for topic_filter in ("home/#", "home/+/x", "home/alice/#", "home/alice/x", "#", "home/+/+/#"):
                    try:
                        peer.subscribe(topic_filter)
                    except Closed:
                        break
                alice.publish("home/alice/x", b"private")
                try:
                    reason = peer.publish("home/alice/x", b"forged")
                    assert reason >= 0x80, name
                    peer.ping()
                    got = [message for message in peer.drain(0.1) if message.payload == b"private"]
                    assert not got, name
                except Closed:
                    pass


# D6

METACHARACTERS = [".*", "alic.", "alice|bob", "(alice)", "[a-z]+", "^alice$", "alice\\", "a{5}", "alice?", "\\w+", ".", "al*e"]


@mosquitto_too
def test_d6_names_are_no_expressions(guarded, source):
    """Metacharacters of regular expressions and shells in names: only the literal name counts."""
    names = [*METACHARACTERS, *("".join(source.choice(".*+?|()[]{}^$\\a") for _ in range(6)) for _ in range(20))]
    rules = guarded(alice=["topic readwrite home/alice/#"], more=["pattern readwrite home/%c/#"])
    with Peer(rules.target.port) as alice:
        alice.enter("alice", **login("alice"))
        for name in names:
            with Peer(rules.target.port) as peer:
                if peer.connect(name, **login("bystander")).reason:
                    continue
                try:
                    peer.subscribe("home/alice/x")
                    assert peer.publish("home/alice/x", b"forged") >= 0x80, name
                    rules.target.expect_audit("publish.denied")
                    alice.publish("home/alice/x", b"private")
                    peer.ping()
                    assert not peer.messages, name
                except Closed:
                    pass


# D7

BROKEN_FILES = {
    "a password line without a hash": ("passwords", "alice:\n"),
    "a password line without a colon": ("passwords", "alice\n"),
    "a password in the clear": ("passwords", "alice:secret\n"),
    "a hash cut short": ("passwords", "alice:$7$101$abc\n"),
    "a hash of an unknown kind": ("passwords", "alice:$9$101$YWJj$YWJj\n"),
    "no password file": ("passwords", None),
    "binary rubbish as password file": ("passwords", "\x00\x01\x02\n"),
    "an ACL line that is none": ("acl", "usre alice\ntopic #\n"),
    "an ACL permission that is none": ("acl", "user alice\ntopic rw a/b\n"),
    "an ACL filter that is none": ("acl", "user alice\ntopic read a/#/b\n"),
    "no ACL file": ("acl", None),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_d7_a_broken_file_of_users_or_rules_is_refused(arena, name):
    """A file of users or of rules that is not there or not right: no start, rather than everybody let in."""
    which, content = BROKEN_FILES[name]
    passwords = options.passwords(arena, bystander="has a long password")
    acl = arena.path("acl", "topic readwrite #\n")
    broken = passwords if which == "passwords" else acl
    if content is None:
        broken.unlink()
    else:
        broken.write_text(content)
    port = free_port()
    access = f"access: {{ acl_file: {acl} }}\n" if which == "acl" else ""
    if access:
        options.require(arena, "access")
    text = f"site: a\nlisteners:\n  - bind: 127.0.0.1:{port}\nusers: {{ password_file: {passwords} }}\n{access}"
    said = arena.configuration_is_refused("broken", text)
    arena.note("said", said.strip().splitlines()[-1][-200:])
    assert broken.name in said


def test_d7_an_empty_file_of_rules_allows_nothing(arena):
    """An empty ACL file is either refused or means that nobody may do anything; never that everybody may."""
    options.require(arena, "access")
    users = options.passwords(arena, alice="alice has a long password")
    acl = arena.path("acl", "")
    node = arena.site(users={"password_file": str(users)}, access={"acl_file": str(acl)})
    if node is None:
        arena.note("empty", "refused")
        return
    with Peer(node.port) as alice:
        alice.enter("alice", **login("alice"))
        assert alice.publish("a/b", b"x") == NOT_AUTHORIZED
        alice.subscribe("#")
        alice.ping()
        assert not alice.messages
    with Peer(node.port) as nobody:
        assert nobody.connect("nobody").reason in (BAD_LOGIN, NOT_AUTHORIZED)


# D8


@pytest.mark.parametrize("name", ["unknown handler", "no JWKS file", "broken JWKS file", "broken dynamic security file"])
def test_d8_a_part_that_does_not_load_is_refused(arena, name):
    """What decides about access cannot be loaded: no start, rather than a start without it."""
    port = free_port()
    head = f"site: a\nlisteners:\n  - bind: 127.0.0.1:{port}\n"
    if name == "unknown handler":
        arena.configuration_is_refused(
            "broken", head + "handlers:\n  - { name: c, plugin: no.such, topics: [\"a/b\"] }\n", "site.yaml:5",
        )
        return
    rubbish = arena.path("rubbish.json", "{ this is no JSON", 0o600)
    if "JWKS" in name:
        options.require(arena, "jwt")
        file = rubbish if name.startswith("broken") else arena.folder / "none.json"
        arena.configuration_is_refused("broken", head + f"users: {{ jwt: {{ jwks_file: {file} }} }}\n", file.name)
        return
    options.require(arena, "access")
    users = options.passwords(arena, alice="alice has a long password")
    arena.configuration_is_refused(
        "broken", head + f"users: {{ password_file: {users} }}\naccess: {{ dynamic_security: {rubbish} }}\n", rubbish.name,
    )


# D9

INTERNAL = ["$SYS/broker/uptime", "$SYS/x", "$CONTROL/dynamic-security/v1", "$CONTROL/x", "$causeway/x", "$MQTT/x", "$x/y"]


@mosquitto_too
@pytest.mark.parametrize("topic", INTERNAL)
def test_d9_internal_topics_are_not_for_clients(guarded, arena, topic):
    """Publishing to the broker's own topics, and reading administration: denied whatever wildcard one may use."""
    rules = guarded(alice=["topic readwrite #"], bob=["topic readwrite #", "topic read $SYS/#"])
    target = rules.target
    with Peer(target.port) as bob, Peer(target.port) as alice:
        bob.enter("bob", **login("bob"))
        for topic_filter in ("#", "+/#", "$CONTROL/#", topic):
            bob.subscribe((topic_filter, 0))
        alice.enter("alice", **login("alice"))
        try:
            reason = alice.publish(topic, b"forged by alice", retain=True)
            arena.note("publish", hex(reason))
        except Closed:
            arena.note("publish", "closed")
        bob.ping()
        assert not [message for message in bob.drain(0.2) if message.payload == b"forged by alice"]


# D10


@mosquitto_too
@pytest.mark.parametrize("version", [V311, V5])
def test_d10_a_user_without_a_password_is_not_let_in(guarded, version):
    """The user name flag without the password flag, an empty password, a password in front of nobody."""
    rules = guarded(alice=["topic readwrite #"])
    for entry in (
        {"username": "alice"}, {"username": "alice", "password": b""}, {"username": "alice", "password": b"\x00"},
        {"username": "", "password": b""}, {"username": "alice ", **{"password": login("alice")["password"]}},
        {"username": "ALICE", **{"password": login("alice")["password"]}}, {},
    ):
        with Peer(rules.target.port, version) as peer:
            try:
                assert peer.connect("alice", **entry).reason in (BAD_LOGIN, NOT_AUTHORIZED, 4, 5), entry
            except Closed:
                pass
    rules.target.expect_audit("client.refused", "alice")


# D11


@mosquitto_too
def test_d11_a_message_half_handed_over_is_checked_again(guarded, arena):
    """The right to publish goes between PUBLISH and PUBREL of QoS 2: nobody gets it afterwards."""
    rules = guarded(alice=["topic readwrite t/#"], bob=["topic read t/#"])
    target = rules.target
    with Peer(target.port) as bob:
        bob.enter("bob", **login("bob"))
        bob.subscribe(("t/#", 2))
        alice = Peer(target.port).enter("alice", **login("alice"), **KEEPS)
        alice.send(publish("t/1", b"in between", qos=2, packet_id=9))
        alice.expect(packets.PUBREC)
        alice.close()
        bob.drain(0.5)
        before = len(bob.messages)
        arena.note("delivered with", "PUBLISH" if before else "PUBREL")
        rules.write(alice=["topic read t/#"])
        rules.wait_applied()
        alice = Peer(target.port)
        if alice.connect("alice", **login("alice"), **KEEPS).session_present:
            alice.send(acknowledgement(packets.PUBREL, 9))
            alice.expect(packets.PUBCOMP)
        bob.drain(0.5)
        assert len(bob.messages) == before
        alice.close()


# D12


@mosquitto_too
def test_d12_a_shared_subscription_evades_no_denial(guarded):
    """What may not be read may not be read in a group either, nor through a group's wildcard."""
    rules = guarded(alice=["topic readwrite #"], mallory=["topic read public/#"])
    target = rules.target
    with Peer(target.port) as mallory, Peer(target.port) as alice:
        mallory.enter("mallory", **login("mallory"))
        for topic_filter in ("$share/g/secret/t", "$share/g/#", "$share/g/+/t", "$share/public/secret/t",
                             "$share/g/public/#"):
            mallory.subscribe((topic_filter, 1))
        alice.enter("alice", **login("alice"))
        for number in range(10):
            alice.publish("secret/t", f"secret {number}")
        alice.publish("public/t", b"public")
        mallory.wait_messages(1)
        mallory.drain(0.3)
        assert {message.topic for message in mallory.messages} == {"public/t"}


# D13


@mosquitto_too
def test_d13_a_wildcard_gets_what_may_be_read_and_no_more(guarded, source):
    """Filters that reach beyond one's rights: denied or thinned out, never a message too many."""
    rules = guarded(alice=["topic readwrite #"], mallory=["topic read a/+/ok", "topic read b/#", "topic deny b/secret"])
    allowed = {"a/1/ok", "a/2/ok", "b", "b/x", "b/x/y"}
    topics = [*allowed, "a/1/no", "a", "b/secret", "c/d", "a/1/ok/more"]
    for topic_filter in ("#", "+/+/+", "a/#", "b/#", "+/#", "a/+/ok", "b/+", "+/secret", "b/secret", "+"):
        with Peer(rules.target.port) as mallory, Peer(rules.target.port) as alice:
            mallory.enter("mallory", **login("mallory"))
            mallory.subscribe((topic_filter, 1))
            alice.enter("alice", **login("alice"))
            for topic in topics:
                alice.publish(topic, b"x", retain=source.random() < 0.5)
            mallory.ping()
            mallory.drain(0.1)
            assert {message.topic for message in mallory.messages} <= allowed, topic_filter


# D14


@pytest.mark.parametrize("content", ["empty", "rubbish", "emptied later"])
def test_d14_a_bridge_without_an_authority_never_connects(arena, pki, mosquitto, content):
    """The CA file is empty, or is emptied: the bridge does not fall back to trusting anybody."""
    cafile = arena.path("ca.pem", "")
    remote = mosquitto("remote", tls=pki.server)
    if content == "emptied later":
        cafile.write_bytes(open(pki.foreign_device["cafile"], "rb").read())
    elif content == "rubbish":
        cafile.write_text("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
    entry = bridge(remote.port, address=f"mqtts://localhost:{remote.port}", tls={
        **pki.device("store-0042"), "cafile": str(cafile),
    })
    if content != "emptied later":
        assert arena.site(bridges=[entry]) is None, f"it starts with an authority that is {content}"
        return
    target = arena.start(bridges=[entry])
    tries = arena.scaled(4, 100)
    cafile.write_text("")
    with Device(target.port) as device:
        device.publish("sales/1", "x")

    def attempts():
        return remote.log.count("New connection from") + target.node.log.count("bridge")

    wait_until(lambda: attempts() >= tries, "the bridge tries", 60 + tries)
    arena.note("tries", attempts())
    assert "New client connected" not in remote.log


# D15


@pytest.mark.parametrize("kind", ["tcp", "websocket"])
def test_d15_certificates_are_checked_on_every_kind_of_listener(arena, pki, kind):
    """No certificate, a foreign one, a plain connection: out, on TLS and on WebSocket over TLS; the right one: in."""
    port, plain = free_port(), free_port()
    tls = {**pki.server, "require_certificate": True, "use_identity_as_username": True}
    entry = listener(port, tls=tls) if kind == "tcp" else options.websocket(port, tls=tls)
    arena.start(
        needs=["websockets"] if kind == "websocket" else [],
        listeners=[listener(plain, allow_anonymous=True), entry], bystander={"transport": {"port": plain}},
    )
    peer_class = Peer if kind == "tcp" else WebSocketPeer
    right = tls_context(pki.device("monitor-1"))
    foreign = tls_context(pki.server, with_certificate=False)
    foreign.load_cert_chain(pki.foreign_device["certfile"], pki.foreign_device["keyfile"])
    for name, context in (
        ("none", tls_context(pki.server, with_certificate=False)), ("foreign", foreign), ("plain", None),
    ):
        try:
            with peer_class(port, context=context) as peer:
                reason = peer.connect("monitor-1").reason
        except (Closed, OSError, AssertionError, IndexError, ValueError) as error:
            arena.note(name, type(error).__name__)
            continue
        raise AssertionError(f"{name}: let in with {reason}")
    with peer_class(port, context=right) as peer:
        peer.enter("monitor-1")
        peer.ping()


# D16


@pytest.mark.parametrize("text", [
    "site: a\nlisteners:\n  - bind: 0.0.0.0:{port}\n", "site: a\nlisteners:\n  - bind: \"[::]:{port}\"\n",
    "site: a\nlisteners:\n  - bind: 0.0.0.0:{port}\n    allow_anonymous: true\n",
    "site: a\nlisteners:\n  - {{ bind: 0.0.0.0:{port}, allow_anonymous: true, insecure: false }}\n",
])
def test_d16_nobody_is_exposed_by_default(arena, text):
    """A listener for everybody without TLS is refused unless it says `insecure`; without a word it is on loopback."""
    said = arena.configuration_is_refused("open", text.format(port=free_port()), "site.yaml:")
    assert "insecure" in said or "tls" in said


def test_d16_without_listeners_nobody_is_reached(arena):
    """A configuration that names no listener is refused, or listens on loopback alone."""
    file = arena.path("bare/site.yaml", "site: a\n")
    result = run([arena.causeway, "check", "-c", file], cwd=file.parent)
    arena.note("said", (result.stdout + result.stderr).strip()[-200:])
    if result.returncode == 0:
        assert "0.0.0.0" not in result.stdout and "[::]" not in result.stdout
