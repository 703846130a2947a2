"""Stock clients behind one face, so that each is asked to do the same: publish, receive, retain, die with a will."""

import asyncio
import socket
import ssl
import subprocess
import threading
from collections import namedtuple

import aiomqtt
import gmqtt
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from .processes import DEADLINE_SECONDS, LOOPBACK, wait_until

Received = namedtuple("Received", "topic payload qos retain properties")
Endpoint = namedtuple("Endpoint", "transport port cafile path")

# What an MQTT 5.0 message carries along, and must bring to the other side.
PROPERTIES = {
    "content_type": "text/plain", "response_topic": "answers/here", "correlation_data": b"c-1",
    "user_property": ("first", "1"),
}


def tls_context(endpoint):
    return ssl.create_default_context(cafile=endpoint.cafile) if endpoint.transport in ("tls", "wss") else None


class StockClient:
    """One connection of a stock client."""

    transports = ("tcp", "tls", "websocket", "wss", "unix")
    versions = ("3.1", "3.1.1", "5.0")

    def __init__(self, endpoint, version, client_id):
        self.endpoint = endpoint
        self.version = version
        self.client_id = client_id
        self.messages = []

    def wait_for(self, topic):
        """The message with this topic, once it has come."""
        def found():
            return next((message for message in list(self.messages) if message.topic == topic), None)

        return wait_until(found, f"{type(self).__name__} receives {topic}")


class Paho(StockClient):
    """paho-mqtt, with its own thread."""

    PROTOCOLS = {"3.1": paho.MQTTv31, "3.1.1": paho.MQTTv311, "5.0": paho.MQTTv5}
    TRANSPORTS = {"tcp": "tcp", "tls": "tcp", "websocket": "websockets", "wss": "websockets", "unix": "unix"}

    def open(self, will=None):
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=self.client_id, protocol=self.PROTOCOLS[self.version],
            transport=self.TRANSPORTS[self.endpoint.transport], reconnect_on_failure=False,
        )
        if self.endpoint.transport in ("websocket", "wss"):
            self.client.ws_set_options(path="/mqtt")
        if context := tls_context(self.endpoint):
            self.client.tls_set_context(context)
        if will:
            self.client.will_set(*will)
        self.answered = {}
        self.connected = None
        self.client.on_connect = lambda client, data, flags, reason, properties: setattr(self, "connected", reason)
        self.client.on_message = lambda client, data, message: self.messages.append(self.received(message))
        self.client.on_publish = lambda client, data, mid, *rest: self.answered.setdefault(mid, True)
        self.client.on_subscribe = lambda client, data, mid, *rest: self.answered.setdefault(mid, True)
        if self.endpoint.transport == "unix":
            self.client.connect(str(self.endpoint.path), 1)
        else:
            self.client.connect("localhost" if self.endpoint.cafile else LOOPBACK, self.endpoint.port)
        self.client.loop_start()
        wait_until(lambda: self.connected is not None, "paho's CONNACK")
        assert not self.connected.is_failure, self.connected
        return self

    @staticmethod
    def received(message):
        found = {}
        for name, attribute in (("content_type", "ContentType"), ("response_topic", "ResponseTopic"),
                                ("correlation_data", "CorrelationData"), ("user_property", "UserProperty")):
            value = getattr(message.properties, attribute, None) if message.properties else None
            if value is not None:
                found[name] = tuple(value[0]) if name == "user_property" else value
        return Received(message.topic, message.payload, message.qos, bool(message.retain), found)

    @staticmethod
    def properties(wanted):
        if not wanted:
            return None
        found = Properties(PacketTypes.PUBLISH)
        found.ContentType = wanted["content_type"]
        found.ResponseTopic = wanted["response_topic"]
        found.CorrelationData = wanted["correlation_data"]
        found.UserProperty = [wanted["user_property"]]
        return found

    def subscribe(self, topic_filter, qos):
        _, mid = self.client.subscribe(topic_filter, qos)
        wait_until(lambda: mid in self.answered, "paho's SUBACK")

    def publish(self, topic, payload, qos, retain=False, properties=None):
        handle = self.client.publish(topic, payload, qos, retain, Paho.properties(properties))
        wait_until(lambda: handle.mid in self.answered, "paho's acknowledgement")

    def drop(self):
        """Ends without a DISCONNECT."""
        connection = self.client.socket()
        self.client.loop_stop()
        connection.close()

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class Looped(StockClient):
    """A client of asyncio, in an event loop on a thread of its own."""

    def open(self, will=None):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.run(self.start(will))
        return self

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(DEADLINE_SECONDS)

    def stop_loop(self):
        """Ends what still runs in the loop, then the loop."""
        async def cancel():
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(DEADLINE_SECONDS)
        self.loop.close()


class Aiomqtt(Looped):
    """aiomqtt, which stands on paho."""

    async def start(self, will):
        host = "localhost" if self.endpoint.cafile else LOOPBACK
        if self.endpoint.transport == "unix":
            host = str(self.endpoint.path)
        self.client = aiomqtt.Client(
            host, self.endpoint.port or 1, identifier=self.client_id,
            protocol={"3.1": aiomqtt.ProtocolVersion.V31, "3.1.1": aiomqtt.ProtocolVersion.V311,
                      "5.0": aiomqtt.ProtocolVersion.V5}[self.version],
            transport=Paho.TRANSPORTS[self.endpoint.transport], tls_context=tls_context(self.endpoint),
            websocket_path="/mqtt" if self.endpoint.transport in ("websocket", "wss") else None,
            will=aiomqtt.Will(*will) if will else None,
        )
        await self.client.__aenter__()
        self.reader = asyncio.ensure_future(self.read())

    async def read(self):
        try:
            async for message in self.client.messages:
                received = Paho.received(message)
                self.messages.append(received._replace(topic=str(message.topic)))
        except aiomqtt.MqttError:
            pass

    def subscribe(self, topic_filter, qos):
        self.run(self.client.subscribe(topic_filter, qos=qos))

    def publish(self, topic, payload, qos, retain=False, properties=None):
        self.run(
            self.client.publish(topic, payload, qos=qos, retain=retain, properties=Paho.properties(properties))
        )

    def drop(self):
        connection = self.client._client.socket()
        # Before the loop may close anything in good order; paho wraps the socket of a WebSocket.
        getattr(connection, "_socket", connection).shutdown(socket.SHUT_RDWR)
        self.stop_loop()

    def close(self):
        self.run(self.client.__aexit__(None, None, None))
        self.stop_loop()


class Gmqtt(Looped):
    """gmqtt, with a protocol implementation of its own; TCP and TLS, 3.1.1 and 5.0."""

    transports = ("tcp", "tls")
    versions = ("3.1.1", "5.0")

    async def start(self, will):
        message = gmqtt.Message(will[0], will[1], qos=will[2], retain=will[3]) if will else None
        self.client = gmqtt.Client(self.client_id, will_message=message)
        self.granted = set()
        self.client.on_message = self.on_message
        self.client.on_subscribe = lambda client, mid, *rest: self.granted.add(mid)
        host = "localhost" if self.endpoint.cafile else LOOPBACK
        await self.client.connect(
            host, self.endpoint.port, ssl=tls_context(self.endpoint) or False, version=5 if self.version == "5.0" else 4,
        )
        self.client.set_config({"reconnect_retries": 0})

    def on_message(self, client, topic, payload, qos, properties):
        found = {}
        for name in PROPERTIES:
            if value := properties.get(name):
                value = value[0] if isinstance(value, list) else value
                if name == "user_property":
                    value = tuple(value)
                elif name == "correlation_data" and isinstance(value, str):
                    value = value.encode()
                elif name != "correlation_data" and isinstance(value, bytes):
                    value = value.decode()
                found[name] = value
        self.messages.append(Received(topic, bytes(payload), qos, bool(properties.get("retain")), found))
        return 0

    def subscribe(self, topic_filter, qos):
        async def ask():
            return self.client.subscribe(topic_filter, qos=qos)

        mid = self.run(ask())
        wait_until(lambda: mid in self.granted, "gmqtt's SUBACK")

    def publish(self, topic, payload, qos, retain=False, properties=None):
        async def send():
            self.client.publish(topic, payload, qos=qos, retain=retain, **(properties or {}))

        self.run(send())

    def drop(self):
        async def abort():
            self.client._connection._transport.abort()

        self.run(abort())
        self.stop_loop()

    def close(self):
        self.run(self.client.disconnect())
        self.stop_loop()


class MosquittoTools(StockClient):
    """mosquitto_pub and mosquitto_sub: one process for each publish and each subscription."""

    transports = ("tcp", "tls", "unix")
    VERSIONS = {"3.1": "mqttv31", "3.1.1": "mqttv311", "5.0": "mqttv5"}
    # Fields that a version does not have stay empty.
    FORMAT = "message\t%t\t%q\t%r\t%C\t%R\t%D\t%P\t%p"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.processes = []
        self.will = None

    def place(self):
        words = ["-V", self.VERSIONS[self.version]]
        if self.endpoint.transport == "unix":
            return [*words, "--unix", self.endpoint.path]
        words += ["-h", "localhost" if self.endpoint.cafile else LOOPBACK, "-p", self.endpoint.port]
        return [*words, "--cafile", self.endpoint.cafile] if self.endpoint.transport == "tls" else words

    def open(self, will=None):
        self.will = will
        if will:
            # A will needs a connection that lasts: a subscriber's.
            self.subscribe(f"{self.client_id}/none", 0)
        return self

    def subscribe(self, topic_filter, qos):
        command = [
            "stdbuf", "-oL", "mosquitto_sub", *self.place(), "-i", self.client_id, "-t", topic_filter, "-q", qos, "-d",
            "-F", self.FORMAT,
        ]
        if self.will:
            topic, payload, will_qos, retain = self.will
            command += ["--will-topic", topic, "--will-payload", payload.decode(), "--will-qos", will_qos]
            command += ["--will-retain"] if retain else []
        process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        subscribed = threading.Event()
        self.processes.append(process)
        threading.Thread(target=self.read, args=(process, subscribed), daemon=True).start()
        assert subscribed.wait(DEADLINE_SECONDS) and process.poll() is None, "mosquitto_sub did not subscribe"

    def read(self, process, subscribed):
        for line in process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            if text.startswith("Subscribed"):
                subscribed.set()
            if not text.startswith("message\t"):
                continue
            _, topic, qos, retain, content, answer, correlation, user, payload = text.split("\t", 8)
            found = {}
            if content:
                found["content_type"] = content
            if answer:
                found["response_topic"] = answer
            if correlation:
                found["correlation_data"] = correlation.encode()
            if user:
                found["user_property"] = tuple(user.split(":", 1))
            self.messages.append(Received(topic, payload.encode(), int(qos), retain == "1", found))
        subscribed.set()

    def publish(self, topic, payload, qos, retain=False, properties=None):
        command = ["mosquitto_pub", *self.place(), "-t", topic, "-q", qos, "-m", payload.decode()]
        command += ["-r"] if retain else []
        if properties:
            for name, value in (
                ("content-type", [properties["content_type"]]), ("response-topic", [properties["response_topic"]]),
                ("correlation-data", [properties["correlation_data"].decode()]),
                ("user-property", properties["user_property"]),
            ):
                command += ["-D", "publish", name, *value]
        subprocess.run([str(word) for word in command], check=True, timeout=DEADLINE_SECONDS, capture_output=True)

    def drop(self):
        for process in self.processes:
            process.kill()
            process.wait(DEADLINE_SECONDS)

    def close(self):
        for process in self.processes:
            process.terminate()
            process.wait(DEADLINE_SECONDS)


CLIENTS = {"mosquitto_pub/_sub": MosquittoTools, "paho-mqtt": Paho, "aiomqtt": Aiomqtt, "gmqtt": Gmqtt}
