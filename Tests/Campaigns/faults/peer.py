"""An MQTT client that keeps its side of the standard over any number of connections, many of them in one thread.

What it sends is numbered, what it received is counted, and its session (unanswered messages, QoS 2 identifiers) outlives
a connection as [MQTT-4.4.0-1] wants it. So whatever is lost or there twice is the broker's doing.
"""

import collections
import selectors
import socket
import time
import zlib

from support.processes import DEADLINE_SECONDS, LOOPBACK
from support.wire import connect, packet, text

QUOTA_EXCEEDED = 0x97
FILLER = b"\xa5" * 65536


class Broken(Exception):
    """A peer did what it must not, or did not do what it must."""


def payload(publisher, number, size=64):
    """A message that proves its own integrity."""
    head = b"%s:%d:" % (publisher.encode(), number)
    body = head + FILLER[:max(0, size - len(head) - 8)]
    return b"%08x" % zlib.crc32(body) + body


def parse(data):
    """The publisher and number of a payload, or None if it is damaged."""
    data = bytes(data)
    if len(data) < 8 or b"%08x" % zlib.crc32(data[8:]) != data[:8]:
        return None
    publisher, number, _ = data[8:].split(b":", 2)
    return publisher.decode(), int(number)


class Peer:
    """A client. Subclasses hear of messages and answers."""

    def __init__(self, name, version=4, clean=False, will=None):
        self.name = name
        self.version = version
        self.clean = clean
        self.will = will
        self.socket = None
        self.session_present = None
        self.refused = None
        self.disconnect_reason = None
        self.pings = 0
        self.granted = {}
        # The session: packet id → [flags and body of the PUBLISH, QoS, token, whether PUBREC came], in order.
        self.unanswered = collections.OrderedDict()
        self.taken = set()
        self.next_id = 1
        self._in = bytearray()
        self._out = bytearray()

    # What subclasses hear.

    def received(self, topic, body, qos, retain, duplicate):
        """A message, once for each time that the application would be given it."""

    def answered(self, token, reason):
        """A published message is acknowledged (QoS 1: PUBACK, QoS 2: PUBREC), or refused with a reason of 0x80 on."""

    def connected(self):
        """CONNACK has come."""

    # Connections.

    @property
    def is_connected(self):
        return self.socket is not None and self.session_present is not None

    def open(self, port):
        """Begins a connection; CONNACK comes later."""
        self.socket = socket.create_connection((LOOPBACK, port), timeout=DEADLINE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._in.clear()
        self._out.clear()
        self.session_present = None
        self.disconnect_reason = None
        self._send(self._connect())

    def _connect(self):
        expiry = b"\x05\x11\xff\xff\xff\xff" if not self.clean else b"\x00"
        flags = 0x02 if self.clean else 0
        if self.will is None:
            return connect(self.name, self.version, flags, 600, properties=expiry)
        topic, body, qos = self.will
        rest = text("MQTT") + bytes([self.version, flags | 0x04 | qos << 3]) + (600).to_bytes(2, "big")
        rest += expiry if self.version >= 5 else b""
        rest += text(self.name) + (b"\x00" if self.version >= 5 else b"") + text(topic) + text(body)
        return packet(0x10, rest)

    def drop(self):
        """Closes without a word."""
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def leave(self):
        """DISCONNECT, and the connection ends."""
        if self.socket is None:
            return
        self._send(b"\xe0\x00")
        self.socket.setblocking(True)
        self.socket.settimeout(DEADLINE_SECONDS)
        try:
            self.socket.sendall(self._out)
        except OSError:
            pass
        self.drop()

    # Sending.

    def _identifier(self):
        while self.next_id in self.unanswered:
            self.next_id = self.next_id % 65535 + 1
        identifier = self.next_id
        self.next_id = identifier % 65535 + 1
        return identifier

    def publish(self, topic, body, qos, token=None, retain=False):
        if qos == 0:
            properties = b"\x00" if self.version >= 5 else b""
            self._send(packet(0x30 | retain, text(topic) + properties + body))
            return None
        identifier = self._identifier()
        properties = b"\x00" if self.version >= 5 else b""
        body = text(topic) + identifier.to_bytes(2, "big") + properties + body
        self.unanswered[identifier] = [qos << 1 | retain, body, qos, token, False]
        if self.socket is not None:
            self._send(packet(0x30 | qos << 1 | retain, body))
        return identifier

    def subscribe(self, topic_filter, qos):
        identifier = self._identifier()
        properties = b"\x00" if self.version >= 5 else b""
        self._send(packet(0x82, identifier.to_bytes(2, "big") + properties + text(topic_filter) + bytes([qos])))
        return identifier

    def ping(self):
        self._send(b"\xc0\x00")

    def _send(self, data):
        self._out += data

    def _answer(self, first, identifier, reason=0):
        body = identifier.to_bytes(2, "big")
        if reason and self.version >= 5:
            body += bytes([reason])
        self._send(packet(first, body))

    # Receiving.

    def flush(self):
        """Sends what the socket takes. False if the connection is gone."""
        while self._out and self.socket is not None:
            try:
                sent = self.socket.send(self._out)
            except BlockingIOError:
                return True
            except OSError:
                self.drop()
                return False
            del self._out[:sent]
        return self.socket is not None

    def pump(self):
        """Reads what is there. False if the connection is gone."""
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.drop()
            return False
        self._in += data
        self._parse()
        return self.socket is not None

    def _parse(self):
        buffer, position, end = self._in, 0, len(self._in)
        while True:
            length, shift, index = 0, 0, position + 1
            while index < end:
                digit = buffer[index]
                index += 1
                length |= (digit & 0x7F) << shift
                shift += 7
                if digit < 0x80:
                    break
            else:
                break
            if index + length > end:
                break
            self._packet(buffer[position], memoryview(bytes(buffer[index:index + length])))
            position = index + length
            if self.socket is None:
                return
        del buffer[:position]

    def _packet(self, first, body):
        kind = first >> 4
        if kind == 3:
            self._received(first, body)
        elif kind in (4, 5, 6, 7):
            identifier = body[0] << 8 | body[1]
            reason = body[2] if len(body) > 2 else 0
            (self._puback, self._pubrec, self._pubrel, self._pubcomp)[kind - 4](identifier, reason)
        elif kind == 2:
            if body[1]:
                self.refused = body[1]
                self.drop()
                return
            self.session_present = bool(body[0] & 1)
            self._resume()
            self.connected()
        elif kind == 9:
            self.granted[body[0] << 8 | body[1]] = body[-1]
        elif kind == 13:
            self.pings += 1
        elif kind == 14:
            self.disconnect_reason = body[0] if len(body) else 0

    def _resume(self):
        if not self.session_present:
            # The other side knows nothing of the exchanges any more: PUBREL would release nothing.
            self.taken.clear()
        for identifier, (flags, body, qos, token, is_received) in list(self.unanswered.items()):
            if is_received:
                self._answer(0x62, identifier)
            else:
                self._send(packet(0x38 | flags, body))

    def _received(self, first, body):
        qos = first >> 1 & 3
        size = body[0] << 8 | body[1]
        topic = str(body[2:2 + size], "utf-8")
        index = 2 + size
        identifier = 0
        if qos:
            identifier = body[index] << 8 | body[index + 1]
            index += 2
        if self.version >= 5:
            index += 1 + body[index]
        if qos == 2:
            self._answer(0x50, identifier)
            if identifier in self.taken:
                return
            self.taken.add(identifier)
        self.received(topic, body[index:], qos, bool(first & 1), bool(first & 8))
        if qos == 1:
            self._answer(0x40, identifier)

    def _puback(self, identifier, reason):
        sent = self.unanswered.pop(identifier, None)
        if sent is None:
            raise Broken(f"{self.name}: PUBACK for {identifier}, which is not on its way")
        self.answered(sent[3], reason)

    def _pubrec(self, identifier, reason):
        sent = self.unanswered.get(identifier)
        if sent is None:
            self._answer(0x62, identifier, 0x92)
            return
        if reason >= 0x80:
            del self.unanswered[identifier]
            self.answered(sent[3], reason)
            return
        if not sent[4]:
            sent[4] = True
            self.answered(sent[3], reason)
        self._answer(0x62, identifier)

    def _pubrel(self, identifier, reason):
        self.taken.discard(identifier)
        self._answer(0x70, identifier)

    def _pubcomp(self, identifier, reason):
        self.unanswered.pop(identifier, None)

    # Called in every round of the loop, to keep a window full.

    def fill(self):
        pass


def run(peers, until, seconds=DEADLINE_SECONDS, what="", check=True):
    """Lets peers talk until the condition holds. Fails at the deadline, unless told to return False."""
    deadline = time.monotonic() + seconds
    while True:
        if until():
            return True
        now = time.monotonic()
        if now > deadline:
            if check:
                raise Broken(f"not within {seconds:.0f} s: {what or until}")
            return False
        with selectors.DefaultSelector() as selector:
            for peer in peers:
                if peer.socket is None:
                    continue
                if peer.is_connected:
                    peer.fill()
                if not peer.flush():
                    continue
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer._out else 0)
                selector.register(peer.socket, events, peer)
            if not selector.get_map():
                time.sleep(0.005)
                continue
            for key, events in selector.select(min(0.02, deadline - now)):
                if events & selectors.EVENT_READ:
                    key.data.pump()


def connect_all(peers, port, seconds=DEADLINE_SECONDS):
    """Connects peers and waits for every CONNACK."""
    for peer in peers:
        peer.open(port)
    run(peers, lambda: all(peer.is_connected or peer.socket is None for peer in peers), seconds, "CONNACKs")
    for peer in peers:
        if peer.socket is None:
            raise Broken(f"{peer.name}: the connection was refused ({peer.refused}) or cut")


def subscribe_all(peer, filters, seconds=DEADLINE_SECONDS):
    """Subscribes to (filter, QoS) pairs and waits for the answers."""
    identifiers = [peer.subscribe(topic_filter, qos) for topic_filter, qos in filters]
    run([peer], lambda: all(i in peer.granted for i in identifiers), seconds, f"{peer.name}: SUBACK")
    if any(peer.granted[i] >= 0x80 for i in identifiers):
        raise Broken(f"{peer.name}: a subscription was refused")


def hear_out(peers, seconds=2.0):
    """Reads what is left in the sockets of a broker that does not write any more: what it said, it said."""
    quiet = time.monotonic() + seconds
    while any(peer.socket is not None for peer in peers) and time.monotonic() < quiet:
        ready = False
        for peer in peers:
            if peer.socket is None:
                continue
            try:
                peer.socket.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                continue
            except OSError:
                pass
            ready = True
            peer.pump()
        if not ready:
            return
