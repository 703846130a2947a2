"""Stock clients against the site: client × version × QoS × transport, each publishing, receiving, retaining and dying."""

import itertools
import os

import pytest

from support.clients import Device, unique
from support.processes import LOOPBACK, free_port, run, wait_until
from support.stock_clients import CLIENTS, PROPERTIES, Endpoint, MosquittoTools

TRANSPORTS = ("tcp", "tls", "websocket", "wss", "unix")
CELLS = [
    (client, version, transport, qos)
    for client, kind in CLIENTS.items()
    for version, transport, qos in itertools.product(kind.versions, kind.transports, (0, 1, 2))
]
# What was seen, by client, version and transport; printed at the end.
seen = {}


@pytest.fixture(scope="module")
def endpoints(causeway, pki, tmp_path_factory):
    """One site with a listener for each transport."""
    from support.nodes import Site

    folder = tmp_path_factory.mktemp("interoperability")
    ports = {transport: free_port() for transport in ("tls", "websocket", "wss")}
    # A path of a Unix socket has room for 107 bytes.
    path = folder / "s"
    websockets = {"protocol": "websockets", "websockets": {"paths": ["/mqtt"]}}
    tls = {"tls": {name: pki.server[name] for name in ("certfile", "keyfile")}, "allow_anonymous": True}
    node = Site(causeway, "store-0042", folder / "site", {})
    node.configuration["listeners"] += [
        {"bind": f"{LOOPBACK}:{ports['tls']}", **tls},
        {"bind": f"{LOOPBACK}:{ports['websocket']}", **websockets},
        {"bind": f"{LOOPBACK}:{ports['wss']}", **websockets, **tls},
        {"socket": str(path), "allow_anonymous": True},
    ]
    node.write()
    said = run([causeway, "check", "-c", node.file], cwd=node.folder)
    known = TRANSPORTS
    if said.returncode and "unknown setting 'protocol'" in said.stdout + said.stderr and os.environ.get("CAUSEWAY_PARTIAL"):
        # An older executable: what it has is tried all the same.
        known = ("tcp", "tls")
        del node.configuration["listeners"][2:]
    node.start()
    cafile = pki.server["cafile"]
    found = {
        "tcp": Endpoint("tcp", node.port, None, None), "tls": Endpoint("tls", ports["tls"], cafile, None),
        "websocket": Endpoint("websocket", ports["websocket"], None, None),
        "wss": Endpoint("wss", ports["wss"], cafile, None), "unix": Endpoint("unix", None, None, path),
    }
    yield {name: endpoint for name, endpoint in found.items() if name in known}
    log = node.log
    node.end_quietly()
    print(log[-3000:])


@pytest.mark.parametrize(("client", "version", "transport", "qos"), CELLS, ids=lambda value: str(value))
def test_a_stock_client_works(endpoints, client, version, transport, qos):
    if transport not in endpoints:
        pytest.skip(f"the executable has no {transport} listener yet")
    make, endpoint, name = CLIENTS[client], endpoints[transport], unique("m")
    payload = f"from {client} at QoS {qos}".encode()
    properties = PROPERTIES if version == "5.0" else None
    subscriber = make(endpoint, version, f"{name}s").open()
    publisher = make(endpoint, version, f"{name}p").open()
    try:
        subscriber.subscribe(f"{name}/#", qos)
        publisher.publish(f"{name}/live", payload, qos, properties=properties)
        live = subscriber.wait_for(f"{name}/live")
        assert (live.payload, live.qos, live.retain) == (payload, qos, False)
        assert live.properties == (properties or {})

        publisher.publish(f"{name}/kept", payload, qos, retain=True, properties=properties)
        subscriber.wait_for(f"{name}/kept")
        late = make(endpoint, version, f"{name}l").open()
        late.subscribe(f"{name}/kept", qos)
        kept = late.wait_for(f"{name}/kept")
        assert (kept.payload, kept.qos, kept.retain) == (payload, qos, True)
        assert kept.properties == (properties or {})
        late.close()

        mortal = make(endpoint, version, f"{name}w").open(will=(f"{name}/will", b"gone", qos, False))
        mortal.drop()
        will = subscriber.wait_for(f"{name}/will")
        assert (will.payload, will.qos) == (b"gone", qos)
    finally:
        publisher.close()
        subscriber.close()
    seen.setdefault((client, version, transport), set()).add(qos)


@pytest.mark.parametrize("transport", MosquittoTools.transports)
@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
def test_mosquitto_rr_gets_its_answer(endpoints, version, transport):
    if transport not in endpoints:
        pytest.skip(f"the executable has no {transport} listener yet")
    name = unique("rr")
    with Device(endpoints["tcp"].port) as responder:
        def answer(client, userdata, message):
            topic = getattr(message.properties, "ResponseTopic", f"{name}/answer")
            client.publish(topic, b"answer to " + message.payload, 1, properties=None)

        responder.client.on_message = answer
        responder.subscribe(f"{name}/question")
        tool = MosquittoTools(endpoints[transport], version, name)
        result = run([
            "mosquitto_rr", *tool.place(), "-t", f"{name}/question", "-e", f"{name}/answer", "-m", "how much",
            "-q", 1, "-W", 30,
        ], check=0)
        assert result.stdout.strip() == "answer to how much"
    seen.setdefault(("mosquitto_rr", version, transport), set()).add(1)


def test_the_matrix_is_complete(endpoints, capsys):
    """Prints the matrix; when all cells ran, every one of them must be in it."""
    wanted = {}
    for client, version, transport, qos in CELLS:
        if transport in endpoints:
            wanted.setdefault((client, version, transport), set()).add(qos)
    with capsys.disabled():
        print("\nInteroperability (QoS that worked; a dot: the client does not have it)")
        print(f"{'client':<20}{'version':<9}" + "".join(f"{transport:>11}" for transport in TRANSPORTS))
        rows = sorted({(client, version) for client, version, _ in [*wanted, *seen]})
        for client, version in rows:
            cells = (seen.get((client, version, transport)) for transport in TRANSPORTS)
            text = "".join(f"{'' .join(map(str, sorted(cell))) if cell else '.':>11}" for cell in cells)
            print(f"{client:<20}{version:<9}{text}")
    if len(seen) >= len(wanted):
        missing = {cell: qos for cell, qos in wanted.items() if seen.get(cell) != qos}
        assert not missing, missing
