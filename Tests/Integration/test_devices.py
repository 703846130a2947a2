"""Stock clients as devices: every protocol version, every quality of service, over TCP and TLS."""

import socket
import ssl
import warnings

import pytest

from support.clients import Device, MosquittoSub, mosquitto_pub, unique
from support.processes import LOOPBACK, free_port, run, wait_until

VERSIONS = ["mqttv31", "mqttv311", "mqttv5"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_arrives_once_at_its_quality_of_service(broker, version, qos):
    with MosquittoSub(broker.port, "till/+/sale", qos=2, arguments=["-V", version]) as subscriber:
        for number in range(5):
            mosquitto_pub(broker.port, "till/7/sale", f"sale {number}", "-V", version, "-q", qos)
        mosquitto_pub(broker.port, "till/8/sale", "last", "-V", version, "-q", qos)
        messages = subscriber.wait_for(6)
    # QoS 0 of different connections has no order; each message comes once all the same.
    assert sorted(m.payload for m in messages) == ["last"] + [f"sale {number}" for number in range(5)]
    assert {m.qos for m in messages} == {qos}
    assert not any(m.retain for m in messages)


@pytest.mark.parametrize("granted", [0, 1, 2])
def test_a_delivery_never_exceeds_the_granted_quality(broker, granted):
    with MosquittoSub(broker.port, "a/b", qos=granted) as subscriber:
        mosquitto_pub(broker.port, "a/b", "x", "-q", 2)
        assert subscriber.wait_for(1)[0].qos == granted


@pytest.mark.parametrize("version", VERSIONS)
def test_a_retained_message_greets_later_subscribers_until_it_is_cleared(broker, version):
    mosquitto_pub(broker.port, "shelf/3/price", "4.99", "-r", "-q", 1, "-V", version)
    mosquitto_pub(broker.port, "shelf/4/price", "1.99", "-r", "-q", 1, "-V", version)
    with MosquittoSub(broker.port, "shelf/+/price", arguments=["-V", version]) as subscriber:
        greeting = subscriber.wait_for(2)
        assert sorted(m.payload for m in greeting) == ["1.99", "4.99"]
        assert all(m.retain for m in greeting)
        # To a subscription that is there already it comes as any other message.
        mosquitto_pub(broker.port, "shelf/3/price", "5.49", "-r", "-q", 1)
        assert not subscriber.wait_for(3)[2].retain
    mosquitto_pub(broker.port, "shelf/3/price", None, "-r", "-q", 1)
    with MosquittoSub(broker.port, "shelf/#", arguments=["-V", version]) as subscriber:
        assert [m.payload for m in subscriber.wait_for(1)] == ["1.99"]


def test_retained_messages_survive_a_restart(broker):
    mosquitto_pub(broker.port, "shelf/3/price", "4.99", "-r", "-q", 1)
    broker.stop()
    broker.start()
    with MosquittoSub(broker.port, "shelf/+/price") as subscriber:
        message = subscriber.wait_for(1)[0]
    assert (message.payload, message.retain) == ("4.99", True)


@pytest.mark.parametrize("version", [4, 5])
def test_a_will_is_published_when_the_device_vanishes_and_not_when_it_says_goodbye(broker, version):
    with Device(broker.port) as watcher:
        watcher.subscribe("status/#")
        polite = Device(broker.port, version=version, will=("status/polite", "gone", 1)).connect()
        polite.close()
        rude = Device(broker.port, version=version, will=("status/rude", "gone", 1)).connect()
        rude.drop()
        watcher.wait_for(1)
        # A message behind it shows that nothing else was on its way.
        watcher.publish("status/end", "end")
        watcher.wait_for(2)
        assert [m.topic for m in watcher.messages] == ["status/rude", "status/end"]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_persistent_session_gets_what_it_missed_over_a_restart(broker, version):
    options = {"client_id": unique("persistent"), "version": version, "clean": False}
    if version == 5:
        options["expiry"] = 3600
    with Device(broker.port, **options) as device:
        assert not device.session_present
        device.subscribe("orders/#", qos=1)
    with Device(broker.port) as publisher:
        for number in range(20):
            publisher.publish("orders/new", str(number))
    broker.stop()
    broker.start()
    with Device(broker.port, **options) as device:
        if version > 3:
            assert device.session_present
        device.wait_for(20)
        assert device.payloads == [str(number) for number in range(20)]
        # The subscription itself survived too.
        with Device(broker.port) as publisher:
            publisher.publish("orders/new", "live")
        device.wait_for(21)
        assert device.payloads[-1] == "live"


def test_a_clean_session_forgets(broker):
    options = {"client_id": unique("forgetful"), "version": 4}
    with Device(broker.port, clean=False, **options) as device:
        device.subscribe("orders/#")
    with Device(broker.port, clean=True, **options) as device:
        assert not device.session_present
    with Device(broker.port, clean=False, **options) as device:
        assert not device.session_present


def test_a_second_connection_of_the_same_name_takes_over(broker):
    name = unique("twin")
    with Device(broker.port, client_id=name) as first, Device(broker.port, client_id=name) as second:
        wait_until(lambda: first.disconnects, "the first is sent away")
        assert first.disconnects[0].value in (0x8E, 0x80)
        second.subscribe("a/b")
        second.publish("a/b", "mine")
        second.wait_for(1)


def test_messages_of_one_publisher_keep_their_order(broker):
    with Device(broker.port) as subscriber, Device(broker.port) as publisher:
        subscriber.subscribe("count/#", qos=1)
        handles = [publisher.client.publish("count/up", str(number), 1) for number in range(500)]
        subscriber.wait_for(500)
        assert subscriber.payloads == [str(number) for number in range(500)]
        wait_until(lambda: all(handle.is_published() for handle in handles), "all are acknowledged")


def test_a_shared_subscription_spreads_messages_and_repeats_none(broker):
    with Device(broker.port) as one, Device(broker.port) as two, Device(broker.port) as publisher:
        one.subscribe("$share/kitchen/tickets/#")
        two.subscribe("$share/kitchen/tickets/#")
        for number in range(40):
            publisher.publish("tickets/new", str(number))
        wait_until(lambda: len(one.messages) + len(two.messages) >= 40, "40 tickets")
        assert sorted(one.payloads + two.payloads, key=int) == [str(number) for number in range(40)]
        assert one.payloads and two.payloads


def test_a_large_payload_passes_unchanged(broker):
    payload = bytes(range(256)) * 4000
    with Device(broker.port) as subscriber, Device(broker.port) as publisher:
        subscriber.subscribe("camera/#", qos=1)
        publisher.publish("camera/1/frame", payload)
        assert subscriber.wait_for(1)[0].payload == payload


def test_two_hundred_devices_at_once(broker):
    with Device(broker.port) as collector:
        collector.subscribe("beacon/+/sighting", qos=0)
        devices = [Device(broker.port, version=4).start() for _ in range(200)]
        try:
            wait_until(lambda: all(device.connack is not None for device in devices), "200 CONNACKs")
            for number, device in enumerate(devices):
                device.client.publish(f"beacon/{number}/sighting", str(number), 1)
            collector.wait_for(200)
            assert len(set(collector.payloads)) == 200
        finally:
            for device in devices:
                device.close()


# Over TLS with client certificates.


@pytest.fixture
def tls_site(site, pki):
    """A site whose devices show certificates, with the rule that a device writes below its own name."""
    port = free_port()
    node = site(
        "ward-7",
        listeners=[{
            "bind": f"{LOOPBACK}:{port}",
            "tls": {**pki.server, "require_certificate": True, "use_identity_as_username": True},
        }],
        access=[
            {"users": ["monitor-1"], "publish": ["ward/%u/#"], "subscribe": ["ward/%u/#"]},
            {"users": ["monitor-2"], "subscribe": ["ward/#"]},
        ],
    )
    node.port = port
    return node


def certificate_arguments(tls):
    return ["--cafile", tls["cafile"], "--cert", tls["certfile"], "--key", tls["keyfile"]]


@pytest.mark.parametrize("tls_version", ["tlsv1.2", "tlsv1.3"])
def test_certificates_name_the_device(tls_site, pki, tls_version):
    reader = certificate_arguments(pki.device("monitor-2"))
    writer = certificate_arguments(pki.device("monitor-1"))
    with MosquittoSub(tls_site.port, "ward/#", arguments=[*reader, "--tls-version", tls_version]) as subscriber:
        # The rule knows the device by its certificate, not by what it calls itself.
        mosquitto_pub(tls_site.port, "ward/monitor-2/spo2", "forged", *writer, "-q", 1, "-i", "monitor-2", check=None)
        mosquitto_pub(tls_site.port, "ward/monitor-1/spo2", "97", *writer, "-q", 1, "--tls-version", tls_version)
        assert [m.topic for m in subscriber.wait_for(1)] == ["ward/monitor-1/spo2"]


@pytest.mark.parametrize(("newest", "is_spoken"), [("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
def test_older_tls_is_refused(tls_site, pki, newest, is_spoken):
    tls = pki.device("monitor-1")
    context = ssl.create_default_context(cafile=tls["cafile"])
    context.load_cert_chain(tls["certfile"], tls["keyfile"])
    # The client would speak anything, so that what is refused is refused by the site.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion[newest]
    with socket.create_connection((LOOPBACK, tls_site.port), timeout=30) as connection:
        if is_spoken:
            with context.wrap_socket(connection, server_hostname="localhost") as secure:
                assert secure.version() == newest.replace("_", ".")
        else:
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_hostname="localhost")


def test_quality_two_and_persistent_sessions_work_over_tls(tls_site, pki):
    name = unique("reader")
    reader = {"client_id": name, "tls": pki.device("monitor-2"), "host": "localhost", "clean": False, "expiry": 600}
    with Device(tls_site.port, **reader) as device:
        device.subscribe("ward/#", qos=2)
    with Device(tls_site.port, tls=pki.device("monitor-1"), host="localhost") as writer:
        for number in range(10):
            writer.publish("ward/monitor-1/spo2", str(number), qos=2)
    tls_site.stop()
    tls_site.start()
    with Device(tls_site.port, **reader) as device:
        device.wait_for(10)
        assert device.payloads == [str(number) for number in range(10)]
        assert {message.qos for message in device.messages} == {2}


# Users and passwords.


def test_users_enter_with_their_password_and_do_what_they_may(site, tmp_path):
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    run(["mosquitto_passwd", "-b", passwords, "till", "correct horse battery"], check=0)
    node = site(
        users={"password_file": str(passwords)},
        access=[{"users": ["till"], "publish": ["pos/%u/#"], "subscribe": ["pos/%u/#"]}],
    )
    with Device(node.port, username="till", password="correct horse battery") as till:
        till.subscribe("pos/till/#")
        till.publish("pos/till/sale", "1")
        till.wait_for(1)
        assert till.subscribe("pos/other/#") == [0x87]
    for username, password in [("till", "wrong"), ("nobody", "correct horse battery"), (None, None)]:
        device = Device(node.port, username=username, password=password).start()
        wait_until(lambda: device.connack is not None or device.disconnects, "an answer")
        assert device.connack.is_failure, f"{username} was let in"
        device.client.loop_stop()
    assert "correct horse battery" not in node.log
