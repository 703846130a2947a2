"""MQTT bytes by hand, for what no client library would send."""

import socket

from .processes import DEADLINE_SECONDS, LOOPBACK


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(2, "big") + data


def packet(first_byte, body=b""):
    """A packet with a right remaining length."""
    length, rest = b"", len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length += bytes([digit | (0x80 if rest else 0)])
        if not rest:
            return bytes([first_byte]) + length + body


def connect(client_id, version=5, flags=0x02, keep_alive=60, name="MQTT", properties=b"\x00"):
    body = text(name) + bytes([version, flags]) + keep_alive.to_bytes(2, "big")
    body += properties if version >= 5 else b""
    return packet(0x10, body + text(client_id))


def publish(topic, payload=b"", flags=0, packet_id=None, properties=b"\x00"):
    body = text(topic) + (packet_id.to_bytes(2, "big") if packet_id is not None else b"")
    return packet(0x30 | flags, body + properties + payload)


def converse(port, data, close_write=False):
    """Sends bytes and reads until the other side closes; returns what it said."""
    answer = b""
    with socket.create_connection((LOOPBACK, port), timeout=DEADLINE_SECONDS) as connection:
        try:
            connection.sendall(data)
            if close_write:
                connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                answer += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
    return answer


def packets(data):
    """Splits bytes into (first byte, body) pairs."""
    found = []
    while data:
        length, shift, index = 0, 0, 1
        while True:
            digit = data[index]
            length |= (digit & 0x7F) << shift
            shift += 7
            index += 1
            if not digit & 0x80:
                break
        found.append((data[0], data[index:index + length]))
        data = data[index + length:]
    return found
