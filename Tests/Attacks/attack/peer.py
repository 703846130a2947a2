"""A client of bare sockets: it sends whatever it is told, and reads packets with a deadline."""

import os
import select
import socket
import ssl
import time

from support.processes import LOOPBACK

from . import packets
from .packets import V5, Message, Reader

# How long an answer may take on a busy machine; only a failing test waits this long.
ANSWER_SECONDS = float(os.environ.get("ANSWER_SECONDS", 30))
BYSTANDER_TOPICS = "bystander/"


class Closed(Exception):
    """The broker has closed the connection."""


def tls_context(files, with_certificate=True, minimum=ssl.TLSVersion.TLSv1_2, maximum=None):
    context = ssl.create_default_context(cafile=files["cafile"])
    context.check_hostname = False
    context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    if with_certificate and "certfile" in files:
        context.load_cert_chain(files["certfile"], files["keyfile"])
    return context


def ready(connection, events, seconds):
    """Whether a socket can be read, and whether it can be written, at the latest after so many seconds."""
    poll = select.poll()
    poll.register(connection, events)
    found = sum(event for _, event in poll.poll(max(0, seconds) * 1000))
    return bool(found & ~select.POLLOUT), bool(found & select.POLLOUT)


class Connack:
    def __init__(self, body, version):
        reader = Reader(body)
        self.session_present = bool(reader.byte() & 1)
        self.reason = reader.byte()
        self.properties = reader.properties() if version == V5 and not reader.is_empty else {}


class Peer:
    """One connection. Everything read is kept in `messages` (PUBLISH) or handed out in order (`receive`)."""

    def __init__(self, port, version=V5, source=None, context=None, path=None, host=LOOPBACK, seconds=ANSWER_SECONDS):
        self.version = version
        self.buffer = b""
        self.messages = []
        self.closed = False
        # Acknowledges what it is sent, as a well-behaved client does.
        self.acknowledges = True
        # Whoever subscribes to everything also gets what the bystander sends itself.
        self.hears_bystander = False
        if path is not None:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(seconds)
            self.socket.connect(str(path))
        else:
            address = (source, 0) if source else None
            self.socket = socket.create_connection((host, port), timeout=seconds, source_address=address)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Closes without DISCONNECT, as a device whose power fails."""
        self.closed = True
        self.socket.close()

    def leave(self):
        """DISCONNECT, then closes."""
        try:
            self.send(packets.disconnect())
            self.socket.shutdown(socket.SHUT_WR)
            self.rest(5)
        except (OSError, Closed):
            pass
        self.close()

    def send(self, data):
        self.write(data)
        return self

    def write(self, data):
        """Writes everything; what arrives meanwhile is read, so that neither side stands still."""
        try:
            if isinstance(self.socket, ssl.SSLSocket):
                self.socket.sendall(data)
                return
            view = memoryview(data)
            while view:
                readable, writable = ready(self.socket, select.POLLIN | select.POLLOUT, ANSWER_SECONDS)
                if not readable and not writable:
                    raise AssertionError("the broker reads nothing and says nothing")
                if readable:
                    self.fill()
                if writable:
                    view = view[self.socket.send(view[:65536]):]
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            raise Closed from None

    def fill(self):
        try:
            chunk = self.socket.recv(262144)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
            chunk = b""
        if not chunk:
            self.closed = True
            raise Closed
        self.take(chunk)

    def take(self, chunk):
        self.buffer += chunk

    def split(self):
        """The first whole packet of the buffer, or None."""
        length, shift, index = 0, 0, 1
        while True:
            if index >= len(self.buffer):
                return None
            digit = self.buffer[index]
            length |= (digit & 0x7F) << shift
            shift += 7
            index += 1
            if not digit & 0x80:
                break
        if len(self.buffer) < index + length:
            return None
        first, body = self.buffer[0], self.buffer[index:index + length]
        self.buffer = self.buffer[index + length:]
        return first, body

    def wait_readable(self, seconds):
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        return ready(self.socket, select.POLLIN, seconds)[0]

    def receive(self, seconds=ANSWER_SECONDS):
        """The next packet as (first byte, body); None at the deadline; Closed when the broker has closed."""
        deadline = time.monotonic() + seconds
        while (found := self.split()) is None:
            if self.closed:
                raise Closed
            if not self.wait_readable(deadline - time.monotonic()):
                return None
            self.fill()
        return found

    def step(self, seconds):
        """Reads one packet; keeps a PUBLISH (acknowledged if this client does so), returns anything else."""
        found = self.receive(seconds)
        if found is None:
            return None
        first, body = found
        if first & 0xF0 == packets.PUBLISH:
            message = Message(first, body, self.version)
            if self.hears_bystander or not message.topic.startswith(BYSTANDER_TOPICS):
                self.messages.append(message)
            if self.acknowledges and message.qos:
                kind = packets.PUBACK if message.qos == 1 else packets.PUBREC
                self.send(packets.acknowledgement(kind, message.packet_id))
            return message
        if first == packets.PUBREL and self.acknowledges:
            self.send(packets.acknowledgement(packets.PUBCOMP, int.from_bytes(body[:2], "big")))
        return found

    def expect(self, *firsts, seconds=ANSWER_SECONDS):
        """The body of the next packet of one of these types; PUBLISH packets on the way are kept."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.step(deadline - time.monotonic())
            if found is None:
                raise AssertionError(f"no {', '.join(f'{first:#x}' for first in firsts)} within {seconds} s")
            if isinstance(found, tuple) and found[0] in firsts:
                return found[1]

    def rest(self, seconds=ANSWER_SECONDS):
        """Everything until the broker closes, as (first byte, body); fails when it does not close in time."""
        found = []
        deadline = time.monotonic() + seconds
        while True:
            try:
                one = self.receive(deadline - time.monotonic())
            except Closed:
                return found
            if one is None:
                raise AssertionError(f"not closed within {seconds} s; it said {found[-3:]}")
            found.append(one)

    def verdict(self, seconds=ANSWER_SECONDS):
        """Reads until the close; the reason code of the last CONNACK or DISCONNECT, None when closed in silence."""
        reason = None
        for first, body in self.rest(seconds):
            if first == packets.CONNACK:
                reason = body[1]
            elif first == packets.DISCONNECT:
                reason = body[0] if body else 0
        return reason

    def connect(self, client_id="", **options):
        """CONNECT and its answer, whatever that is."""
        self.send(packets.connect(client_id, version=self.version, **options))
        first, body = self.receive() or (None, b"")
        assert first == packets.CONNACK, f"no CONNACK but {first}"
        return Connack(body, self.version)

    def enter(self, client_id="", **options):
        """CONNECT that must be let in."""
        connack = self.connect(client_id, **options)
        assert connack.reason == 0, f"refused with {connack.reason:#x}"
        return self

    def subscribe(self, *filters, **options):
        """The reason codes of the SUBACK."""
        self.send(packets.subscribe(*filters, version=self.version, **options))
        body = self.expect(packets.SUBACK)
        reader = Reader(body)
        reader.word()
        if self.version == V5:
            reader.properties()
        return list(reader.rest)

    def unsubscribe(self, *filters, packet_id=1):
        self.send(packets.unsubscribe(*filters, packet_id=packet_id, version=self.version))
        body = self.expect(packets.UNSUBACK)
        reader = Reader(body)
        reader.word()
        if self.version == V5:
            reader.properties()
        return list(reader.rest)

    def publish(self, topic, payload=b"", qos=1, packet_id=1, **options):
        """Publishes and waits for the acknowledgement; its reason code (0 below 5.0)."""
        self.send(packets.publish(topic, payload, qos, packet_id=packet_id if qos else None,
                                  version=self.version, **options))
        if qos == 0:
            return 0
        body = self.expect(packets.PUBACK if qos == 1 else packets.PUBREC)
        reason = body[2] if len(body) > 2 else 0
        if qos == 2 and reason < 0x80:
            self.send(packets.acknowledgement(packets.PUBREL, packet_id))
            self.expect(packets.PUBCOMP)
        return reason

    def ping(self, seconds=ANSWER_SECONDS):
        """PINGREQ and its answer: what was sent before has been dealt with."""
        self.send(packets.packet(packets.PINGREQ))
        self.expect(packets.PINGRESP, seconds=seconds)

    def wait_messages(self, count, seconds=ANSWER_SECONDS):
        deadline = time.monotonic() + seconds
        while len(self.messages) < count:
            left = deadline - time.monotonic()
            if self.step(left) is None and time.monotonic() >= deadline:
                raise AssertionError(f"{len(self.messages)} of {count} messages within {seconds} s")
        return self.messages

    def drain(self, quiet=0.3):
        """Reads until nothing has come for so long, the bystander's messages aside; what came is in `messages`."""
        deadline = time.monotonic() + quiet
        try:
            while (found := self.step(deadline - time.monotonic())) is not None:
                if not (isinstance(found, Message) and found.topic.startswith(BYSTANDER_TOPICS)):
                    deadline = time.monotonic() + quiet
        except Closed:
            pass
        return self.messages

    @property
    def payloads(self):
        return [message.payload for message in self.messages]


def closes(port, data, seconds=ANSWER_SECONDS, version=V5, **options):
    """Sends bytes on a new connection and reads to the close: (reason code or None, seconds it took)."""
    started = time.monotonic()
    with Peer(port, version, **options) as peer:
        try:
            peer.send(data)
        except Closed:
            pass
        return peer.verdict(seconds), time.monotonic() - started


def after_connect(port, data, seconds=ANSWER_SECONDS, version=V5, client_id="hostile", **options):
    """CONNECT properly, then send bytes and read to the close: the reason code of the DISCONNECT, None for none."""
    with Peer(port, version) as peer:
        peer.enter(client_id, **options)
        try:
            peer.send(data)
        except Closed:
            pass
        return peer.verdict(seconds)
