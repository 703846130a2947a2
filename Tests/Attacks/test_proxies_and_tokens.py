"""What stands before a client's own words: headers of proxies, and tokens of an issuer. Forged, cut off, flooded."""

import base64
import hashlib
import hmac
import json
import struct
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from attack import options, packets
from attack.arena import MEBIBYTE, listener
from attack.crowd import Crowd, loopback_addresses
from attack.packets import V5, V311
from attack.peer import Closed, Peer, closes
from support.processes import LOOPBACK, free_port

BAD_LOGIN, NOT_AUTHORIZED = 0x86, 0x87

# The PROXY protocol

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def binary(command=0x21, family=0x11, body=bytes([203, 0, 113, 9, 127, 0, 0, 1, 1, 1, 7, 7]), length=None):
    """A header of version 2."""
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(body) if length is None else length) + body


def field(kind, value, length=None):
    return bytes([kind]) + struct.pack(">H", len(value) if length is None else length) + value


ADDRESSES = bytes([203, 0, 113, 9, 127, 0, 0, 1, 1, 1, 7, 7])
LINE = b"PROXY TCP4 203.0.113.9 127.0.0.1 40000 1883\r\n"
WRONG_HEADERS = {
    "none at all": b"",
    "a line without end": b"PROXY TCP4 " + b"1" * 100_000,
    "a megabyte of header": b"PROXY " * 170_000,
    "words that are missing": b"PROXY TCP4 203.0.113.9\r\n",
    "an address that is none": b"PROXY TCP4 203.0.113.999 127.0.0.1 1 2\r\n",
    "a port that is none": b"PROXY TCP4 203.0.113.9 127.0.0.1 65536 2\r\n",
    "a name for an address": b"PROXY TCP4 localhost 127.0.0.1 1 2\r\n",
    "control characters": b"PROXY TCP4 203.0.113.9\x1b[2J 127.0.0.1 1 2\r\n",
    "two headers": LINE + LINE,
    "a length of 65,535": binary(length=65_535) + bytes(65_535),
    "a length below the addresses": binary(body=ADDRESSES[:6]),
    "a field beyond the header": binary(body=ADDRESSES + field(0x20, b"\x01", length=60_000)),
    "a TLS field cut short": binary(body=ADDRESSES + field(0x20, b"\x01\0")),
    "another version": binary(command=0x31),
    "UDP": binary(family=0x12),
    "a signature almost right": SIGNATURE[:-1] + b"\0" + bytes(60),
}


def behind_proxies(arena, **more):
    """A target with a listener for proxies from 127.0.0.2; the bystander comes without one."""
    port, plain = free_port(), free_port()
    target = arena.start(
        listeners=[
            listener(plain), listener(port, proxy_protocol={"from": ["127.0.0.2/32"], **more}, allow_anonymous=True),
        ],
        bystander={"transport": {"port": plain}},
    )
    target.port = port
    return target


@pytest.mark.parametrize("name", WRONG_HEADERS)
def test_proxy_a_header_that_is_none_ends_the_connection(arena, name):
    """Headers that are cut, lie or never end, with a CONNECT behind: nothing of it is believed, nothing answered."""
    target = behind_proxies(arena)
    for _ in range(arena.scaled(20, 1_000)):
        reason, seconds = closes(
            target.port, WRONG_HEADERS[name] + packets.connect("behind"), seconds=20, source="127.0.0.2",
        )
        assert reason in (None, 0x81, 0x82)
    arena.note("seconds", round(seconds, 2))
    with Peer(target.port, source="127.0.0.2") as honest:
        honest.send(LINE)
        honest.enter("honest")


def test_proxy_half_headers_are_cut_at_the_deadline(arena):
    """A crowd sends half a header each and waits: closed in ten seconds, whoever says it in time gets in."""
    target = behind_proxies(arena)
    with Crowd(target.port, arena.scaled(500, 5_000), sources=["127.0.0.2"]) as crowd:
        crowd.send_to_all(b"PROXY TCP4 203.0.")
        with Peer(target.port, source="127.0.0.2") as honest:
            honest.send(LINE)
            honest.enter("honest")
        started = time.monotonic()
        assert crowd.wait_closed(20) == 0
    arena.note("closed after seconds", round(time.monotonic() - started, 1))
    assert target.bystander.peak - target.before < 64 * MEBIBYTE


def test_proxy_nobody_else_is_believed(arena):
    """A right header from an address that is no proxy's: closed, and no line of a log calls it by what it claims."""
    target = behind_proxies(arena)
    for header in (LINE, binary(), b"PROXY UNKNOWN\r\n", binary(command=0x20)):
        for source in (LOOPBACK, "127.0.0.3"):
            assert closes(target.port, header + packets.connect("spoofed"), seconds=20, source=source)[0] is None
    assert "203.0.113.9" not in target.node.log
    with Peer(target.port, source="127.0.0.2") as honest:
        honest.send(LINE)
        honest.enter("honest")
    target.expect_audit("203.0.113.9", "honest")


def test_proxy_the_limits_of_an_address_are_those_of_the_client(arena):
    """A flood through the proxy from one claimed address is bounded by it; others behind the same proxy get in."""
    port, plain = free_port(), free_port()
    target = arena.start(
        limits={"max_connections_per_address": 50},
        listeners=[
            listener(plain), listener(port, proxy_protocol={"from": ["127.0.0.2/32"]}, allow_anonymous=True),
        ],
        bystander={"transport": {"port": plain}},
    )
    with Crowd(port, 200, sources=["127.0.0.2"]) as crowd:
        crowd.send_to_all(LINE)
        held = crowd.settle()
        arena.note("held", held)
        assert held <= 50
        with Peer(port, source="127.0.0.2") as honest:
            honest.send(LINE.replace(b"203.0.113.9", b"203.0.113.10"))
            honest.enter("honest")


def test_proxy_a_certificate_needs_to_have_been_verified(arena):
    """The proxy names a certificate: without TLS, without a verified one, or with a name that is none, nobody enters."""
    target = behind_proxies(arena, version="v2", require_certificate=True, use_identity_as_username=True)

    def said(client, verify, name):
        body = bytes([client]) + struct.pack(">I", verify) + field(0x22, name)
        return binary(body=ADDRESSES + field(0x20, body))

    wrong = {
        "no field": binary(), "not verified": said(0x07, 1, b"pump"), "no TLS": said(0x06, 0, b"pump"),
        "no certificate": said(0x01, 0, b"pump"), "no name": said(0x07, 0, b""),
        "a zero byte": said(0x07, 0, b"a\0b"), "no UTF-8": said(0x07, 0, b"\xff\xfe"),
    }
    for name, header in wrong.items():
        reason, _ = closes(
            target.port, header + packets.connect("forged", username="pump"), seconds=20, source="127.0.0.2",
        )
        arena.note(name, reason)
        assert reason in (None, BAD_LOGIN, NOT_AUTHORIZED), name
    with Peer(target.port, source="127.0.0.2") as honest:
        honest.send(said(0x07, 0, b"pump"))
        honest.enter("honest")


# Tokens


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Who signs tokens with a key of its own (ES256)."""

    def __init__(self, kid="key-1"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.kid = kid

    @property
    def public(self):
        numbers = self.key.public_key().public_numbers()
        return {
            "kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig", "alg": "ES256",
            "x": encoded(numbers.x.to_bytes(32, "big")), "y": encoded(numbers.y.to_bytes(32, "big")),
        }

    @property
    def pem(self):
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo,
        )

    def sign(self, data):
        first, second = decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
        return first.to_bytes(32, "big") + second.to_bytes(32, "big")

    def token(self, header=None, sign=None, spoil=None, **claims):
        now = int(time.time())
        claims = {"sub": "alice", "iss": "https://issuer.example", "aud": "site", "exp": now + 600, **claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        head = {"alg": "ES256", "typ": "JWT", "kid": self.kid, **(header or {})}
        signed = encoded(json.dumps(head).encode()) + "." + encoded(json.dumps(claims).encode())
        signature = (sign or self.sign)(signed.encode())
        if spoil:
            signed = spoil(signed)
        return signed + "." + encoded(signature)


def spoilt(signed):
    """The same header over other claims."""
    head, claims = signed.split(".")
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    return head + "." + encoded(json.dumps({**claims, "sub": "admin"}).encode())


@pytest.fixture
def issuer():
    return Issuer()


@pytest.fixture
def tokens(arena, issuer):
    """A target whose users come with tokens alone."""
    options.require(arena, "jwt")
    file = arena.path("jwks.json", json.dumps({"keys": [issuer.public]}))
    return arena.start(
        users={"jwt": {"jwks_file": str(file), "issuer": "https://issuer.example", "audience": "site", "leeway": "0s"}},
        access=[{"users": ["*"], "publish": ["u/%u/#", "bystander/#"], "subscribe": ["u/%u/#", "bystander/#"]}],
        bystander={"connect": {"password": issuer.token(sub="bystander")}},
    )


def forged(issuer):
    """Tokens that let nobody in, by what is wrong with them."""
    now, other = int(time.time()), Issuer()

    def nothing(_):
        return b""

    def secret(data):
        return hmac.new(issuer.pem, data, hashlib.sha256).digest()

    good = issuer.token()
    return {
        "signed with none": issuer.token(header={"alg": "none"}, sign=nothing),
        "signed with None": issuer.token(header={"alg": "None"}, sign=nothing),
        "none with a signature": issuer.token(header={"alg": "none"}),
        "no signature": issuer.token(sign=nothing),
        "the public key as a secret": issuer.token(header={"alg": "HS256"}, sign=secret),
        "somebody else's key": other.token(),
        "a key of its own in the header": other.token(header={"jwk": other.public}),
        "a key from elsewhere": other.token(header={"jku": "https://evil.example/jwks.json", "kid": "other"}),
        "a key identifier that is a path": other.token(header={"kid": "../../../../dev/null"}),
        "a signature of zeros": issuer.token(sign=lambda _: bytes(64)),
        "other claims": issuer.token(spoil=spoilt),
        "expired": issuer.token(exp=now - 5),
        "no expiry": issuer.token(exp=None),
        "an expiry that is text": issuer.token(exp="never"),
        "not yet": issuer.token(nbf=now + 600),
        "another issuer": issuer.token(iss="https://evil.example"),
        "no issuer": issuer.token(iss=None),
        "another audience": issuer.token(aud="elsewhere"),
        "no name": issuer.token(sub=None),
        "an empty name": issuer.token(sub=""),
        "critical headers that nobody knows": issuer.token(header={"crit": ["b64"], "b64": False}),
        "two parts": good.rpartition(".")[0], "four parts": good + ".x", "nothing": "", "dots": "..",
        "rubbish": "a.b.c", "sixteen kilobytes": good + "A" * 17_000, "a space": good + " ",
    }


def test_jwt_forged_tokens_let_nobody_in(arena, tokens, issuer):
    """Tokens unsigned, signed by others or with the public key as a secret, expired, of another issuer: all refused."""
    for version in (V5, V311):
        for name, token in forged(issuer).items():
            with Peer(tokens.port, version) as peer:
                try:
                    reason = peer.connect("forged", username="alice", password=token).reason
                except Closed:
                    reason = None
            arena.note(f"{version} {name}", reason)
            assert reason in (None, BAD_LOGIN, NOT_AUTHORIZED, 4, 5), name
    with Peer(tokens.port) as peer:
        assert peer.connect("mallory", username="mallory", password=issuer.token()).reason in (BAD_LOGIN, NOT_AUTHORIZED)
    with Peer(tokens.port) as peer:
        peer.enter("alice", username="alice", password=issuer.token())
        assert peer.publish("u/alice/x", b"x") < 0x80
        assert peer.publish("u/bob/x", b"x") >= 0x80
    with Peer(tokens.port) as peer:
        # Signed by whom it should be; the number is no clock's.
        assert peer.connect("for ever", username="alice", password=issuer.token(exp=1e300)).reason in (0, BAD_LOGIN)
    tokens.expect_audit("client.refused")


def test_jwt_a_token_ends_its_connection_when_it_expires(tokens, issuer):
    """Who came in with a token for three seconds is not there after five."""
    with Peer(tokens.port) as peer:
        peer.enter("brief", username="alice", password=issuer.token(exp=int(time.time()) + 3))
        assert peer.publish("u/alice/x", b"x") < 0x80
        assert peer.verdict(15) in (NOT_AUTHORIZED, 0xA0, 0x98)


# B17

NOBODY = ((None, None), ("", None), ("", ""), (None, "x"))


def is_nobody(arena, target, topics):
    """Whoever gives no name is not let in, or may do nothing that somebody may."""
    for username, password in NOBODY:
        for version in (V5, V311):
            with Peer(target.port, version) as peer:
                try:
                    reason = peer.connect("device", username=username, password=password).reason
                except (Closed, AssertionError):
                    continue
                arena.note(f"{version} {username!r} {password!r}", reason)
                if reason:
                    continue
                for topic in topics:
                    try:
                        if version == V5:
                            assert peer.publish(topic, b"x") >= 0x80, topic
                        peer.subscribe(topic)
                        peer.ping()
                        assert not peer.messages, topic
                    except Closed:
                        break


def test_b17_no_user_name_is_nobody_where_tokens_say_it(arena, tokens):
    """A CONNECT without a user name and without a token, where users come with tokens: not let in."""
    is_nobody(arena, tokens, ["u//x", "u/x", "u/None/x", "u/nil/x", "u/alice/x"])


def test_b17_no_user_name_is_nobody_where_commands_say_it(arena):
    """A CONNECT without a user name, where users and roles are made by commands: not let in, and no role is its."""
    from attack.oracle_run import DynamicSecurity, password

    backend = DynamicSecurity(arena.folder)
    target = arena.start(bystander=False, **backend.configuration)
    with Peer(target.port) as admin:
        admin.enter("admin", username="admin", password=password("admin"))
        backend.prepare(admin)
    is_nobody(arena, target, ["s/x", "barrier/u0", "$CONTROL/dynamic-security/v1", "u//x"])
    with Peer(target.port) as admin:
        admin.enter("admin", username="admin", password=password("admin"))
