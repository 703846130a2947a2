"""Loads that are about connections: handshakes and memory. The clients are Python's own sockets and OpenSSL."""

import concurrent.futures
import os
import socket
import ssl
import time

from brokers import LOAD_CPU, Failure

CONNECTIONS = 1_000
HANDSHAKE_THREADS = 8
PATIENCE_SECONDS = 30
SETTLE_SECONDS = 1.0
DISCONNECT = b"\xe0\x00"


def connect_packet(name):
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name.encode()
    return bytes([0x10, len(body)]) + body


def receive(stream, count):
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            raise Failure("the broker closed a connection")
        data += part
    return data


def enter(stream, name):
    """CONNECT and CONNACK."""
    stream.sendall(connect_packet(name))
    answer = receive(stream, 4)
    if answer[0] != 0x20 or answer[3] != 0:
        raise Failure(f"the broker refused a connection: {answer.hex()}")


def client_context(bench):
    context = ssl.create_default_context(cafile=bench.tls["ca"])
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def handshakes(resumed):
    """Connects over and over with full or resumed handshakes. The figure is handshakes for each second of broker CPU:
    what one core of the broker can do, however slow the clients are."""
    def measure(bench, broker):
        context = client_context(bench)
        end = time.monotonic() + bench.seconds

        def one_client(number):
            os.sched_setaffinity(0, {LOAD_CPU})
            session, done = None, 0
            while time.monotonic() < end:
                plain = socket.create_connection(("127.0.0.1", broker.tls_port), PATIENCE_SECONDS)
                with context.wrap_socket(plain, server_hostname="localhost", session=session) as stream:
                    enter(stream, f"tls-{number}")
                    # The first connection of a client has nothing to resume.
                    if stream.session_reused == resumed:
                        done += 1
                    elif session is not None:
                        raise Failure("the broker did not resume a session")
                    # Tickets come after the handshake: by now they have been read with the CONNACK.
                    session = stream.session if resumed else None
                    stream.sendall(DISCONNECT)
            return done

        before = broker.processor_seconds()
        start = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(HANDSHAKE_THREADS) as pool:
            count = sum(pool.map(one_client, range(HANDSHAKE_THREADS)))
        seconds = time.monotonic() - start
        processor = broker.processor_seconds() - before
        return {"per_second": count / processor, "wall_per_second": count / seconds, "count": count}

    return measure


def idle_memory(bench, broker):
    """RSS of a fresh broker, and what 1,000 connections add to it, first plain, then TLS."""
    time.sleep(SETTLE_SECONDS)
    base = broker.resident_bytes()
    context = client_context(bench)
    held = []
    figures = {"base": base / 1e6}
    try:
        before = base
        for kind in ("plain", "tls"):
            for number in range(CONNECTIONS):
                port = broker.port if kind == "plain" else broker.tls_port
                stream = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
                if kind == "tls":
                    stream = context.wrap_socket(stream, server_hostname="localhost")
                held.append(stream)
                enter(stream, f"{kind}-{number}")
            time.sleep(SETTLE_SECONDS)
            after = broker.resident_bytes()
            figures[kind] = (after - before) / CONNECTIONS / 1024
            before = after
    finally:
        for stream in held:
            stream.close()
    return figures
