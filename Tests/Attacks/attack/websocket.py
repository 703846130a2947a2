"""WebSocket by hand: the upgrade, frames right and wrong, and MQTT in them."""

import base64
import hashlib
import os
import struct

from .peer import Closed, Peer

BINARY, TEXT, CONTINUATION, CLOSE, PING, PONG = 2, 1, 0, 8, 9, 10


class Upgrade:
    """The answer to an upgrade."""

    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1]) if lines and lines[0].startswith("HTTP/1") else 0
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()

    @property
    def is_accepted(self):
        return self.status == 101


def request(path="/mqtt", headers=(), protocol="mqtt", host="localhost"):
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
    ]
    if protocol:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    lines += headers
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), accept


def frame(data, opcode=BINARY, final=True, masked=True, reserved=0, length=None):
    """A frame of a client. `length` overrules the length that would be right."""
    size = len(data) if length is None else length
    first = (0x80 if final else 0) | reserved << 4 | opcode
    flag = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, flag | size])
    elif size < 65536:
        head = bytes([first, flag | 126]) + struct.pack(">H", size)
    else:
        head = bytes([first, flag | 127]) + struct.pack(">Q", size)
    if not masked:
        return head + data
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


def read_head(peer, seconds=20):
    """Reads the answer's head from a connection; what follows it stays in the buffer."""
    while b"\r\n\r\n" not in peer.buffer:
        if not peer.wait_readable(seconds):
            raise AssertionError("no answer to the request")
        peer.fill()
    head, _, peer.buffer = peer.buffer.partition(b"\r\n\r\n")
    return Upgrade(head)


def ask(port, path="/mqtt", headers=(), protocol="mqtt", context=None):
    """Asks for an upgrade and closes: the answer, or None when closed without one."""
    with Peer(port, context=context) as peer:
        try:
            peer.send(request(path, headers, protocol)[0])
            return read_head(peer)
        except Closed:
            return None


class WebSocketPeer(Peer):
    """MQTT over WebSocket. `cut` splits what is sent into frames: a function from bytes to a list of pieces."""

    def __init__(self, port, path="/mqtt", headers=(), cut=None, **options):
        self.frames = b""
        self.cut = cut
        self.is_open = False
        self.close_code = None
        super().__init__(port, **options)
        head, accept = request(path, headers)
        super().write(head)
        self.upgrade = read_head(self)
        assert self.upgrade.is_accepted, f"refused with {self.upgrade.status}"
        assert self.upgrade.headers.get("sec-websocket-accept") == accept
        self.is_open = True
        rest, self.buffer = self.buffer, b""
        self.take(rest)

    def write(self, data):
        for piece in self.cut(data) if self.cut else [data]:
            super().write(frame(piece))

    def send_raw(self, data):
        """Bytes as they are, without a frame around them."""
        super().write(data)
        return self

    def take(self, chunk):
        if not self.is_open:
            self.buffer += chunk
            return
        self.frames += chunk
        while len(self.frames) >= 2:
            size, index = self.frames[1] & 0x7F, 2
            if size == 126:
                size, index = int.from_bytes(self.frames[2:4], "big"), 4
            elif size == 127:
                size, index = int.from_bytes(self.frames[2:10], "big"), 10
            assert not self.frames[1] & 0x80, "a server does not mask"
            if len(self.frames) < index + size:
                return
            opcode, body = self.frames[0] & 0x0F, self.frames[index:index + size]
            self.frames = self.frames[index + size:]
            if opcode in (BINARY, CONTINUATION):
                self.buffer += body
            elif opcode == CLOSE:
                self.close_code = int.from_bytes(body[:2], "big") if body else None
