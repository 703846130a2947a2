"""MQTT packets by hand, right and wrong ones: what a hostile client puts on the wire."""

from support.wire import packet, text

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 0x10, 0x20, 0x30, 0x40, 0x50, 0x62, 0x70
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP = 0x82, 0x90, 0xA2, 0xB0, 0xC0, 0xD0
DISCONNECT, AUTH = 0xE0, 0xF0

V31, V311, V5 = 3, 4, 5


def varint(value):
    """A variable byte integer, with as many bytes as it takes."""
    data = b""
    while True:
        value, digit = divmod(value, 128)
        data += bytes([digit | (0x80 if value else 0)])
        if not value:
            return data


def word(value):
    return value.to_bytes(2, "big")


def long(value):
    return value.to_bytes(4, "big")


def prop(identifier, value):
    """One property: its identifier and the bytes of its value."""
    return varint(identifier) + value


def user(name, value):
    return prop(0x26, text(name) + text(value))


def properties(*items):
    """A property block with a right length."""
    body = b"".join(items)
    return varint(len(body)) + body


def session_expiry(seconds):
    return prop(0x11, long(seconds))


def receive_maximum(count):
    return prop(0x21, word(count))


def topic_alias(number):
    return prop(0x23, word(number))


def will_delay(seconds):
    return prop(0x18, long(seconds))


class Will:
    """A will of a CONNECT."""

    def __init__(self, topic, payload=b"gone", qos=0, retain=False, items=()):
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.items = items


def connect(client_id="", version=V5, clean=True, keep_alive=60, items=(), will=None, username=None, password=None,
            flags=None, name=None, block=None):
    """A CONNECT. `flags` and `block` overrule the connect flags and the property block that would be right."""
    bits = 0x02 if clean else 0
    payload = text(client_id)
    if will is not None:
        bits |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
        payload += properties(*will.items) if version == V5 else b""
        payload += text(will.topic) + text(will.payload)
    if username is not None:
        bits |= 0x80
        payload += text(username)
    if password is not None:
        bits |= 0x40
        payload += text(password)
    name = name if name is not None else ("MQIsdp" if version == V31 else "MQTT")
    head = text(name) + bytes([version, bits if flags is None else flags]) + word(keep_alive)
    if version == V5:
        head += properties(*items) if block is None else block
    return packet(CONNECT, head + payload)


def publish(topic, payload=b"", qos=0, retain=False, packet_id=None, items=(), version=V5, block=None, duplicate=False):
    if isinstance(payload, str):
        payload = payload.encode()
    first = PUBLISH | qos << 1 | (1 if retain else 0) | (8 if duplicate else 0)
    body = text(topic)
    if qos or packet_id is not None:
        body += word(1 if packet_id is None else packet_id)
    if version == V5:
        body += properties(*items) if block is None else block
    return packet(first, body + payload)


def subscribe(*filters, packet_id=1, options=0, items=(), version=V5, block=None):
    """A SUBSCRIBE; each filter is a text, or a pair of text and options."""
    body = word(packet_id)
    if version == V5:
        body += properties(*items) if block is None else block
    for entry in filters:
        topic_filter, option = entry if isinstance(entry, tuple) else (entry, options)
        body += text(topic_filter) + bytes([option])
    return packet(SUBSCRIBE, body)


def unsubscribe(*filters, packet_id=1, version=V5, block=b"\x00"):
    body = word(packet_id) + (block if version == V5 else b"")
    return packet(UNSUBSCRIBE, body + b"".join(text(topic_filter) for topic_filter in filters))


def acknowledgement(first, packet_id, reason=None, block=None):
    """PUBACK, PUBREC, PUBREL or PUBCOMP."""
    body = word(packet_id) + (bytes([reason]) if reason is not None else b"") + (block or b"")
    return packet(first, body)


def disconnect(reason=None, block=None):
    return packet(DISCONNECT, (bytes([reason]) if reason is not None else b"") + (block or b""))


def auth(reason=0x18, block=b"\x00"):
    return packet(AUTH, bytes([reason]) + block)


class Reader:
    """Takes bytes apart again."""

    def __init__(self, data):
        self.data = data
        self.index = 0

    def take(self, count):
        piece = self.data[self.index:self.index + count]
        assert len(piece) == count, f"the broker's own packet is short: {self.data.hex()}"
        self.index += count
        return piece

    def byte(self):
        return self.take(1)[0]

    def word(self):
        return int.from_bytes(self.take(2), "big")

    def long(self):
        return int.from_bytes(self.take(4), "big")

    def varint(self):
        value, shift = 0, 0
        while True:
            digit = self.byte()
            value |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                return value

    def text(self):
        return self.take(self.word())

    @property
    def rest(self):
        return self.data[self.index:]

    @property
    def is_empty(self):
        return self.index >= len(self.data)

    def properties(self):
        """The block as a dictionary from identifier to the list of its values."""
        block = Reader(self.take(self.varint()))
        found = {}
        while not block.is_empty:
            identifier = block.varint()
            if identifier in (0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A):
                value = block.byte()
            elif identifier in (0x13, 0x21, 0x22, 0x23):
                value = block.word()
            elif identifier in (0x02, 0x11, 0x18, 0x27):
                value = block.long()
            elif identifier == 0x0B:
                value = block.varint()
            elif identifier == 0x26:
                value = (block.text(), block.text())
            else:
                value = block.text()
            found.setdefault(identifier, []).append(value)
        return found


class Message:
    """A PUBLISH that the broker sent."""

    def __init__(self, first, body, version):
        reader = Reader(body)
        self.qos = first >> 1 & 3
        self.retain = bool(first & 1)
        self.duplicate = bool(first & 8)
        self.topic = reader.text().decode(errors="surrogateescape")
        self.packet_id = reader.word() if self.qos else None
        self.properties = reader.properties() if version == V5 else {}
        self.payload = reader.rest

    def __repr__(self):
        return f"Message({self.topic!r}, {self.payload[:40]!r}, qos={self.qos}, retain={self.retain})"
