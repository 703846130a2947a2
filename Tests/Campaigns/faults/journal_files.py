"""The little of the journal's file format that campaigns have to write: the header that every file begins with."""

import struct

HEADER_BYTES = 64
HEADER_COPY_OFFSET = 2048


def _table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0x82F63B78 if value & 1 else value >> 1
        table.append(value)
    return table


_TABLE = _table()


def crc32c(data):
    """CRC-32C (Castagnoli), as the headers have it."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def with_version(data, version):
    """The file with another format version in its header, and in the header's copy."""
    data = bytearray(data)
    kind = bytes(data[:8])
    for offset in (0, HEADER_COPY_OFFSET):
        if bytes(data[offset:offset + 8]) != kind:
            continue
        data[offset + 8:offset + 12] = struct.pack("<I", version)
        checksum = crc32c(data[offset:offset + HEADER_BYTES - 4])
        data[offset + HEADER_BYTES - 4:offset + HEADER_BYTES] = struct.pack("<I", checksum)
    return bytes(data)
