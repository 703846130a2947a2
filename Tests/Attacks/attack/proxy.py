"""A link that understands enough MQTT to be cut at the worst moment."""

import socket
import threading

from support.processes import LOOPBACK


class CuttingProxy:
    """Forwards to a port on loopback; resets both sides instead of passing on certain packets, so many times."""

    def __init__(self, port, cut_on, cuts):
        self.target = port
        self.cut_on = cut_on
        self.left = cuts
        self.done = 0
        self.lock = threading.Lock()
        self.socket = socket.create_server((LOOPBACK, 0))
        self.port = self.socket.getsockname()[1]
        self.is_open = True
        # Every other hand-shake passes, so that there is progress between two cuts.
        self.passes_next = False
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.is_open = False
        self.socket.close()

    def accept(self):
        while self.is_open:
            try:
                client, _ = self.socket.accept()
                server = socket.create_connection((LOOPBACK, self.target), timeout=10)
            except OSError:
                if not self.is_open:
                    return
                client.close()
                continue
            server.settimeout(None)
            threading.Thread(target=self.forward, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self.forward, args=(server, client, False), daemon=True).start()

    def wants_cut(self, first):
        with self.lock:
            if first & 0xF0 != self.cut_on or self.left == 0:
                return False
            self.passes_next = not self.passes_next
            if not self.passes_next:
                return False
            self.left -= 1
            self.done += 1
            return True

    def forward(self, origin, destination, looks):
        data = b""
        try:
            while chunk := origin.recv(65536):
                if not looks:
                    destination.sendall(chunk)
                    continue
                data += chunk
                while (size := packet_size(data)) is not None and len(data) >= size:
                    if self.wants_cut(data[0]):
                        return
                    destination.sendall(data[:size])
                    data = data[size:]
        except OSError:
            pass
        finally:
            for one in (origin, destination):
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                one.close()


def packet_size(data):
    """The size of the first packet, or None while that is not known."""
    length, shift = 0, 0
    for index in range(1, min(5, len(data))):
        length |= (data[index] & 0x7F) << shift
        shift += 7
        if not data[index] & 0x80:
            return index + 1 + length
    return None
