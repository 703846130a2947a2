"""A hospital-sized configuration of Mosquitto, run as it is and imported, with clients that know nothing of it.

With --reference the same tests run against stock mosquitto: what fails there is itself wrong.
"""

import ssl
import subprocess
import threading

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from support.clients import MosquittoSub, mosquitto_pub, unique
from support.hospital import PASSWORDS, Hospital
from support.processes import DEADLINE_SECONDS, LOOPBACK, run, wait_until


@pytest.fixture(params=["drop-in", "import"])
def way(request):
    if request.config.getoption("--reference"):
        if request.param == "import":
            pytest.skip("stock mosquitto has one way to run")
        return "mosquitto"
    return request.param


@pytest.fixture
def centre(mosquitto):
    return mosquitto("centre")


@pytest.fixture
def laboratory(mosquitto):
    return mosquitto("laboratory")


@pytest.fixture
def hospital(causeway, nodes, tmp_path, pki, way, centre, laboratory):
    node = Hospital(causeway, way, tmp_path / "hospital", pki, centre.port, laboratory.port)
    nodes.append(node)
    return node.start()


class Client:
    """A paho client that remembers what it was given and how its connection was answered."""

    def __init__(self, port, name=None, transport="tcp", version=mqtt.MQTTv311, tls=None, client_id=None, clean=True):
        options = {} if version == mqtt.MQTTv5 else {"clean_session": clean}
        self.paho = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id or unique("c"), protocol=version, transport=transport, **options
        )
        self.messages, self.reasons, self.granted = [], [], []
        self.answered = threading.Event()
        self.paho.on_message = lambda _, __, message: self.messages.append((message.topic, message.payload))
        self.paho.on_connect = self._connected
        self.paho.on_subscribe = lambda _, __, ___, codes, ____: self.granted.extend(code.value for code in codes)
        if name:
            self.paho.username_pw_set(name, PASSWORDS.get(name, "wrong"))
        if tls:
            self.paho.tls_set(tls["cafile"], tls.get("certfile"), tls.get("keyfile"), cert_reqs=ssl.CERT_REQUIRED)
        self.port = port

    def _connected(self, _, __, ___, reason, ____):
        self.reasons.append(reason.value)
        self.answered.set()

    def __enter__(self):
        self.paho.connect(LOOPBACK, self.port, 30)
        self.paho.loop_start()
        assert self.answered.wait(DEADLINE_SECONDS), "no CONNACK"
        return self

    def __exit__(self, *_):
        self.paho.disconnect()
        self.paho.loop_stop()

    def subscribe(self, topic_filter, qos=1):
        before = len(self.granted)
        self.paho.subscribe(topic_filter, qos)
        wait_until(lambda: len(self.granted) > before, f"SUBACK for {topic_filter}")
        return self.granted[-1]

    def publish(self, topic, payload, qos=1):
        self.paho.publish(topic, payload, qos).wait_for_publish(DEADLINE_SECONDS)

    def received(self, count):
        wait_until(lambda: len(self.messages) >= count, f"{count} messages, not {self.messages}")
        return self.messages[:count]


def device(pki, name="monitor-1"):
    return pki.device(name)


def test_every_listener_serves_its_clients(hospital, pki):
    with Client(hospital.ports["wards"], "doctor") as doctor:
        assert doctor.subscribe("ward/#") == 1
        with Client(hospital.ports["dashboards"], "doctor", transport="websockets", version=mqtt.MQTTv5) as browser:
            browser.publish("ward/a/from-browser", b"1")
        with Client(hospital.ports["devices"], tls=device(pki)) as monitor:
            monitor.publish("ward/alarm/pump", b"2")
        run(["mosquitto_pub", "--unix", hospital.socket, "-t", "ward/b/local", "-m", "3", "-q", "1"], check=0)
        with Client(hospital.ports["wards"], "nurse", version=mqtt.MQTTv31) as old:
            old.publish("ward/alarm/old", b"4")
        topics = [topic for topic, _ in doctor.received(4)]
        assert topics == ["ward/a/from-browser", "ward/alarm/pump", "ward/b/local", "ward/alarm/old"]


def test_who_may_not_enter_does_not(hospital, pki, way):
    for port, name in (("wards", "stranger"), ("wards", None), ("dashboards", None)):
        transport = "websockets" if port == "dashboards" else "tcp"
        client = Client(hospital.ports[port], name, transport=transport)
        with client:
            assert client.reasons[0] in (134, 135), f"{port} as {name}"
    foreign = pki.foreign_device
    result = subprocess.run(
        ["mosquitto_pub", "-h", "localhost", "-p", str(hospital.ports["devices"]), "--cafile", pki.server["cafile"],
         "--cert", foreign["certfile"], "--key", foreign["keyfile"], "-t", "ward/alarm/pump", "-m", "x", "-q", "1"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_SECONDS,
    )
    assert result.returncode != 0
    if way != "mosquitto":
        with Client(hospital.ports["visitors"], version=mqtt.MQTTv31) as old:
            assert old.reasons[0] != 0


def test_the_acl_file_decides_who_reads_and_writes(hospital):
    wards = hospital.ports["wards"]
    with Client(wards, "nurse") as nurse, Client(wards, "doctor") as doctor:
        nurse.subscribe("ward/#")
        nurse.subscribe("notice/#")
        doctor.subscribe("ward/#")
        doctor.publish("ward/secret/chart", b"hidden from nurses")
        doctor.publish("ward/bed/1", b"seen by both")
        nurse.publish("ward/bed/1", b"a nurse may not write here")
        nurse.publish("ward/nurse/list", b"a corner of her own")
        nurse.publish("ward/alarm/fall", b"alarm")
        assert nurse.received(3) == [
            ("ward/bed/1", b"seen by both"), ("ward/nurse/list", b"a corner of her own"), ("ward/alarm/fall", b"alarm"),
        ]
        assert [topic for topic, _ in doctor.received(4)] == [
            "ward/secret/chart", "ward/bed/1", "ward/nurse/list", "ward/alarm/fall",
        ]


def test_visitors_live_below_their_mount_point(hospital):
    visitors = hospital.ports["visitors"]
    with Client(visitors) as one, Client(visitors, version=mqtt.MQTTv5) as other:
        one.subscribe("hello")
        other.publish("hello", b"x")
        assert one.received(1) == [("hello", b"x")]
    command = ["mosquitto_sub", "--unix", hospital.socket, "-t", "visitors/#", "-C", "1", "-W", "30", "-F", "%t %p"]
    listener = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    try:
        with Client(visitors) as one:
            def seen():
                one.publish("again", b"y")
                return listener.poll() is not None
            wait_until(seen, "what a visitor says is below visitors/")
        assert listener.stdout.read().strip() == "visitors/again y"
    finally:
        listener.kill()
        listener.wait()


def test_both_bridges_carry_topics_under_their_prefixes(hospital, centre, laboratory):
    state = ["$SYS/broker/connection/hospital-7/state"]
    with MosquittoSub(centre.port, "hospital-7/#", *state) as at_centre, MosquittoSub(laboratory.port, "lab/#") as at_lab:
        at_centre.wait_for(1)
        assert at_centre.messages[0].topic == state[0] and at_centre.messages[0].payload == "1"
        with Client(hospital.ports["wards"], "doctor") as doctor:
            doctor.subscribe("ward/result/#", 2)
            doctor.subscribe("notice/#")
            doctor.publish("ward/alarm/bed-3", b"fall")
            doctor.publish("ward/order/7", b"blood count", 2)
            at_centre.wait_for(2)
            at_lab.wait_for(1)
            assert at_centre.messages[1].topic == "hospital-7/alarm/bed-3"
            assert [message.topic for message in at_lab.messages] == ["lab/order/7"]
            mosquitto_pub(laboratory.port, "lab/result/7/final", "normal", "-q", "2")
            mosquitto_pub(laboratory.port, "lab/result/7/draft", "not for here", "-q", "2")
            mosquitto_pub(centre.port, "region/notice/1", "exercise", "-q", "1")
            assert sorted(doctor.received(2)) == [("notice/1", b"exercise"), ("ward/result/7/final", b"normal")]


def test_what_waits_outlives_a_restart_and_the_bridge_catches_up(hospital, centre):
    wards = hospital.ports["wards"]
    with Client(wards, "nurse", client_id="tablet-1", clean=False) as nurse:
        nurse.subscribe("ward/#")
    with MosquittoSub(centre.port, "hospital-7/#") as at_centre:
        with Client(wards, "doctor") as doctor:
            doctor.publish("ward/alarm/before", b"1")
        at_centre.wait_for(1)
        assert hospital.stop() == 0
        hospital.start()
        with Client(wards, "doctor") as doctor:
            doctor.publish("ward/alarm/after", b"2")
        at_centre.wait_for(2)
    with Client(wards, "nurse", client_id="tablet-1", clean=False) as nurse:
        assert [topic for topic, _ in nurse.received(2)] == ["ward/alarm/before", "ward/alarm/after"]


def test_limits_are_those_of_the_file(hospital):
    with Client(hospital.ports["wards"], "doctor") as doctor:
        doctor.subscribe("ward/#")
        doctor.publish("ward/large", b"x" * 140_000)
        doctor.publish("ward/small", b"x" * 1_000)
        assert [topic for topic, _ in doctor.received(1)] == ["ward/small"]
    with Client(hospital.ports["dashboards"], "doctor", transport="websockets", version=mqtt.MQTTv5) as browser:
        assert browser.reasons == [0]
        assert browser.subscribe("ward/#", 2) in (1, 2)


def test_the_import_says_what_changes_and_check_finds_nothing_wrong(causeway, nodes, tmp_path, pki):
    node = Hospital(causeway, "import", tmp_path / "hospital", pki, 1, 2)
    result = node.imported()
    assert result.returncode == 0, result.stderr
    assert "mosquitto.conf:6: autosave_interval: not needed" in result.stderr
    checked = run([causeway, "check", "-c", "site.yaml"], cwd=node.folder, check=0)
    assert "right (site hospital-7, 5 listeners, 0 handlers, 2 bridges" in checked.stdout
    first = (node.folder / "site.yaml").read_text()
    node.imported()
    assert (node.folder / "site.yaml").read_text() == first
    assert (node.folder / "site.yaml").stat().st_mode & 0o777 == 0o600
