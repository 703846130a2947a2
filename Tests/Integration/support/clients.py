"""Devices of a test: mosquitto's command-line tools, and paho where a program has to look closely."""

import itertools
import subprocess
import threading
from collections import namedtuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from .processes import DEADLINE_SECONDS, LOOPBACK, run, wait_until

Message = namedtuple("Message", "topic qos retain payload")

_numbers = itertools.count(1)


def unique(prefix):
    return f"{prefix}-{next(_numbers)}"


def mosquitto_pub(port, topic, payload, *arguments, check=0):
    """Publishes one message as a device would; returns the finished process."""
    command = ["mosquitto_pub", "-h", LOOPBACK, "-p", port, "-t", topic, *arguments]
    command += ["-n"] if payload is None else ["-m", payload]
    return run(command, check=check)


class MosquittoSub:
    """mosquitto_sub in the background, with its messages read as they come."""

    def __init__(self, port, *filters, arguments=(), qos=1):
        command = ["stdbuf", "-oL", "mosquitto_sub", "-h", LOOPBACK, "-p", port, "-d", "-q", qos]
        for topic_filter in filters:
            command += ["-t", topic_filter]
        command += [*arguments, "-F", "message\t%t\t%q\t%r\t%p"]
        self.lines = []
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace",
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def __enter__(self):
        wait_until(
            lambda: self.process.poll() is not None or any(line.startswith("Subscribed") for line in self.lines),
            "mosquitto_sub is subscribed",
        )
        assert self.process.poll() is None, "\n".join(self.lines)
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(DEADLINE_SECONDS)
        self.reader.join(DEADLINE_SECONDS)

    @property
    def messages(self):
        parts = (line.split("\t", 4) for line in list(self.lines) if line.startswith("message\t"))
        return [Message(topic, int(qos), retain == "1", payload) for _, topic, qos, retain, payload in parts]

    def wait_for(self, count):
        """The first messages, as soon as there are so many."""
        return wait_until(lambda: len(self.messages) >= count and self.messages, f"{count} messages")


class Device:
    """A paho client that remembers what happened to it."""

    def __init__(self, port, client_id=None, version=5, clean=True, expiry=None, tls=None, username=None,
                 password=None, will=None, keepalive=60, host=LOOPBACK):
        self.port = port
        self.host = host
        self.version = version
        self.clean = clean
        self.expiry = expiry
        self.keepalive = keepalive
        self.messages = []
        # Answered, with whatever reason; those that the broker refused, with the reason.
        self.acknowledged = set()
        self.refused = {}
        self.connack = None
        self.disconnects = []
        self.session_present = None
        self.granted = {}
        protocol = {3: mqtt.MQTTv31, 4: mqtt.MQTTv311, 5: mqtt.MQTTv5}[version]
        options = {} if version == 5 else {"clean_session": clean}
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id or unique("device"), protocol=protocol,
            reconnect_on_failure=False, **options,
        )
        if username is not None:
            self.client.username_pw_set(username, password)
        if tls is not None:
            self.client.tls_set(ca_certs=tls["cafile"], certfile=tls.get("certfile"), keyfile=tls.get("keyfile"))
        if will is not None:
            self.client.will_set(*will)
        self.client.on_connect = self._connected
        self.client.on_disconnect = self._disconnected
        self.client.on_message = self._received
        self.client.on_publish = self._published
        self.client.on_subscribe = self._subscribed

    def _connected(self, client, userdata, flags, reason, properties):
        self.session_present = flags.session_present
        self.connack = reason

    def _disconnected(self, client, userdata, flags, reason, properties):
        self.disconnects.append(reason)

    def _received(self, client, userdata, message):
        self.messages.append(message)

    def _published(self, client, userdata, mid, reason, properties):
        if reason.is_failure:
            self.refused[mid] = reason.value
        self.acknowledged.add(mid)

    def _subscribed(self, client, userdata, mid, reasons, properties):
        self.granted[mid] = [reason.value for reason in reasons]

    def start(self):
        """Opens the connection without waiting for its answer."""
        self.connack = None
        options = {}
        if self.version == 5:
            options["clean_start"] = self.clean
            if self.expiry is not None:
                options["properties"] = Properties(PacketTypes.CONNECT)
                options["properties"].SessionExpiryInterval = self.expiry
        self.client.connect(self.host, self.port, keepalive=self.keepalive, **options)
        self.client.loop_start()
        return self

    def connect(self):
        self.start()
        wait_until(lambda: self.connack is not None or self.disconnects, "a CONNACK")
        assert self.connack is not None and not self.connack.is_failure, f"refused: {self.connack} {self.disconnects}"
        return self

    def __enter__(self):
        return self.connect()

    def __exit__(self, *_):
        self.close()

    def close(self):
        """DISCONNECT, and the thread ends."""
        self.client.disconnect()
        self.client.loop_stop()

    def drop(self):
        """Closes the socket without DISCONNECT, as a device whose power fails."""
        self.client.loop_stop()
        self.client.socket().close() if self.client.socket() else None

    def subscribe(self, topic_filter, qos=1):
        _, mid = self.client.subscribe(topic_filter, qos)
        return wait_until(lambda: self.granted.get(mid), f"a SUBACK for {topic_filter}")

    def publish(self, topic, payload, qos=1, retain=False):
        """Publishes and, above QoS 0, waits for the acknowledgement."""
        handle = self.client.publish(topic, payload, qos, retain)
        wait_until(lambda: handle.mid in self.acknowledged, f"the acknowledgement of a message to {topic}")

    @property
    def payloads(self):
        return [message.payload.decode() for message in list(self.messages)]

    def wait_for(self, count, seconds=DEADLINE_SECONDS):
        wait_until(lambda: len(self.messages) >= count, f"{count} messages, got {len(self.messages)}", seconds)
        return list(self.messages)
