"""Very many connections in one thread."""

import errno
import selectors
import socket
import time

from support.processes import LOOPBACK


def loopback_addresses(count):
    """Addresses of this machine that look like different clients."""
    return [f"127.0.0.{number}" for number in range(2, 2 + count)]


class Crowd:
    """Connections that send the same and are watched for their end. Those that are refused count as closed."""

    def __init__(self, port, count, sources=(LOOPBACK,), host=LOOPBACK):
        self.selector = selectors.DefaultSelector()
        self.open = set()
        self.refused = 0
        self.received = {}
        for number in range(count):
            connection = socket.socket()
            try:
                connection.bind((sources[number % len(sources)], 0))
                connection.settimeout(20)
                connection.connect((host, port))
            except OSError:
                connection.close()
                self.refused += 1
                continue
            connection.setblocking(False)
            self.open.add(connection)
            self.selector.register(connection, selectors.EVENT_READ)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in list(self.open):
            self.forget(connection)
        self.selector.close()

    def forget(self, connection):
        self.open.discard(connection)
        try:
            self.selector.unregister(connection)
        except (KeyError, ValueError):
            pass
        connection.close()

    def send_to_all(self, data, seconds=60):
        """Sends the bytes on every connection, as far as each takes them."""
        waiting = {connection: memoryview(data) for connection in self.open}
        deadline = time.monotonic() + seconds
        while waiting and time.monotonic() < deadline:
            for connection, view in list(waiting.items()):
                try:
                    rest = view[connection.send(view):]
                except BlockingIOError:
                    continue
                except OSError:
                    self.forget(connection)
                    waiting.pop(connection)
                    continue
                if rest:
                    waiting[connection] = rest
                else:
                    waiting.pop(connection)
            self.look(0)
            waiting = {connection: view for connection, view in waiting.items() if connection in self.open}
        return len(waiting)

    def look(self, seconds):
        """Reads what has come; forgets who has been closed."""
        for key, _ in self.selector.select(seconds):
            connection = key.fileobj
            try:
                data = connection.recv(65536)
            except BlockingIOError:
                continue
            except OSError as error:
                assert error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT), error
                data = b""
            if data:
                self.received[connection] = self.received.get(connection, b"") + data
            else:
                self.forget(connection)

    def settle(self, quiet=1.0):
        """Reads until nobody has been closed for so long."""
        while True:
            before = len(self.open)
            deadline = time.monotonic() + quiet
            while time.monotonic() < deadline:
                self.look(0.1)
            if len(self.open) == before:
                return before

    def wait_closed(self, seconds, keep=0):
        """Waits until at most so many are open; returns how many are."""
        deadline = time.monotonic() + seconds
        while len(self.open) > keep and time.monotonic() < deadline:
            self.look(0.2)
        return len(self.open)
