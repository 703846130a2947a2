"""What must not get out: passwords, personal data, and the pages of one browser into another's."""

import http.client
import http.server
import json
import os
import re
import secrets
import shutil
import stat
import statistics
import subprocess
import threading
import time
import urllib.parse

import pytest

from attack import options, packets
from attack.arena import listener
from attack.packets import V5, V311, publish, subscribe
from attack.peer import Closed, Peer
from attack.report import ROOT
from attack.websocket import WebSocketPeer, ask
from support.chain import bridge, route
from support.clients import MosquittoSub
from support.processes import LOOPBACK, free_port, wait_until

mosquitto_too = pytest.mark.applies_to_mosquitto


# E1


def test_e1_no_secret_is_seen_anywhere(arena):
    """Passwords right and wrong, of users and of a bridge: in no log, page, metric, system topic, audit or data file."""
    canaries = {name: f"canary-{secrets.token_hex(12)}" for name in ("right", "wrong", "typed", "userless", "bridge", "payload")}
    users = options.passwords(arena, alice=canaries["right"])
    bridge_password = arena.path("bridge.password", canaries["bridge"])
    target = arena.start(
        log={"level": "debug"}, users={"password_file": str(users)},
        bystander={"connect": {"username": "alice", "password": canaries["right"]}},
        bridges=[bridge(free_port(), username="store", password_file=str(bridge_password))],
    )
    for version in (V311, V5):
        with Peer(target.port, version) as peer:
            peer.enter("alice", username="alice", password=canaries["right"])
            peer.publish("a/b", canaries["payload"], qos=0)
            peer.subscribe("$SYS/#")
            peer.drain(0.5)
            said = b"".join(message.topic.encode() + message.payload for message in peer.messages)
        for username in ("alice", "nobody", canaries["typed"]):
            with Peer(target.port, version) as peer:
                assert peer.connect("x", username=username, password=canaries["wrong"]).reason != 0
        with Peer(target.port, version) as peer:
            try:
                peer.send(packets.connect("x", version=version, username="alice", password=canaries["wrong"]) + b"\xff" * 9)
                peer.rest(20)
            except Closed:
                pass
        if version == V5:
            with Peer(target.port) as peer:
                peer.send(packets.connect("x", password=canaries["userless"]))
                peer.drain(2)
    places = {"log": target.node.log, "audit": "".join(target.audit_lines()), "$SYS": said.decode(errors="replace")}
    for path in ("/", "/metrics", "/livez", "/readyz", "/status", "/api", "/debug"):
        places[path] = target.node.get(path)[1]
    passwords = [canary for name, canary in canaries.items() if name not in ("payload", "typed")]
    for place, text in places.items():
        for name, canary in canaries.items():
            # Who was refused has to stand in the audit log, also where somebody typed a password as a name.
            if (place, name) != ("audit", "typed"):
                assert canary not in text, f"{place} shows a secret: {name}"
    for path in target.node.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(canary.encode() in data for canary in passwords), path


# E2


def test_e2_files_are_for_the_service_user_alone(arena):
    """Whatever the site writes is readable by its own user alone, whatever the umask is."""
    old = os.umask(0)
    try:
        target = arena.start()
        with Peer(target.port) as peer:
            peer.enter("keeper", clean=False, items=[packets.session_expiry(60)])
            for number in range(200):
                peer.publish("keep/t", b"x" * 500, retain=number % 2 == 0)
        target.restart(kill=False)
    finally:
        os.umask(old)
    for path in [target.node.journal_folder, *target.node.journal_folder.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path.name}: {mode:o}"
    if target.audit_folder is not None:
        for path in target.audit_folder.rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("name", ["private key", "password file"])
def test_e2_files_that_others_may_read_are_refused(arena, pki, name):
    """A private key or a password file that everybody may read: refused with the line, not merely used."""
    port = free_port()
    key = arena.path("site.key", open(pki.server["keyfile"]).read(), 0o644)
    users = options.passwords(arena, alice="a long password")
    if name == "password file":
        key.chmod(0o600)
        users.chmod(0o644)
    text = (
        f"site: a\nlisteners:\n  - bind: {LOOPBACK}:{port}\n"
        f"    tls: {{ certfile: {pki.server['certfile']}, keyfile: {key} }}\nusers: {{ password_file: {users} }}\n"
    )
    said = arena.configuration_is_refused("loose", text)
    arena.note("said", said.strip()[-200:])
    assert "site.yaml:" in said


# E3


def hashes(target):
    """How many hashes of passwords the broker has worked out; 0 where it does not say."""
    if target.is_mosquitto:
        return 0
    found = re.search(r"^causeway_password_hashes(?:_total)? (\d+)", target.node.get("/metrics")[1], re.M)
    return int(found[1])


@mosquitto_too
def test_e3_unknown_users_look_like_wrong_passwords(arena):
    """A user who is not there costs what a wrong password costs: the same answer after as many hashes of a password.

    How long each took is recorded, not judged.
    """
    count = arena.scaled(40, 2_000)
    users = options.passwords(arena, alice="the right password", bystander="bystander has a long password")
    target = arena.start(
        users={"password_file": str(users)}, mosquitto=[f"password_file {users}", "allow_anonymous false"],
        bystander={"connect": {"username": "bystander", "password": "bystander has a long password"}},
    )
    times, answers = {"known": [], "unknown": []}, {"known": set(), "unknown": set()}
    work = {"known": set(), "unknown": set()}
    for number in range(count):
        for kind in times:
            # Each from another address, so that nobody is locked out for the number of tries.
            source = f"127.0.{number // 250 + 1}.{number % 250 + 1}"
            before = hashes(target)
            with Peer(target.port, source=source) as peer:
                started = time.perf_counter()
                name = "alice" if kind == "known" else f"nobody{number % 7}"
                answers[kind].add(peer.connect("x", username=name, password="wrong password").reason)
                times[kind].append(time.perf_counter() - started)
            work[kind].add(hashes(target) - before)
    medians = {kind: statistics.median(values) * 1000 for kind, values in times.items()}
    arena.note("median ms", {kind: round(value, 3) for kind, value in medians.items()})
    arena.note("ratio", round(medians["unknown"] / medians["known"], 3))
    assert answers["known"] == answers["unknown"] and 0 not in answers["known"]
    arena.note("hashes of a password for each", {kind: sorted(counts) for kind, counts in work.items()})
    assert work["known"] == work["unknown"] and len(work["known"]) == 1
    assert target.is_mosquitto or work["known"] != {0}


# E4

SCRIPTS = [
    "<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "\"><svg onload=alert(1)>", "javascript:alert(1)",
    "'-alert(1)-'", "{{constructor.constructor('alert(1)')()}}", "</title><script>alert(1)</script>",
]


def test_e4_no_markup_of_a_client_reaches_a_page(arena):
    """Markup as client identifier, topic, payload, user name and handler key: no page holds it unescaped."""
    handlers = [{"name": "<b>c", "plugin": "retail.coupon", "topics": ["customer/{customer}/+"], "key": "{customer}"}]
    assert arena.site(handlers=handlers) is None, "a handler may be named with markup"
    target = arena.start()
    peers = []
    for script in SCRIPTS:
        peer = Peer(target.port)
        peers.append(peer)
        peer.enter(script, username=script)
        peer.send(publish(script, script.encode(), qos=1, retain=True) + subscribe(f"{script}/#"))
        peer.ping()
    for path in ("/", "/metrics", "/healthz", "/readyz", "/status", "/clients", "/api/clients",
                 f"/{SCRIPTS[0]}", f"/?q={SCRIPTS[1]}"):
        connection = http.client.HTTPConnection(LOOPBACK, target.node.console_port, timeout=10)
        connection.request("GET", urllib.parse.quote(path, safe="/?=<>") if " " in path else path)
        answer = connection.getresponse()
        text = answer.read().decode()
        kind = answer.getheader("Content-Type") or ""
        assert answer.getheader("X-Content-Type-Options") == "nosniff", path
        if "html" in kind:
            assert answer.getheader("Content-Security-Policy"), path
            for script in SCRIPTS:
                assert script not in text, path
    for peer in peers:
        peer.close()


# Each marks the page if a browser runs it.
OWNERS = [
    "<script>document.documentElement.dataset.owned0=1</script>",
    "<img src=x onerror=document.documentElement.dataset.owned1=1>",
    "</pre><svg onload=document.documentElement.dataset.owned2=1>",
]


def browsed(browser, folder, url):
    """The document as a browser has it after three seconds of its own time, scripts and all."""
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        f"--user-data-dir={folder}", "--virtual-time-budget=3000", "--dump-dom", url,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


def owners(document):
    """Which of them have run."""
    tag = re.search(r"<html[^>]*>", document)
    return set(re.findall(r"data-owned(\d)", tag[0] if tag else ""))


def test_e4_a_browser_runs_nothing_of_a_client(arena, tmp_path):
    """Chromium opens what the console shows while markup stands in every name and payload: none of it runs."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not installed, and nothing else here runs scripts as a browser does")

    class Careless(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f"<html><body><pre>{''.join(OWNERS)}</pre></body></html>".encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer((LOOPBACK, 0), Careless) as careless:
        threading.Thread(target=careless.serve_forever, daemon=True).start()
        document = browsed(browser, tmp_path / "browser", f"http://{LOOPBACK}:{careless.server_port}/")
        assert owners(document) == {"0", "1", "2"}, "a page that shows them as they are must be caught"
        careless.shutdown()
    target = arena.start()
    for script in OWNERS:
        with Peer(target.port) as peer:
            peer.enter(script, username=script, clean=False, items=[packets.session_expiry(60)])
            peer.send(publish(script, script.encode(), qos=1, retain=True) + subscribe(f"{script}/x"))
            peer.ping()
    looked = 0
    for path in ("/", "/metrics", f"/{OWNERS[0]}", f"/metrics?{OWNERS[1]}"):
        url = f"http://{LOOPBACK}:{target.node.console_port}{urllib.parse.quote(path, safe='/?=<>')}"
        document = browsed(browser, tmp_path / "browser", url)
        looked += bool(document.strip())
        assert not owners(document), path
    arena.note("documents that the browser had", looked)
    assert looked


# E5

FLOORS = {"swift-nio": (2, 100, 0), "swift-nio-http2": (1, 44, 1)}


def test_e5_dependencies_are_beyond_their_known_flaws(arena):
    """The HTTP libraries are newer than the versions with known flaws in header handling."""
    pins = json.loads((ROOT / "Package.resolved").read_text())["pins"] if (ROOT / "Package.resolved").exists() else None
    if pins is None:
        build = ROOT / ".build/workspace-state.json"
        if not build.exists():
            arena.note("pins", "no resolved file in this tree; the manifest's floors are looked at")
            manifest = (ROOT / "Package.swift").read_text()
            found = re.search(r'apple/swift-nio", from: "([0-9.]+)"', manifest)
            assert found and tuple(map(int, found[1].split("."))) >= FLOORS["swift-nio"]
            return
        pins = [
            {"identity": one["packageRef"]["identity"], "state": one["state"]["checkoutState"]}
            for one in json.loads(build.read_text())["object"]["dependencies"] if "checkoutState" in one["state"]
        ]
    versions = {pin["identity"]: pin["state"].get("version") for pin in pins}
    for name, floor in FLOORS.items():
        if name in versions:
            assert tuple(map(int, versions[name].split("."))) >= floor, (name, versions[name])


@pytest.mark.parametrize("request_text", [
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", b"GET /\r\nX: y HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
])
def test_e5_line_breaks_in_headers_smuggle_nothing(arena, target, request_text):
    """Bare line breaks, NUL and two lengths in a request to the console: refused, or answered once and plainly."""
    with Peer(target.node.console_port) as peer:
        try:
            peer.send(request_text)
            peer.wait_readable(5) and peer.fill()
        except Closed:
            pass
        answer = peer.buffer
    arena.note("answer", answer.split(b"\r\n")[0].decode(errors="replace"))
    assert b"set-cookie" not in answer.lower().partition(b"\r\n\r\n")[0]
    assert answer.count(b"HTTP/1.1 200") <= 1


# E6

CARDS = ["4111111111111111", "5500 0000 0000 0004", "3400-0000-0000-009", "6011000000000004"]


def test_e6_redacted_fields_never_leave_the_site(arena, mosquitto, source):
    """Names, numbers and positions in every depth and spelling: nothing of a redacted field crosses the bridge."""
    remote = mosquitto("remote")
    fields = {"patient": "drop", "card": "drop", "visit.name": "drop", "mrn": "hmac"}
    key = arena.path("site-key", "a secret of the site that is long enough")
    link = bridge(remote.port, [route("sales/#", redact=fields)], confirm="puback")
    del link["resend_after"]
    target = arena.start(site_key={"file": str(key)}, bridges=[link], growth=32 << 20)
    count = arena.scaled(300, 100_000)
    canaries = []
    with MosquittoSub(remote.port, "#", qos=1) as observer, Peer(target.port) as peer:
        peer.enter("till")
        for number in range(count):
            canary = f"Jane Doe {secrets.token_hex(6)}"
            canaries.append(canary)
            card = source.choice(CARDS)
            document = {
                "n": number, "patient": source.choice([canary, [canary], {"name": canary}, None, 7]),
                "card": card, "mrn": canary, "visit": {"name": canary, "ward": "3"},
                "total": source.random(),
            }
            keys = list(document)
            source.shuffle(keys)
            text = json.dumps({key: document[key] for key in keys}, ensure_ascii=source.random() < 0.5)
            if source.random() < 0.2:
                # The same names written with escapes.
                text = text.replace('"card"', '"\\u0063ard"').replace('"patient"', '"pati\\u0065nt"')
            if source.random() < 0.1:
                text = text[:-1] + f', "card": "{card}"}}'
            if source.random() < 0.05:
                text = text[:source.randrange(1, len(text))]
            peer.publish(f"sales/{number % 9}", text)
        peer.publish("sales/end", json.dumps({"end": True}))
        wait_until(lambda: any("sales/end" in message.topic for message in observer.messages), "the last one came", 60)
        said = "\n".join(observer.lines)
    arena.note("messages that crossed", len(observer.messages))
    assert len(observer.messages) > count // 2
    for canary in canaries:
        assert canary not in said
    for card in CARDS:
        assert card not in said


# E7


def test_e7_pages_from_elsewhere_are_not_served(arena):
    """A browser on somebody else's page opens a WebSocket: refused by its origin, however it is spelt."""
    port = free_port()
    arena.start(
        needs=["websockets"], bystander={"transport": {"port": (plain := free_port())}},
        listeners=[listener(plain), options.websocket(port, origins=["https://till.example"])],
    )
    for origin in ("https://evil.example", "https://till.example.evil.example", "http://till.example", "null", "",
                   "https://till.example:444", "https://till.example@evil.example", "HTTPS://TILL.EXAMPLE.", "*"):
        answer = ask(port, headers=[f"Origin: {origin}"])
        assert answer is None or answer.status == 403, (origin, answer.status)
    answer = ask(port, headers=["Origin: https://evil.example", "Origin: https://till.example"])
    assert answer is None or not answer.is_accepted
    with WebSocketPeer(port, headers=["Origin: https://till.example"]) as peer:
        peer.enter("till")
        peer.ping()
