"""Bridges as Mosquitto has them, to a stock mosquitto: outages, restarts, QoS 2, notifications."""

import shutil

import pytest

from support.clients import Device, MosquittoSub
from support.processes import LOOPBACK, wait_until

COUNT = 3_000


def relay(port, *topics, **more):
    return {
        "name": "head-office", "kind": "relay", "addresses": [f"{LOOPBACK}:{port}"],
        "restart_timeout": {"seconds": 1}, "topics": list(topics), **more,
    }


def line(topic, direction="out", qos=1, **prefixes):
    return {"topic": topic, "direction": direction, "qos": qos, **prefixes}


def state(node, name):
    return node.metric("causeway_relay_state", relay="head-office", state=name) == 1


def publish_all(port, topic, qos=1):
    with Device(port) as till:
        for number in range(COUNT):
            till.client.publish(topic, str(number), qos)
        wait_until(lambda: len(till.acknowledged) >= COUNT, f"{COUNT} acknowledgements", 120)


def keep_for(port, topic_filter, name, qos=1):
    """A session that the broker keeps, so that nothing that arrives while nobody looks is missed."""
    with Device(port, client_id=name, clean=False, expiry=3_600) as keeper:
        keeper.subscribe(topic_filter, qos=qos)


def collect(port, name, count, seconds=60):
    with Device(port, client_id=name, clean=False, expiry=3_600) as keeper:
        wait_until(lambda: len(set(keeper.payloads)) >= count, f"{count} messages at {name}", seconds)
        return list(keeper.payloads)


def test_an_outage_of_3000_messages_loses_none_although_the_site_is_killed_in_it(site, mosquitto):
    office = mosquitto("office")
    keep_for(office.port, "#", "archive")
    node = site(bridges=[relay(office.port, line("sales/#", remote_prefix="store-42/"))])
    wait_until(lambda: state(node, "live"), "the relay is up")
    office.stop()
    publish_all(node.port, "sales/1")
    node.kill()
    node.start()
    office.start()
    arrived = collect(office.port, "archive", COUNT)
    assert set(arrived) == {str(number) for number in range(COUNT)}
    in_order = list(dict.fromkeys(arrived))
    assert in_order == [str(number) for number in range(COUNT)]


def test_mosquittos_own_bridge_loses_most_of_the_same_outage(mosquitto):
    """What the test above is measured against: the default of Mosquitto keeps 1,000 messages for a bridge."""
    office = mosquitto("office")
    keep_for(office.port, "#", "archive")
    shop = mosquitto(
        "shop",
        lines=[
            "max_queued_messages 1000", "connection head-office", f"address {LOOPBACK}:{office.port}",
            "topic sales/# out 1 \"\" store-42/", "restart_timeout 1",
        ],
    )
    with MosquittoSub(shop.port, "$SYS/broker/connection/#") as watcher:
        wait_until(lambda: any(message.payload == "1" for message in watcher.messages), "the bridge is up")
    office.stop()
    publish_all(shop.port, "sales/1")
    office.start()
    with Device(office.port, client_id="archive", clean=False, expiry=3_600) as keeper:
        wait_until(lambda: len(keeper.payloads) >= 1_000, "what was kept has arrived")
        with Device(shop.port) as till:
            till.publish("sales/1", "last")
        wait_until(lambda: "last" in keeper.payloads, "the bridge is empty")
        lost = COUNT - len(set(keeper.payloads) - {"last"})
    assert lost >= COUNT // 2


@pytest.mark.parametrize("version", ["mqttv311", "mqttv50"])
def test_qos_2_comes_exactly_once_both_ways_through_a_broker_that_is_killed(site, mosquitto, version):
    office = mosquitto("office")
    keep_for(office.port, "up/#", "archive", qos=2)
    node = site(
        bridges=[
            relay(
                office.port, line("up/#", qos=2), line("down/#", "in", qos=2), protocol_version=version,
                session_expiry_interval=3_600,
            )
        ]
    )
    wait_until(lambda: state(node, "live"), "the relay is up")
    with Device(node.port) as screen:
        screen.subscribe("down/#", qos=2)
        with Device(node.port) as till, Device(office.port) as planner:
            for number in range(200):
                till.publish("up/1", str(number), qos=2)
                planner.publish("down/1", str(number), qos=2)
        wait_until(lambda: len(screen.payloads) >= 200, "what came down")
        assert screen.payloads == [str(number) for number in range(200)]
    assert collect(office.port, "archive", 200) == [str(number) for number in range(200)]


def test_the_state_stands_on_both_sides_and_falls_when_either_goes(site, mosquitto):
    office = mosquitto("office")
    node = site(bridges=[relay(office.port, line("a/#"), remote_clientid="store-42.head-office")])
    topic = "$SYS/broker/connection/store-42.head-office/state"
    wait_until(lambda: state(node, "live"), "the relay is up")
    with Device(node.port) as here:
        here.subscribe("$SYS/broker/connection/#")
        with Device(office.port) as there:
            there.subscribe("$SYS/broker/connection/#")
            wait_until(lambda: there.payloads == ["1"], "up there")
            wait_until(lambda: here.payloads == ["1"], "up here")
            assert there.messages[0].topic == topic and here.messages[0].topic == topic
            assert there.messages[0].retain and here.messages[0].retain
        office.stop()
        wait_until(lambda: here.payloads == ["1", "0"], "down here")
        office.start()
        wait_until(lambda: here.payloads == ["1", "0", "1"], "up again")
    with Device(office.port) as there:
        there.subscribe("$SYS/broker/connection/#")
        wait_until(lambda: there.payloads == ["1"], "up there again")
        node.stop()
        wait_until(lambda: there.payloads == ["1", "0"], "the will says so there")


def test_topics_go_over_byte_for_byte_and_retained_ones_with_each_connection(site, mosquitto):
    office = mosquitto("office")
    node = site(
        start=False,
        bridges=[
            relay(
                office.port,
                line("#", "out", local_prefix="local/", remote_prefix="shop/42/"),
                line("#", "in", local_prefix="central/", remote_prefix="all/"),
                line("", "both", local_prefix="here", remote_prefix="there/exactly"),
            )
        ],
    )
    node.start()
    with Device(node.port) as here, Device(office.port) as there:
        here.publish("local/price", "7", retain=True)
        there.publish("all/news", "n", retain=True)
        wait_until(lambda: state(node, "live"), "the relay is up")
        here.subscribe("#")
        there.subscribe("#")
        here.publish("here", "h")
        there.publish("there/exactly", "t")
        wanted_there = {("shop/42/price", "7"), ("all/news", "n"), ("there/exactly", "h"), ("there/exactly", "t")}
        wanted_here = {("local/price", "7"), ("central/news", "n"), ("here", "h"), ("here", "t")}

        def seen(device):
            return {
                (message.topic, message.payload.decode() if isinstance(message.payload, bytes) else message.payload)
                for message in device.messages if not message.topic.startswith("$SYS")
            }

        wait_until(lambda: wanted_there <= seen(there), "everything is there")
        wait_until(lambda: wanted_here <= seen(here), "everything is here")
        assert seen(there) == wanted_there and seen(here) == wanted_here


@pytest.mark.skipif(shutil.which("mosquitto") is None, reason="stock mosquitto is the other side")
def test_a_bridge_of_mosquitto_into_the_site_gets_nothing_back(site, mosquitto):
    node = site(name="office")
    shop = mosquitto(
        "shop",
        lines=[
            "connection loop", f"address {LOOPBACK}:{node.port}", "topic t/# both 1", "restart_timeout 1",
            "notifications false",
        ],
    )
    with Device(shop.port) as till, Device(node.port) as screen:
        till.subscribe("t/#")
        screen.subscribe("t/#")
        for number in range(50):
            till.publish("t/x", str(number))
        wait_until(lambda: len(screen.payloads) >= 50, "what the shop said")
        screen.publish("t/x", "end")
        wait_until(lambda: "end" in till.payloads, "what the office said")
        assert till.payloads == [str(number) for number in range(50)] + ["end"]
        assert screen.payloads == [str(number) for number in range(50)] + ["end"]
