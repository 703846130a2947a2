"""kill -9 under load, twenty times: nothing that was acknowledged is lost, nothing is stored twice."""

import os
import random

import pytest

from support.chain import bridge, missing, payloads, stored
from support.clients import Device, unique
from support.processes import LOOPBACK, free_port, wait_until

WINDOW = 40

# Tests/Campaigns/kill.py asks for more.
FACTOR = int(os.environ.get("KILLS_FACTOR", "1"))


class Publisher:
    """Sends numbers at QoS 1 with a window. A number in flight when the site dies is given up, never sent again:
    so a number that shows up twice at the cloud was repeated by the chain, not by the publisher."""

    def __init__(self, port):
        self.port = port
        self.next = 0
        self.acknowledged = set()
        self.numbers = {}
        self.device = None

    def connect(self):
        self.numbers = {}
        self.device = Device(self.port, client_id=unique("publisher"), version=4)
        self.device.connect()

    def collect(self):
        for mid in list(self.device.acknowledged):
            if mid in self.numbers:
                self.acknowledged.add(self.numbers.pop(mid))

    def run_until(self, count):
        """Keeps the window full until so many more are acknowledged."""
        goal = len(self.acknowledged) + count

        def turn():
            self.collect()
            while len(self.numbers) < WINDOW and not self.device.disconnects:
                handle = self.device.client.publish("load/numbers", f"{self.next:07}", 1)
                self.numbers[handle.mid] = self.next
                self.next += 1
            return len(self.acknowledged) >= goal

        wait_until(turn, f"{count} more acknowledgements")

    def died(self):
        # What was acknowledged before the connection broke counts, however late we learn of it.
        wait_until(lambda: self.device.disconnects, "the publisher notices")
        self.device.client.loop_stop()
        self.collect()


@pytest.mark.parametrize(
    ("kills", "subscriber_stays", "sites_tls"),
    [(7, True, False), (7, False, False), (6, False, True)],
    ids=["subscriber-online", "subscriber-away", "uplink-tls"],
)
def test_nothing_acknowledged_is_lost_and_nothing_is_stored_twice(
    site, cloud, pki, kills, subscriber_stays, sites_tls
):
    kills *= FACTOR
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"seed {seed}")
    source = random.Random(seed)
    if sites_tls:
        port = free_port()
        head_office = cloud(broker={"listeners": [{
            "bind": f"{LOOPBACK}:{port}",
            "tls": {**pki.server, "require_certificate": True, "use_identity_as_username": True},
        }]})
        uplink = bridge(port, [{"topic": "load/#", "class": "transaction"}])
        uplink["address"] = f"mqtts://localhost:{port}"
        uplink["tls"] = pki.device("monitor-1")
    else:
        head_office = cloud()
        uplink = bridge(head_office.port, [{"topic": "load/#", "class": "transaction"}])
    node = site(bridges=[uplink], journal={"path": "data", "segment_bytes": "1MiB", "max_bytes": "512MiB"})

    keeper = {"client_id": unique("keeper"), "clean": False, "expiry": 3600}
    subscriber = Device(node.port, **keeper).connect()
    subscriber.subscribe("load/#", qos=1)
    received = set()
    if not subscriber_stays:
        subscriber.close()

    publisher = Publisher(node.port)
    for _ in range(kills):
        publisher.connect()
        publisher.run_until(source.randrange(50, 400))
        node.kill()
        publisher.died()
        if subscriber_stays:
            wait_until(lambda: subscriber.disconnects, "the subscriber notices")
            subscriber.client.loop_stop()
            received.update(subscriber.payloads)
        node.start()
        if subscriber_stays:
            subscriber = Device(node.port, **keeper).connect()
            assert subscriber.session_present, "the session is gone"
    publisher.connect()
    publisher.run_until(100)
    publisher.device.close()

    expected = {f"{number:07}" for number in publisher.acknowledged}
    if not subscriber_stays:
        subscriber = Device(node.port, **keeper).connect()
        assert subscriber.session_present, "the session is gone"
    wait_until(
        lambda: expected <= received | set(subscriber.payloads),
        "the subscriber has everything acknowledged",
    )
    subscriber.close()

    wait_until(lambda: expected <= set(payloads(head_office, "store-0042")), "the cloud has everything acknowledged")
    rows = payloads(head_office, "store-0042")
    assert len(rows) == len(set(rows)), "a number is stored twice"
    assert stored(head_office) == len(rows)
    assert missing(head_office) == 0
    print(f"{kills} kills, {len(expected)} acknowledged, {len(rows)} stored, 0 lost, 0 twice")


def test_kills_of_the_cloud_under_load_lose_and_repeat_nothing(site, cloud):
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"seed {seed}")
    source = random.Random(seed)
    head_office = cloud()
    node = site(bridges=[bridge(head_office.port, [{"topic": "load/#", "class": "transaction"}])])
    publisher = Publisher(node.port)
    publisher.connect()
    for _ in range(5 * FACTOR):
        publisher.run_until(source.randrange(50, 300))
        head_office.kill()
        publisher.run_until(source.randrange(50, 200))
        head_office.start()
    publisher.run_until(100)
    publisher.device.close()
    publisher.collect()
    expected = {f"{number:07}" for number in publisher.acknowledged}
    wait_until(lambda: expected <= set(payloads(head_office, "store-0042")), "the cloud has everything acknowledged")
    rows = payloads(head_office, "store-0042")
    assert len(rows) == len(set(rows)), "a number is stored twice"
    assert missing(head_office) == 0
    print(f"{5 * FACTOR} kills of the cloud, {len(expected)} acknowledged, {len(rows)} stored, 0 lost, 0 twice")
