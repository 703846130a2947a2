"""Site to cloud: over our own broker and over stock mosquitto, through every way a link can break."""

import json
import socket
import threading

import pytest

from support.chain import bridge, missing, payloads, route, stored, wait_stored
from support.clients import Device, MosquittoSub, mosquitto_pub
from support.processes import LOOPBACK, free_port, run, wait_until


def publish_numbers(port, first, last, topic="sales/7"):
    with Device(port) as device:
        handles = [device.client.publish(topic, str(number), 1) for number in range(first, last)]
        wait_until(lambda: all(handle.mid in device.acknowledged for handle in handles), "all are acknowledged")


def numbers(first, last):
    return [str(number) for number in range(first, last)]


def report(causeway, cloud):
    """What `causeway cloud report` says, which must agree with the tables."""
    result = run([causeway, "cloud", "report", "-c", cloud.file], check=0)
    return result.stdout


def test_messages_reach_the_embedded_broker_and_its_database_in_order(causeway, site, cloud):
    head_office = cloud()
    store = site(bridges=[bridge(head_office.port)])
    publish_numbers(store.port, 0, 300)
    wait_stored(head_office, 300)
    assert payloads(head_office, "store-0042") == numbers(0, 300)
    assert missing(head_office) == 0
    assert "store-0042" in report(causeway, head_office)


def test_the_outbox_is_cut_at_the_watermark(site, cloud):
    head_office = cloud()
    store = site(bridges=[bridge(head_office.port)])
    publish_numbers(store.port, 0, 100)
    wait_stored(head_office, 100)
    wait_until(lambda: store.metric("causeway_bridge_queue_messages", bridge="cloud") == 0, "the outbox is empty")


def test_an_outage_of_the_cloud_loses_and_repeats_nothing(causeway, site, cloud):
    head_office = cloud()
    store = site(bridges=[bridge(head_office.port)])
    publish_numbers(store.port, 0, 100)
    wait_stored(head_office, 100)
    head_office.kill()
    publish_numbers(store.port, 100, 400)
    head_office.start()
    publish_numbers(store.port, 400, 500)
    wait_stored(head_office, 500)
    assert payloads(head_office, "store-0042") == numbers(0, 500)
    assert missing(head_office) == 0


def test_a_cloud_that_comes_later_finds_everything(site, cloud):
    head_office = cloud(start=False)
    store = site(bridges=[bridge(head_office.port)])
    publish_numbers(store.port, 0, 200)
    store.stop()
    store.start()
    publish_numbers(store.port, 200, 250)
    head_office.start()
    wait_stored(head_office, 250)
    assert payloads(head_office, "store-0042") == numbers(0, 250)


def test_stock_mosquitto_as_cloud_broker_through_kills_of_it(causeway, site, cloud, mosquitto):
    between = mosquitto()
    head_office = cloud(broker_address=f"mqtt://{LOOPBACK}:{between.port}")
    store = site(bridges=[bridge(between.port)])
    publish_numbers(store.port, 0, 100)
    wait_stored(head_office, 100)
    for turn in range(3):
        first = 100 + turn * 200
        between.kill()
        publish_numbers(store.port, first, first + 100)
        between.start()
        publish_numbers(store.port, first + 100, first + 200)
    wait_stored(head_office, 700, seconds=120)
    assert payloads(head_office, "store-0042") == numbers(0, 700)
    assert missing(head_office) == 0
    (entry,) = json.loads(run([causeway, "cloud", "report", "-c", head_office.file, "--json"], check=0).stdout)["sites"]
    assert (entry["site"], entry["stored"], entry["missing"]) == ("store-0042", 700, 0)
    distinct = head_office.rows("SELECT count(*), count(DISTINCT payload) FROM messages WHERE topic NOT LIKE 'cw/%'")
    assert distinct == [(700, 700)]


def test_mosquitto_that_freezes_is_noticed_and_survived(site, cloud, mosquitto):
    between = mosquitto()
    head_office = cloud(broker_address=f"mqtt://{LOOPBACK}:{between.port}")
    store = site(bridges=[bridge(between.port)])
    publish_numbers(store.port, 0, 50)
    wait_stored(head_office, 50)
    between.pause()
    try:
        # The site serves its devices as if nothing had happened.
        publish_numbers(store.port, 50, 150)
        assert store.get("/readyz")[0] == 200
    finally:
        between.resume()
    wait_stored(head_office, 150, seconds=120)
    assert payloads(head_office, "store-0042") == numbers(0, 150)


def test_the_uplink_shows_its_certificate_and_checks_the_other_sides(site, cloud, mosquitto, pki):
    between = mosquitto(tls=pki.server)
    tls = {key: str(value) for key, value in pki.device("monitor-1").items()}
    head_office = cloud(broker_address=f"mqtts://localhost:{between.port}", tls=tls)
    uplink = {**bridge(between.port), "address": f"mqtts://localhost:{between.port}", "tls": tls}
    store = site(bridges=[uplink])
    publish_numbers(store.port, 0, 50)
    wait_stored(head_office, 50)
    # One that trusts another authority never gets as far as sending anything.
    foreign = {**tls, "cafile": str(pki.foreign_device["cafile"])}
    careful = site("careful", bridges=[{**uplink, "tls": foreign}])
    publish_numbers(careful.port, 0, 10)
    wait_until(lambda: "certificate" in careful.log.lower(), "the refusal is logged")
    assert stored(head_office, "careful") == 0
    assert careful.get("/readyz")[0] == 200


def test_a_certificate_binds_a_site_to_its_own_stream(site, cloud, pki):
    port = free_port()
    head_office = cloud(
        broker={"listeners": [{
            "bind": f"{LOOPBACK}:{port}",
            "tls": {**pki.server, "require_certificate": True, "use_identity_as_username": True},
        }]},
        access=[{"users": ["*"], "publish": ["up/+/%u/#"], "subscribe": ["down/%u/#"]}],
    )
    uplink = {**bridge(port), "address": f"mqtts://localhost:{port}", "tls": pki.device("store-0042")}
    store = site(bridges=[uplink])
    publish_numbers(store.port, 0, 30)
    wait_stored(head_office, 30)
    # Somebody else's certificate does not open this site's stream.
    with Device(port, tls=pki.device("monitor-1"), host="localhost") as impostor:
        impostor.subscribe("down/monitor-1/#")
        assert impostor.subscribe("down/store-0042/#") == [0x87]
        impostor.client.publish("up/00/store-0042/sales/7", "forged", 0)
        impostor.publish("up/00/monitor-1/hello", "mine")
    publish_numbers(store.port, 30, 40)
    wait_stored(head_office, 40)
    assert payloads(head_office, "store-0042") == numbers(0, 40)


def test_a_certificate_for_another_host_is_refused(site, mosquitto, pki):
    between = mosquitto(tls=pki.other_host)
    tls = {key: str(value) for key, value in pki.device("monitor-1").items()}
    uplink = {**bridge(between.port), "address": f"mqtts://localhost:{between.port}", "tls": tls}
    store = site(bridges=[uplink])
    publish_numbers(store.port, 0, 10)
    wait_until(lambda: "certificate" in store.log.lower(), "the refusal is logged")
    assert "CONNACK" not in between.log


@pytest.mark.parametrize("behaviour", ["closes at once", "says nothing", "answers nonsense", "refuses"])
def test_a_cloud_that_misbehaves_costs_the_site_nothing(site, behaviour):
    listener = socket.create_server((LOOPBACK, 0))
    held = []

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            if behaviour == "closes at once":
                connection.close()
            elif behaviour == "answers nonsense":
                connection.sendall(b"\x00" * 64 + b"HTTP/1.1 400 Bad Request\r\n\r\n")
            elif behaviour == "refuses":
                connection.recv(4096)
                connection.sendall(b"\x20\x03\x00\x87\x00")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        store = site(bridges=[bridge(listener.getsockname()[1])])
        wait_until(lambda: held, "the bridge tried")
        publish_numbers(store.port, 0, 100)
        with Device(store.port) as one:
            one.subscribe("local/#")
            one.publish("local/x", "y")
            one.wait_for(1)
        assert store.get("/readyz")[0] == 200
        wait_until(
            lambda: (store.metric("causeway_bridge_queue_messages", bridge="cloud") or 0) >= 100, "the backlog shows"
        )
        assert store.stop() == 0
    finally:
        listener.close()
        for connection in held:
            connection.close()


def test_what_a_route_drops_never_reaches_the_disk_of_the_outbox(site, cloud, tmp_path):
    key = tmp_path / "site.key"
    key.write_bytes(b"0123456789abcdef0123456789abcdef")
    key.chmod(0o600)
    head_office = cloud(start=False)
    routes = [route("pos/+/sale", to="sales/{1}", redact={"card": "drop", "customer": "hmac", "amount": "round:1"})]
    store = site(site_key={"file": str(key)}, bridges=[bridge(head_office.port, routes)])
    sale = {"card": "4111-1111-SECRET", "customer": "Ada Lovelace", "amount": 12.345, "item": "tea"}
    with Device(store.port) as device:
        device.publish("pos/3/sale", json.dumps(sale))
        device.publish("pos/4/sale", json.dumps({**sale, "item": "cake"}))
        device.publish("pos/5/refund", "not routed")
    wait_until(
        lambda: (store.metric("causeway_bridge_queue_messages", bridge="cloud") or 0) >= 2, "two wait in the outbox"
    )
    outbox = b"".join(
        path.read_bytes() for path in store.folder.rglob("*") if path.is_file() and "outbox" in path.parts
    )
    assert outbox, "no outbox on disk"
    assert b"SECRET" not in outbox and b"Lovelace" not in outbox and b"not routed" not in outbox
    head_office.start()
    wait_stored(head_office, 2)
    first, second = (json.loads(text) for text in payloads(head_office, "store-0042"))
    assert "card" not in first
    assert first["customer"] == second["customer"] != "Ada Lovelace"
    assert first["amount"] == pytest.approx(12.3)
    assert first["item"] == "tea"
    assert head_office.rows("SELECT topic FROM messages WHERE topic NOT LIKE 'cw/%' ORDER BY seq") == [
        ("sales/3",), ("sales/4",),
    ]


def test_two_sites_are_told_apart(causeway, site, cloud):
    head_office = cloud()
    north = site("north", bridges=[bridge(head_office.port)])
    south = site("south", bridges=[bridge(head_office.port)])
    publish_numbers(north.port, 0, 40)
    publish_numbers(south.port, 0, 60)
    wait_stored(head_office, 40, "north")
    wait_stored(head_office, 60, "south")
    text = report(causeway, head_office)
    assert "north" in text and "south" in text


def test_an_older_remote_gets_the_envelope(site, cloud, mosquitto):
    between = mosquitto()
    head_office = cloud(broker_address=f"mqtt://{LOOPBACK}:{between.port}")
    store = site(bridges=[{**bridge(between.port), "protocol": "mqttv311"}])
    publish_numbers(store.port, 0, 30)
    wait_stored(head_office, 30)
    assert payloads(head_office, "store-0042") == numbers(0, 30)


def test_another_consumer_gets_them_with_puback_as_confirmation(site, mosquitto):
    between = mosquitto()
    with MosquittoSub(between.port, "up/#") as consumer:
        uplink = {**bridge(between.port), "confirm": "puback"}
        del uplink["resend_after"]
        store = site(bridges=[uplink])
        publish_numbers(store.port, 0, 50)
        messages = consumer.wait_for(50)
        assert [message.payload for message in messages] == numbers(0, 50)
        shard = messages[0].topic.split("/")[1]
        assert messages[0].topic == f"up/{shard}/store-0042/sales/7"
        wait_until(lambda: store.metric("causeway_bridge_queue_messages", bridge="cloud") == 0, "the outbox is empty")


def test_forged_messages_at_the_cloud_are_refused(cloud):
    head_office = cloud()
    # No stamp, a stamp of another site, and nonsense: none of it is stored, and the aggregator lives.
    mosquitto_pub(head_office.port, "up/0/store-0042/sales", "unstamped", "-q", 1)
    mosquitto_pub(
        head_office.port, "up/0/store-0042/sales", "wrong site", "-q", 1, "-V", "mqttv5",
        "-D", "publish", "user-property", "cw-site", "other",
        "-D", "publish", "user-property", "cw-epoch", "1", "-D", "publish", "user-property", "cw-seq", "1",
    )
    mosquitto_pub(head_office.port, "up/0/store-0042/cw/gap", "{not json", "-q", 1)
    wait_until(lambda: head_office.metric("causeway_cloud_rejected_total") == 3, "all three are refused and counted")
    assert head_office.metric("causeway_cloud_rejected_total", reason="wrong_site") == 1
    assert head_office.get("/readyz")[0] == 200
    assert stored(head_office) == 0
