"""A cloud broker that means harm: it answers a bridge with whatever the test says."""

import socket
import threading

from support.processes import LOOPBACK
from support.wire import packets as split

# Session not present, success, no properties.
CONNACK = b"\x20\x03\x00\x00\x00"


class HostileServer:
    """Listens on loopback; says `opening` after the first bytes of a connection, and `script`'s answers to packets."""

    def __init__(self, opening, script=None):
        self.opening = opening
        self.script = script
        self.connections = 0
        self.subscriptions = 0
        self.received = []
        self.socket = socket.create_server((LOOPBACK, 0))
        self.port = self.socket.getsockname()[1]
        self.is_open = True
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.is_open = False
        self.socket.close()

    def accept(self):
        while self.is_open:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self.serve, args=(connection,), daemon=True)
            thread.start()

    def serve(self, connection):
        with connection:
            connection.settimeout(60)
            try:
                first = connection.recv(65536)
                if not first:
                    return
                for piece in self.opening:
                    connection.sendall(piece)
                if self.script is None:
                    # What the bridge says is read for a while, then the door is shut on it.
                    connection.settimeout(2)
                    while connection.recv(65536):
                        pass
                    return
                while data := connection.recv(65536):
                    for kind, body in split(data):
                        self.received.append((kind, body))
                        self.subscriptions += kind == 0x82
                        answer = self.script(kind, body)
                        if answer is not None:
                            connection.sendall(answer)
            except (OSError, IndexError):
                return
