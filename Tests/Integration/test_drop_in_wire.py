"""`causeway site --mosquitto-conf`: byte by byte what clients of Mosquitto 2.1 see."""

import base64
import hashlib
import re
import signal
import socket

import pytest

from support.processes import DEADLINE_SECONDS, LOOPBACK, Process, accepts, free_port, wait_until

V31, V311, V5 = 3, 4, 5
CONNACK_V5 = "20 0e 00 00 0b 22000a 27001e8480 210014"
CONNACK_V3 = "20 02 00 00"


class DropIn(Process):
    """A site that runs from a mosquitto.conf. `PORT` in the text stands for its port."""

    def __init__(self, binary, folder, text):
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mosquitto.conf").write_text(text.replace("PORT", str(self.port)))
        command = [binary, "site", "--mosquitto-conf", folder / "mosquitto.conf"]
        super().__init__("drop-in", command, folder)

    def reload(self):
        """SIGHUP, and what it asks for is in force."""
        done = self.log.count("was read again")
        self.signal(signal.SIGHUP)
        wait_until(lambda: self.log.count("was read again") > done, "the configuration is read again")

    def start(self):
        super().start()
        wait_until(lambda: accepts(self.port) or not self.is_running, "the listener is up")
        assert self.is_running, self.log
        return self


@pytest.fixture
def drop_in(causeway, nodes, tmp_path):
    def make(*lines):
        text = "\n".join(("listener PORT 127.0.0.1", "allow_anonymous true", *lines)) + "\n"
        node = DropIn(causeway, tmp_path / f"drop-in-{len(nodes)}", text)
        nodes.append(node)
        return node.start()

    return make


def octets(text):
    """Hexadecimal bytes; 'quoted' parts are text, s5 a length of two bytes, everything else is apart by spaces."""
    data = b""
    for part in re.findall(r"'[^']*'|\S+", text):
        if part.startswith("'"):
            data += part[1:-1].encode()
        elif part.startswith("s"):
            data += int(part[1:]).to_bytes(2, "big")
        else:
            data += bytes.fromhex(part)
    return data


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection((LOOPBACK, port), timeout=DEADLINE_SECONDS)

    def send(self, text):
        self.socket.sendall(octets(text))
        return self

    def expect(self, text):
        wanted, got = octets(text), b""
        while len(got) < len(wanted):
            chunk = self.socket.recv(len(wanted) - len(got))
            if not chunk:
                break
            got += chunk
        assert got.hex(" ") == wanted.hex(" ")
        return self

    def expect_end(self):
        """Nothing more comes, and the other side closes."""
        try:
            assert self.socket.recv(1) == b""
        except ConnectionResetError:
            pass

    def expect_life(self):
        self.send("c000").expect("d000")

    def connect(self, client_id="c", version=V5, flags=0x02, properties=""):
        name = "'MQIsdp'" if version == V31 else "'MQTT'"
        length = 6 if version == V31 else 4
        own = octets(properties)
        head = f"s{length} {name} {version:02x} {flags:02x} 003c"
        if version == V5:
            head += f" {len(own):02x} {own.hex()}"
        body = octets(f"{head} s{len(client_id)} '{client_id}'")
        self.socket.sendall(bytes([0x10, len(body)]) + body)
        return self

    def join(self, client_id="c", version=V5, flags=0x02, properties=""):
        self.connect(client_id, version, flags, properties)
        return self.expect(CONNACK_V5 if version == V5 else CONNACK_V3)


# What is sent before any CONNECT was taken, and all that comes back before the end.
REFUSED_CONNECTS = {
    "another packet first": ("30 07 s5 'topic'", ""),
    "packet type 0": ("00 00", ""),
    "another protocol": ("10 0d s4 'MQTU' 04 02 000a s1 'p'", ""),
    "version 6": ("10 0d s4 'MQTT' 06 02 000a s1 'p'", "20 03 00 84 00"),
    "version 2 of the old name": ("10 0f s6 'MQIsdp' 02 02 000a s1 'p'", "20 03 00 84 00"),
    "version 4 under the old name": ("10 0f s6 'MQIsdp' 04 02 000a s1 'p'", "20 02 00 01"),
    "3.1 without identifier": ("10 0e s6 'MQIsdp' 03 02 000a s0", "20 02 00 02"),
    "3.1.1 without identifier and clean session": ("10 0c s4 'MQTT' 04 00 000a s0", "20 02 00 02"),
    "3.1.1 with the reserved flag": ("10 0d s4 'MQTT' 04 03 000a s1 'p'", ""),
    "3.1.1 with bytes behind the end": ("10 10 s4 'MQTT' 04 02 000a s1 'p' s1 'p'", ""),
    "5.0 with bytes behind the end": ("10 11 s4 'MQTT' 05 02 000a 00 s1 'q' s1 'q'", "20 03 00 81 00"),
    "5.0 with a control character in the identifier": ("10 12 s4 'MQTT' 05 02 000a 00 s5 746f700170", "20 03 00 85 00"),
    "5.0 with a user name cut off": ("10 0e s4 'MQTT' 05 82 000a 00 s1 'p'", ""),
    "5.0 with a property twice": ("10 18 s4 'MQTT' 05 02 000a 0a 1100000001 1100000001 s1 'p'", "20 03 00 82 00"),
    "5.0 with a property cut off": ("10 0f s4 'MQTT' 05 02 000a 01 11 s1 'p'", "20 03 00 81 00"),
    "5.0 with a property of another packet": ("10 10 s4 'MQTT' 05 02 000a 02 0101 s1 'p'", "20 03 00 82 00"),
    "5.0 with a property of another packet cut off": ("10 0f s4 'MQTT' 05 02 000a 01 01 s1 'p'", "20 03 00 81 00"),
    "5.0 with an unknown property": ("10 10 s4 'MQTT' 05 02 000a 02 0401 s1 'p'", "20 03 00 81 00"),
    "a will with a property of CONNECT": (
        "10 17 s4 'MQTT' 05 06 000a 00 s1 'p' 02 1701 s1 'p' s1 'p'", "20 03 00 82 00",
    ),
    "a will with a property cut off": (
        "10 16 s4 'MQTT' 05 06 000a 00 s1 'p' 01 02 s1 'p' s1 'p'", "20 03 00 81 00",
    ),
    "a will without a topic": ("10 14 s4 'MQTT' 05 06 000a 00 s1 'p' 00 s0 s1 'p'", "20 03 00 82 00"),
    "a will without a payload": ("10 12 s4 'MQTT' 05 06 000a 00 s1 'p' 00 s1 'p'", "20 03 00 81 00"),
    "a will to a filter": ("10 15 s4 'MQTT' 05 06 000a 00 s1 'p' 00 s1 '#' s1 'p'", ""),
    "a will with QoS 3": ("10 15 s4 'MQTT' 05 1e 000a 00 s1 'p' 00 s1 'p' s1 'p'", "20 03 00 81 00"),
    "3.1.1 with a will with QoS 3": ("10 13 s4 'MQTT' 04 1e 000a s1 'p' s1 'p' s1 'p'", ""),
    "5.0 with a receive maximum of 0": ("10 11 s4 'MQTT' 05 02 000a 03 210000 s1 'p'", "20 03 00 82 00"),
    "5.0 with a maximum packet size of 2": ("10 13 s4 'MQTT' 05 02 000a 05 2700000002 s1 'p'", ""),
    "5.0 with an unknown method": ("10 16 s4 'MQTT' 05 02 000a 08 15 s5 'plain' s1 'p'", "20 03 00 8c 00"),
}

# After a CONNECT of 5.0: what is sent, and all that comes back before the end.
VIOLATIONS = {
    "packet type 0": ("00 00", "e0 01 82"),
    "a CONNACK": ("20 03 000000", "e0 01 82"),
    "a second CONNECT": ("10 0e s4 'MQTT' 05 02 000a 00 s1 'p'", ""),
    "a remaining length of five bytes": ("30 ffffffff01", ""),
    "a ping with a body": ("c0 01 00", ""),
    "a ping with flags": ("c1 00", "e0 01 81"),
    "AUTH with flags": ("f1 00", "e0 01 82"),
    "AUTH without a method": ("f0 01 00", "e0 01 82"),
    "QoS 3": ("36 0f s5 'topic' 00 'payload'", "e0 01 81"),
    "DUP with QoS 0": ("38 0f s5 'topic' 00 'payload'", "e0 01 81"),
    "no topic": ("30 0a s0 00 'payload'", "e0 01 81"),
    "a topic with a wildcard": ("30 0f s5 '+opic' 00 'payload'", "e0 01 81"),
    "a topic with U+0001": ("30 0f s5 746f700170 00 'payload'", "e0 01 81"),
    "a packet identifier of 0": ("32 11 s5 'topic' 0000 00 'payload'", "e0 01 82"),
    "a topic alias beyond the maximum": ("30 12 s5 'topic' 03 23000b 'payload'", "e0 01 94"),
    "a topic alias that was not set": ("30 0d s0 03 230001 'payload'", "e0 01 82"),
    "a property of another packet": ("32 15 s5 'topic' 04d2 04 1f s1 'p' 'payload'", "e0 01 82"),
    "a property of another packet cut off": ("32 12 s5 'topic' 04d2 01 17 'payload'", "e0 01 81"),
    "an unknown property": ("32 13 s5 'topic' 04d2 02 0401 'payload'", "e0 01 81"),
    "a subscription identifier": ("32 15 s5 'topic' 04d2 04 0b01 0b01 'payload'", "e0 01 82"),
    "SUBSCRIBE with flags": ("80 07 1234 00 s1 'p' 00", "e0 01 81"),
    "SUBSCRIBE without a filter": ("82 03 1234 00", "e0 01 81"),
    "SUBSCRIBE with an empty filter": ("82 06 1234 00 s0 00", "e0 01 81"),
    "SUBSCRIBE with QoS 3": ("82 07 1234 00 s1 'p' 03", "e0 01 81"),
    "SUBSCRIBE with retain handling 3": ("82 07 1234 00 s1 'p' 30", "e0 01 81"),
    "SUBSCRIBE with an identifier of 0": ("82 07 0000 00 s1 'p' 00", "e0 01 81"),
    "SUBSCRIBE with a property of another packet": ("82 09 0001 02 0100 s1 'p' 00", "e0 01 81"),
    "SUBSCRIBE with two subscription identifiers": ("82 0b 0001 04 0b010b01 s1 'p' 00", "e0 01 82"),
    "a share name with +": ("82 10 1234 00 s10 '$share/+/p' 00", "e0 01 82"),
    "a share name with #": ("82 10 1234 00 s10 '$share/#/p' 00", "e0 01 81"),
    "a share without a filter": ("82 0f 1234 00 s9 '$share/p/' 00", "e0 01 82"),
    "a share with no local": ("82 10 1234 00 s10 '$share/p/p' 04", "e0 01 82"),
    "PUBREC that is too short": ("50 01 01", "e0 01 81"),
    "PUBREC with an unknown code": ("50 04 0001 ff 00", "e0 01 82"),
    "PUBREL with flags": ("60 03 0001 00", "e0 01 81"),
    "PUBREL with bytes behind the end": ("62 05 0001 00 00 00", "e0 01 81"),
    "DISCONNECT with flags": ("e1 00", "e0 01 81"),
    "DISCONNECT that revives the session": ("e0 07 00 05 1100000001", "e0 01 82"),
    "DISCONNECT with a server reference": ("e0 06 00 04 1c s1 'p'", ""),
}

# After a CONNECT of 5.0: what is sent and what comes back; then the connection lives on.
CONVERSATIONS = {
    "QoS 1 that nobody wants": [("32 11 s5 'topic' 04d2 00 'payload'", "40 03 04d2 10")],
    "QoS 2 and its release in four forms": [
        ("34 09 s4 'held' 0001 00", "50 02 0001"), ("62 02 0001", "70 02 0001"),
        ("34 09 s4 'held' 0001 00", "50 02 0001"), ("62 03 0001 00", "70 02 0001"),
        ("34 09 s4 'held' 0001 00", "50 02 0001"), ("62 04 0001 00 00", "70 02 0001"),
        ("34 09 s4 'held' 0001 00", "50 02 0001"), ("62 08 0001 00 04 1f s1 'p'", "70 02 0001"),
    ],
    "a release of nothing": [("62 03 0001 92", "70 02 0001")],
    "a receipt of nothing": [("50 02 0001", "62 02 0001")],
    "an identifier used again": [
        ("34 0a s4 'held' 0001 00 61", "50 02 0001"), ("34 0a s4 'held' 0001 00 62", "50 02 0001"),
        ("34 0a s4 'held' 0001 00 61", "50 02 0001"),
    ],
    "topics of the broker": [
        ("34 18 s18 '$SYS/broker/uptime' 007b 00 'x'", "50 03 007b 87"),
        ("34 25 s31 '$SYS/broker/connection/me/state' 007b 00 'x'", "50 02 007b"),
        ("34 10 s10 '$test/test' 007c 00 'x'", "50 02 007c"),
    ],
    "its own QoS 1 after the acknowledgement": [
        ("82 07 1234 00 s1 'p' 01", "90 04 1234 00 01"),
        ("32 07 s1 'p' 0007 00 'm'", "40 02 0007 32 07 s1 'p' 0001 00 'm'"),
    ],
    "its own QoS 2 after the release": [
        ("82 07 1234 00 s1 'q' 02", "90 04 1234 00 02"),
        ("34 07 s1 'q' 0007 00 'm'", "50 02 0007"),
        ("62 02 0007", "70 02 0007 34 07 s1 'q' 0001 00 'm'"),
        ("50 02 0001", "62 02 0001"),
    ],
    "properties as they were": [
        ("82 07 1234 00 s1 'r' 00", "90 04 1234 00 00"),
        ("30 0c s1 'r' 07 03 s4 'text' 'm'", "30 0c s1 'r' 07 03 s4 'text' 'm'"),
        ("30 0a s1 'r' 05 0200000001 'm'", "30 0a s1 'r' 05 0200000001 'm'"),
    ],
    "all identifiers of overlapping subscriptions": [
        ("82 09 0001 02 0b05 s1 's' 00", "90 04 0001 00 00"),
        ("30 05 s1 's' 00 'm'", "30 07 s1 's' 02 0b05 'm'"),
    ],
}


def test_connack_and_refusals_are_mosquittos(drop_in):
    node = drop_in()
    for version in (V31, V311, V5):
        Client(node.port).join(version=version).expect_life()
    for what, (sent, answer) in REFUSED_CONNECTS.items():
        client = Client(node.port).send(sent)
        try:
            client.expect(answer).expect_end()
        except AssertionError as difference:
            raise AssertionError(f"{what}: {difference}") from None
    assert node.is_running
    assert node.stop() == 0


def test_what_is_malformed_is_answered_as_mosquitto_does(drop_in):
    node = drop_in()
    for what, (sent, answer) in VIOLATIONS.items():
        client = Client(node.port).join().send(sent)
        try:
            client.expect(answer).expect_end()
        except AssertionError as difference:
            raise AssertionError(f"{what}: {difference}") from None
    assert node.is_running


def test_conversations_are_mosquittos_byte_by_byte(drop_in):
    node = drop_in()
    for what, exchanges in CONVERSATIONS.items():
        client = Client(node.port).join()
        try:
            for sent, answer in exchanges:
                client.send(sent).expect(answer)
            client.expect_life()
        except AssertionError as difference:
            raise AssertionError(f"{what}: {difference}") from None


def test_the_third_copy_of_a_message_ends_the_connection(drop_in):
    client = Client(drop_in().port).join()
    for _ in range(2):
        client.send("3c 09 s4 'held' 0001 00").expect("50 02 0001")
    client.send("3c 09 s4 'held' 0001 00").expect("e0 01 82").expect_end()


def test_the_receive_maximum_holds_for_every_version(drop_in):
    node = drop_in("max_inflight_messages 3")
    limited = "20 0e 00 00 0b 22000a 27001e8480 210003"
    for version, connack, middle, farewell in ((V311, CONNACK_V3, "", ""), (V5, limited, "00", "e0 01 93")):
        client = Client(node.port).connect(version=version).expect(connack)
        length = 5 + len(middle) // 2
        for number in range(1, 4):
            client.send(f"34 {length:02x} s1 'p' {number:04x} {middle}").expect(f"50 02 {number:04x}")
        client.send(f"34 {length:02x} s1 'p' 0004 {middle}").expect(farewell).expect_end()


def test_what_a_listener_grants_stands_in_connack_and_holds(drop_in):
    node = drop_in("max_qos 1", "retain_available false", "max_keepalive 30", "max_packet_size 4096")
    granted = "20 15 00 00 12 13001e 22000a 2500 2700001000 210014 2401"
    client = Client(node.port).connect().expect(granted)
    client.send("82 07 1234 00 s1 'p' 02").expect("90 04 1234 00 01")
    client.send("34 07 s1 'p' 0001 00 'm'").expect("e0 01 9b").expect_end()
    Client(node.port).connect().expect(granted).send("31 05 s1 'p' 00 'm'").expect("e0 01 9a").expect_end()
    Client(node.port).connect().expect(granted).send("30 ff7f").expect("e0 01 95").expect_end()
    Client(node.port).connect(version=V311).expect("20 02 00 02").expect_end()


def test_versions_that_are_not_accepted(drop_in):
    node = drop_in("accept_protocol_versions 4")
    Client(node.port).connect(version=V31).expect("20 02 00 01").expect_end()
    Client(node.port).join(version=V311)
    Client(node.port).connect(version=V5).expect("20 03 00 84 00").expect_end()


def test_an_assigned_identifier_has_mosquittos_shape(drop_in):
    client = Client(drop_in().port).connect(client_id="").expect("20 3a 00 00 37 22000a 12 s41 'auto-'")
    assert re.fullmatch(rb"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", client.socket.recv(36))
    client.expect("27001e8480 210014")


def test_clients_live_below_the_mount_point(drop_in):
    node = drop_in("mount_point ward/", f"listener {(plain := free_port())} 127.0.0.1", "allow_anonymous true")
    inside = Client(node.port).join("inside")
    outside = Client(plain).join("outside")
    inside.send("82 07 0001 00 s1 'p' 00").expect("90 04 0001 00 00")
    outside.send("82 0c 0001 00 s6 'ward/#' 00").expect("90 04 0001 00 00")
    inside.send("30 05 s1 'p' 00 'm'").expect("30 05 s1 'p' 00 'm'")
    outside.expect("30 0a s6 'ward/p' 00 'm'")


def test_a_persistent_session_comes_back_with_its_queue(drop_in):
    node = drop_in()
    Client(node.port).join("kept", V311, flags=0x00).send("82 06 1234 s1 'p' 01").expect("90 03 1234 01").send("e000")
    publisher = Client(node.port).join("publisher", V311)
    publisher.send("32 06 s1 'p' 0009 'm'").expect("40 02 0009")
    again = Client(node.port).connect("kept", V311, flags=0x00).expect("20 02 01 00")
    again.expect("32 06 s1 'p' 0001 'm'")


def test_who_deletes_the_database_gets_an_empty_broker(drop_in):
    node = drop_in("persistence true", "persistence_file kept.db")
    marker = node.folder / "kept.db"
    Client(node.port).join("kept", V311, flags=0x00).send("82 06 1234 s1 'p' 01").expect("90 03 1234 01").send("e000")
    assert node.stop() == 0
    assert marker.read_bytes() == b""
    node.start()
    Client(node.port).connect("kept", V311, flags=0x00).expect("20 02 01 00").send("e000")
    assert node.stop() == 0
    marker.unlink()
    node.start()
    Client(node.port).connect("kept", V311, flags=0x00).expect("20 02 00 00").send("e000")
    assert marker.exists()


def test_a_database_of_mosquittos_is_left_alone(drop_in, tmp_path):
    database = tmp_path / "mosquitto.db"
    database.write_bytes(b"\x00\xb5\x00mosquitto db")
    node = drop_in("persistence true", f"persistence_location {tmp_path}")
    Client(node.port).join()
    assert node.stop() == 0
    assert database.read_bytes() == b"\x00\xb5\x00mosquitto db"


def test_packet_identifiers_go_on_after_a_restart(drop_in):
    node = drop_in("persistence true")
    client = Client(node.port).join("kept", V311, flags=0x00).send("82 06 1234 s1 'p' 01").expect("90 03 1234 01")
    client.send("32 06 s1 'p' 0009 'm'").expect("40 02 0009 32 06 s1 'p' 0001 'm'").send("40 02 0001").expect_life()
    assert node.stop() == 0
    node.start()
    client = Client(node.port).connect("kept", V311, flags=0x00).expect("20 02 01 00")
    client.send("32 06 s1 'p' 0009 'm'").expect("40 02 0009 32 06 s1 'p' 0002 'm'")


def test_a_message_too_large_for_its_receiver_takes_its_identifier_along(drop_in):
    client = Client(drop_in().port).join(properties="27 00000014")
    client.send("82 07 0001 00 s1 'p' 01").expect("90 04 0001 00 01")
    client.send("32 13 s1 'p' 0001 00 '0123456789abc'").expect("40 02 0001")
    client.send("32 07 s1 'p' 0002 00 'm'").expect("40 02 0002 32 07 s1 'p' 0002 00 'm'")


def test_sighup_withdraws_what_waits_and_its_packet_identifiers(drop_in, tmp_path):
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite one\ntopic readwrite two\n")
    node = drop_in(f"acl_file {rules}")
    receiver = Client(node.port).join("kept", V311, flags=0x00)
    receiver.send("82 08 0001 s3 'one' 01").expect("90 03 0001 01")
    receiver.send("82 08 0002 s3 'two' 01").expect("90 03 0002 01").send("e000").expect_end()
    sender = Client(node.port).join("sender", V311)
    sender.send("32 08 s3 'one' 0001 'm'").expect("40 02 0001").send("32 08 s3 'two' 0002 'm'").expect("40 02 0002")
    rules.write_text("topic readwrite one\n")
    node.reload()
    receiver = Client(node.port).connect("kept", V311, flags=0x00).expect("20 02 01 00")
    receiver.expect("32 08 s3 'one' 0001 'm'").send("40 02 0001")
    sender.send("32 08 s3 'one' 0003 'n'").expect("40 02 0003")
    receiver.expect("32 08 s3 'one' 0003 'n'")


def test_an_empty_password_proves_nothing(drop_in, tmp_path):
    passwords = tmp_path / "passwords"
    # Of the empty password.
    salt, iterations = b"0123456789ab", 101
    digest = hashlib.pbkdf2_hmac("sha512", b"", salt, iterations)
    fields = (str(iterations), base64.b64encode(salt).decode(), base64.b64encode(digest).decode())
    passwords.write_text("ann:$7$" + "$".join(fields) + "\n")
    passwords.chmod(0o600)
    node = drop_in("allow_anonymous false", f"password_file {passwords}")
    connect = "10 14 s4 'MQTT' 04 c2 000a s1 'p' s3 'ann' s0"
    Client(node.port).send(connect).expect("20 02 00 05").expect_end()


def test_the_version_is_told_as_mosquitto_tells_it(drop_in):
    client = Client(drop_in().port).join("c", V311).send("82 18 0001 s19 '$SYS/broker/version' 00")
    client.expect("90 03 0001 00")
    assert re.search(rb"mosquitto version 2\.1\.\d+", client.socket.recv(128))


# A CONNECT of 5.0 that brings other limits to light: keep alive, aliases, retained messages, packet size, window, QoS.
LIMITS = ("max_keepalive 30", "max_topic_alias 3", "retain_available false", "max_packet_size 1000",
          "max_inflight_messages 5", "max_qos 1", "message_size_limit 10", "max_queued_messages 2")
LIMITED = "20 15 00 00 12 13001e 220003 2500 27000003e8 210005 2401"


def test_who_connects_after_sighup_meets_the_new_limits(drop_in):
    """Without waiting for anything: the CONNECT follows the signal at once. Who was connected keeps what it was told."""
    node = drop_in()
    path = node.folder / "mosquitto.conf"
    plain = path.read_text()
    old = Client(node.port).join("old")
    sleeper = Client(node.port).join("sleeper", properties="11 00000258", flags=0)
    sleeper.send("82 07 1234 00 s1 'q' 01").expect("90 04 1234 00 01").send("e0 00").expect_end()
    for round_number in range(5):
        path.write_text(plain + "\n".join(LIMITS) + "\n")
        node.signal(signal.SIGHUP)
        client = Client(node.port).connect(f"new{round_number}").expect(LIMITED)
        client.send("30 ff7f").expect("e0 01 95").expect_end()
        Client(node.port).connect("older", version=V311).expect("20 02 00 02").expect_end()
        path.write_text(plain)
        node.signal(signal.SIGHUP)
        Client(node.port).join(f"again{round_number}").expect_life()
    path.write_text(plain + "\n".join(LIMITS) + "\n")
    node.reload()
    # The keep alive, the window and the packet size of the one who was there are those of its CONNACK.
    for number in range(1, 8):
        old.send(f"34 07 s1 'p' {number:04x} 00 'm'").expect(f"50 02 {number:04x}")
    old.send("30 e00f s1 'p' 00 '" + "m" * 2012 + "'").expect_life()
    # The queue's limit and that of a message count at once.
    for number in range(1, 10):
        old.send(f"32 07 s1 'q' {number + 16:04x} 00 '{number}'").expect(f"40 02 {number + 16:04x}")
    old.send("32 12 s1 'q' 0007 00 '123456789012'").expect("40 03 0007 95")
    sleeper = Client(node.port).connect("sleeper", properties="11 00000258", flags=0)
    sleeper.expect(LIMITED.replace("00 00 12", "01 00 12"))
    sleeper.send("c000")
    waiting = b""
    while not waiting.endswith(octets("d000")):
        waiting += sleeper.socket.recv(1)
    found = re.fullmatch(rb"2\x07\x00\x01q..\x0012\x07\x00\x01q..\x002\xd0\x00", waiting, re.S)
    assert found, waiting.hex(" ")


def test_who_connects_after_sighup_meets_the_new_door(drop_in):
    """Anonymous clients and versions too, with the connection made before the signal and CONNECT after it."""
    node = drop_in()
    path = node.folder / "mosquitto.conf"
    plain = path.read_text()
    for _ in range(5):
        waiting = Client(node.port)
        path.write_text(plain.replace("allow_anonymous true", "allow_anonymous false"))
        node.signal(signal.SIGHUP)
        waiting.connect().expect("20 03 00 87 00").expect_end()
        path.write_text(plain)
        node.signal(signal.SIGHUP)
        Client(node.port).join()


def test_sighup_while_it_starts_is_no_end(causeway, nodes, tmp_path):
    """The signal comes at any moment from the first on: it waits for the node to be up."""
    for number in range(6):
        node = DropIn(causeway, tmp_path / f"early-{number}", "listener PORT 127.0.0.1\nallow_anonymous true\n")
        nodes.append(node)
        Process.start(node)
        # From the moment at which the process says that it holds the signal back.
        status = f"/proc/{node.process.pid}/status"
        wait_until(lambda: re.search(r"^SigBlk:\s*[0-9a-f]*[13579bdf]$", open(status).read(), re.M), "SIGHUP is held")
        node.signal(signal.SIGHUP)
        wait_until(lambda: accepts(node.port) or not node.is_running, "the listener is up")
        assert node.is_running, node.log
        wait_until(lambda: "was read again" in node.log, "the signal is acted on")
        Client(node.port).join()
        assert node.stop() == 0


def test_a_session_that_is_taken_over_says_so(drop_in):
    node = drop_in()
    first = Client(node.port).join("t")
    second = Client(node.port).join("t")
    first.expect("e0 01 8e").expect_end()
    second.expect_life()


def test_the_broker_names_its_first_ten_topics_by_aliases(drop_in):
    client = Client(drop_in().port).join(properties="22 ffff")
    client.send("82 09 0001 00 s3 'a/#' 00").expect("90 04 0001 00 00")
    for number in range(10):
        client.send(f"30 07 s3 'a/{number}' 00 'm'").expect(f"30 0a s3 'a/{number}' 03 23{number + 1:04x} 'm'")
    for number in range(10):
        client.send(f"30 07 s3 'a/{number}' 00 'm'").expect(f"30 07 s0 03 23{number + 1:04x} 'm'")
    client.send("30 07 s3 'a/x' 00 'm'").expect("30 07 s3 'a/x' 00 'm'")


def test_bytes_under_way_are_limited_beside_messages(drop_in):
    """Two messages of eight bytes fill `max_inflight_bytes 16`; the third comes when one of them is done."""
    node = drop_in("max_inflight_bytes 16")
    reader = Client(node.port).join("reader", properties="21 0005")
    reader.send("82 07 0001 00 s1 'q' 01").expect("90 04 0001 00 01")
    writer = Client(node.port).join("writer")
    for number in range(1, 4):
        writer.send(f"32 0e s1 'q' {number:04x} 00 'message{number}'").expect(f"40 02 {number:04x}")
    reader.expect("32 0e s1 'q' 0001 00 'message1' 32 0e s1 'q' 0002 00 'message2'").expect_life()
    reader.send("40 02 0001").expect("32 0e s1 'q' 0003 00 'message3'")


def test_an_identifier_used_for_another_message_replaces_the_first(drop_in):
    node = drop_in()
    for version, sub, ack, more in ((V311, "82 06 0001 s1 '#' 02", "90 03 0001 02", ""),
                                    (V5, "82 07 0001 00 s1 '#' 02", "90 04 0001 00 02", "00")):
        reader = Client(node.port).join("reader", version)
        reader.send(sub).expect(ack)
        writer = Client(node.port).join("writer", version)
        length = 10 + len(more) // 2
        for topic in ("first", "other"):
            writer.send(f"34 {length:02x} s5 '{topic}' 0138 {more} 'm'").expect("50 02 0138")
        writer.send("62 02 0138").expect("70 02 0138")
        reader.expect(f"34 {length:02x} s5 'other' 0001 {more} 'm'").expect_life()


def test_retained_messages_are_cleared_one_by_one(drop_in):
    node = drop_in()
    topics = ["1", "1/2/3/4", "1/2/3/4/5/6/7"]
    writer = Client(node.port).join("writer", V311)
    for topic in topics:
        writer.send(f"33 {5 + len(topic):02x} s{len(topic)} '{topic}' 0001 'r'").expect("40 02 0001")
    for cleared in (None, "1/2/3/4", "1/2/3/4/5/6/7", "1"):
        if cleared:
            writer.send(f"33 {4 + len(cleared):02x} s{len(cleared)} '{cleared}' 0001").expect("40 02 0001")
            topics.remove(cleared)
        reader = Client(node.port).join("reader", V311).send("82 06 0001 s1 '#' 00").expect("90 03 0001 00")
        for topic in topics:
            reader.expect(f"31 {3 + len(topic):02x} s{len(topic)} '{topic}' 'r'")
        reader.expect_life()


def test_a_will_to_the_control_topics_is_refused(drop_in):
    node = drop_in()
    topic = "s26 '$CONTROL/dynamic-security/v1'"
    Client(node.port).send(f"10 30 s4 'MQTT' 04 06 003c s1 'p' {topic.replace('s26', 's28')} s1 'p'").expect_end()
    Client(node.port).send(f"10 32 s4 'MQTT' 05 06 003c 00 s1 'p' 00 {topic.replace('s26', 's28')} s1 'p'").expect_end()


def test_no_more_connections_than_allowed_and_they_come_back(drop_in):
    for option in ("max_connections 4", "global_max_connections 4"):
        node = drop_in(option)
        # `accepts` of the start may still count.
        for _ in range(2):
            clients = []
            for number in range(4):
                wait_until(lambda: enters(node, clients, f"c{number}"), f"client {number} enters")
            refused = Client(node.port)
            try:
                refused.connect("one more").expect_end()
            except (BrokenPipeError, ConnectionResetError):
                pass
            for client in clients:
                client.expect_life()
                client.socket.close()


def enters(node, clients, client_id):
    try:
        clients.append(Client(node.port).join(client_id))
    except (AssertionError, OSError):
        return False
    return True


def test_the_maximum_of_clients_counts_sessions_that_are_away(drop_in):
    node = drop_in("global_max_clients 3")
    clients = [Client(node.port).join(f"c{number}", properties="11 0000003c") for number in range(3)]
    Client(node.port).connect("more").expect("20 03 00 89 00").expect_end()
    for client in clients:
        client.send("e0 00").expect_end()
    Client(node.port).connect("more").expect("20 03 00 89 00").expect_end()
    Client(node.port).connect("c1", properties="11 0000003c").expect(CONNACK_V5)
